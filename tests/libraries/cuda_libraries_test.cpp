// tests/libraries/cuda_libraries_test.cpp — order=fast on CUDA through doubles of cuBLAS and cuSPARSE.
//
// Device memory is the fake runtime's, so the doubles compute where the real libraries would. Our own kernels do
// nothing there: what follows a product (bias, ReLU) is proven on the simt device.
#include <cmath>
#include <limits>

#include "tests/libraries/fake_vendor.hpp"
#include "tests/support.hpp"

extern "C" {
fake_vendor::Control* fake_cublas();
fake_vendor::Control* fake_cusparse();
std::size_t fake_cusparse_alive();
int cublasGemmEx(void*, int, int, int, int, int, const void*, const void*, int, int, const void*, int, int, const void*,
                 void*, int, int, int, int);
int cublasSetWorkspace_v2(void*, void*, std::size_t);
int cublasCreate_v2(void**);
int cusparseCreateDnMat(void**, std::int64_t, std::int64_t, std::int64_t, void*, int, int);
}

namespace sparsert::test {
namespace {

constexpr Device kCuda{Device::Type::cuda, 0};

struct Size {
  std::int64_t m, k, n;
};
constexpr Size kSizes[] = {{1, 1, 1}, {3, 5, 4}, {33, 65, 17}, {64, 1, 64}, {1, 300, 1}, {31, 257, 2}};

/// u of the accumulator and of the result.
struct Roundoff {
  double sum;
  double result;
};

Roundoff roundoff_of(DType dtype) {
  switch (dtype) {
    case DType::float64: return {0x1p-53, 0x1p-53};
    case DType::float16: return {0x1p-24, 0x1p-11};
    case DType::bfloat16: return {0x1p-24, 0x1p-8};
    default: return {0x1p-24, 0x1p-24};
  }
}

std::vector<double> doubles(const Tensor& tensor) { return to_vector<double>(cast(tensor.cpu(), DType::float64)); }

/// The contract's bound for one element: its float64 value, the sum of magnitudes, the number of terms.
void expect_near(double got, double expected, double sum, std::int64_t terms, DType dtype) {
  const Roundoff u = roundoff_of(dtype);
  const double nu = static_cast<double>(terms + 1) * u.sum;
  const double tiny = dtype == DType::float16 ? 0x1p-24 : 0;
  ASSERT_TRUE(std::abs(got - expected) <= u.result * std::abs(expected) + nu / (1 - nu) * sum + tiny)
      << got << " for " << expected;
}

std::string first_misuse() {
  const auto all = fake_cudart::misuses();
  return all.empty() ? "" : all.front();
}

void expect_dense(Size size, DType dtype, bool transposed) {
  const Tensor x = equivalence::make_values(Values::normal, {size.m, size.k}, dtype, 1);
  const Tensor y =
      equivalence::make_values(Values::normal, transposed ? Shape{size.n, size.k} : Shape{size.k, size.n}, dtype, 2);
  const std::int64_t before = fake_cublas()->products;
  const Tensor c = transposed ? linear(x.to(kCuda), y.to(kCuda), {.order = Order::fast})
                              : matmul(x.to(kCuda), y.to(kCuda), {.order = Order::fast});
  ASSERT_EQ(fake_cublas()->products - before, 1);
  const auto a = doubles(x);
  const auto b = doubles(y);
  const auto got = doubles(c);
  for (std::int64_t i = 0; i < size.m; ++i) {
    for (std::int64_t j = 0; j < size.n; ++j) {
      double value = 0;
      double sum = 0;
      for (std::int64_t p = 0; p < size.k; ++p) {
        const double term = a[i * size.k + p] * b[transposed ? j * size.k + p : p * size.n + j];
        value += term;
        sum += std::abs(term);
      }
      expect_near(got[i * size.n + j], value, sum, size.k, dtype);
    }
  }
}

constexpr DType kFloats[] = {DType::float32, DType::float64, DType::float16, DType::bfloat16};

TEST(Cublas, ServesTheFastDenseProduct) {
  for (const Size size : kSizes) {
    for (const DType dtype : kFloats) {
      for (const bool transposed : {false, true}) expect_dense(size, dtype, transposed);
    }
  }
  EXPECT_EQ(first_misuse(), "");
}

TEST(Cublas, IsAskedForNothingElse) {
  const std::int64_t before = fake_cublas()->products;
  const Tensor x = Tensor::zeros({4, 4}, DType::float32, kCuda);
  matmul(x, x);
  const Tensor none = Tensor::zeros({4, 0}, DType::float32, kCuda);
  matmul(none, Tensor::zeros({0, 4}, DType::float32, kCuda), {.order = Order::fast});
  const Tensor half = Tensor::zeros({4, 4}, DType::float16, kCuda);
  const Tensor bias = Tensor::zeros({4}, DType::float16, kCuda);
  linear(half, half, {.bias = &bias, .order = Order::fast});  // it would round twice
  EXPECT_EQ(fake_cublas()->products, before);
}

TEST(Cublas, IsFollowedByOurKernelForBiasAndRelu) {
  const Tensor x = Tensor::zeros({4, 4}, DType::float32, kCuda);
  const Tensor bias = Tensor::zeros({4}, DType::float32, kCuda);
  const std::int64_t products = fake_cublas()->products;
  const std::int64_t launches = fake_cudart::launches();
  linear(x, x, {.bias = &bias, .relu = true, .order = Order::fast});
  EXPECT_EQ(fake_cublas()->products - products, 1);
  EXPECT_EQ(fake_cudart::launches() - launches, 1);
}

TEST(Cublas, RunsInTheStreamOfTheProduct) {
  const Stream stream = Stream::create(kCuda);
  const Tensor x = Tensor::from(std::vector<float>{1, 2, 3, 4}, {2, 2}, kCuda);
  const Tensor y = matmul(x, x, {.order = Order::fast}, stream);
  stream.synchronize();
  EXPECT_EQ(to_vector<float>(y), (std::vector<float>{7, 10, 15, 22}));
  EXPECT_EQ(first_misuse(), "");
}

/// Each call of a fast product gives each status in turn.
template <class Run>
void expect_refusals(fake_vendor::Control* control, int no_memory, const std::vector<int>& not_for_us,
                     std::int64_t least_calls, const char* op, Run run) {
  run();  // the handle is made
  const std::int64_t first = control->calls;
  run();
  const std::int64_t calls = control->calls - first;
  ASSERT_GE(calls, least_calls);
  for (std::int64_t n = 1; n <= calls; ++n) {
    control->fail(n, no_memory);
    expect_error(ErrorCode::out_of_memory, {op, "status " + std::to_string(no_memory)}, run);
    run();
    control->fail(n, 14);
    expect_error(ErrorCode::internal, {op, "status 14", "cuda:0"}, run);
    run();
  }
  for (const int status : not_for_us) {
    const std::int64_t launches = fake_cudart::launches();
    control->fail(calls, status);  // the product itself
    run();
    EXPECT_GT(fake_cudart::launches(), launches) << "our own kernel serves";
  }
  EXPECT_EQ(first_misuse(), "");
}

TEST(Cublas, RefusalsAreTypedErrors) {
  const Tensor x = Tensor::from(std::vector<float>{1, 2, 3, 4}, {2, 2}, kCuda);
  expect_refusals(fake_cublas(), 3, {15, 8}, 3, "matmul:", [&] { matmul(x, x, {.order = Order::fast}); });
}

TEST(FakeCublas, RefusesMisuse) {
  void* handle = nullptr;
  cublasCreate_v2(&handle);
  const Tensor x = Tensor::zeros({8, 8}, DType::float32, kCuda);
  Tensor c = Tensor::zeros({8, 8}, DType::float32, kCuda);
  const float one = 1;
  const auto gemm = [&](void* h, int ta, int m, int lda, int ldc, int type, int compute) {
    return cublasGemmEx(h, ta, 0, m, 4, 8, &one, x.data(), type, lda, x.data(), type, 8, &one, c.mutable_data(), type,
                        ldc, compute, -1);
  };
  EXPECT_EQ(gemm(handle, 0, 8, 8, 8, 0, 69), 0);
  EXPECT_EQ(gemm(&c, 0, 8, 8, 8, 0, 69), 1);
  EXPECT_EQ(gemm(handle, 3, 8, 8, 8, 0, 69), 7);
  EXPECT_EQ(gemm(handle, 0, -1, 8, 8, 0, 69), 7);
  EXPECT_EQ(gemm(handle, 0, 8, 7, 8, 0, 69), 7);
  EXPECT_EQ(gemm(handle, 0, 8, 8, 7, 0, 69), 7);
  EXPECT_EQ(gemm(handle, 0, 8, 8, 8, 0, 71), 15);
  EXPECT_EQ(gemm(handle, 0, 8, 8, 8, 5, 69), 15);
  EXPECT_EQ(cublasSetWorkspace_v2(handle, static_cast<char*>(c.mutable_data()) + 4, 16), 7);
}

// ---- cuSPARSE.

Csr random_csr(std::int64_t m, std::int64_t k, DType dtype, DType index) {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int64_t> columns;
  for (std::int64_t r = 0; r < m; ++r) {
    for (std::int64_t c = 0; c < k; ++c) {
      if ((r * 7 + c * 5) % 3 == 0) columns.push_back(c);
    }
    offsets.push_back(static_cast<std::int64_t>(columns.size()));
  }
  const auto nnz = static_cast<std::int64_t>(columns.size());
  return {cast(Tensor::from(offsets, {m + 1}), index),
          cast(Tensor::from(columns, {nnz}), index),
          equivalence::make_values(Values::normal, {nnz}, dtype, 3),
          {m, k}};
}

void expect_sparse(Size size, DType dtype, DType index, bool layer) {
  const Csr a = random_csr(size.m, size.k, dtype, index);
  const Tensor b =
      equivalence::make_values(Values::normal, layer ? Shape{size.n, size.k} : Shape{size.k, size.n}, dtype, 4);
  const Tensor old = equivalence::make_values(Values::normal, {size.m, size.n}, dtype, 5);
  const double alpha = layer ? 1 : 1.5;
  const double beta = layer ? 0 : -0.5;
  const std::int64_t before = fake_cusparse()->products;
  Tensor c = old.to(kCuda);
  if (layer) {
    c = linear(b.to(kCuda), a.to(kCuda), {.order = Order::fast});
  } else {
    spmm(a.to(kCuda), b.to(kCuda), {.alpha = alpha, .beta = beta, .out = &c, .order = Order::fast});
  }
  ASSERT_EQ(fake_cusparse()->products - before, a.nnz() == 0 ? 0 : 1);
  if (a.nnz() == 0) return;
  const auto dense = doubles(a.to_dense());
  const auto x = doubles(b);
  const auto c0 = doubles(old);
  const auto got = doubles(c);
  for (std::int64_t i = 0; i < size.m; ++i) {
    for (std::int64_t j = 0; j < size.n; ++j) {
      double value = beta * c0[i * size.n + j];
      double sum = std::abs(value);
      for (std::int64_t p = 0; p < size.k; ++p) {
        const double term = alpha * dense[i * size.k + p] * x[layer ? j * size.k + p : p * size.n + j];
        value += term;
        sum += std::abs(term);
      }
      expect_near(got[layer ? j * size.m + i : i * size.n + j], value, sum, size.k + 2, dtype);
    }
  }
}

TEST(Cusparse, ServesTheFastSparseProduct) {
  for (const Size size : kSizes) {
    for (const DType dtype : kFloats) {
      for (const DType index : {DType::int32, DType::int64}) {
        for (const bool layer : {false, true}) expect_sparse(size, dtype, index, layer);
      }
    }
  }
  EXPECT_EQ(first_misuse(), "");
  EXPECT_EQ(fake_cusparse_alive(), 0u) << "descriptions are left";
}

TEST(Cusparse, IsAskedForNothingElse) {
  const Csr a = random_csr(6, 6, DType::float32, DType::int32).to(kCuda);
  const Tensor b = Tensor::zeros({6, 6}, DType::float32, kCuda);
  const std::int64_t before = fake_cusparse()->products;
  spmm(a, b);
  spmm(a, b, {.alpha = 0, .order = Order::fast});
  spmm(a, Tensor::zeros({6, 0}, DType::float32, kCuda), {.order = Order::fast});
  EXPECT_EQ(fake_cusparse()->products, before);
}

TEST(Cusparse, RefusalsAreTypedErrors) {
  const Csr a = random_csr(6, 6, DType::float32, DType::int32).to(kCuda);
  const Tensor b = Tensor::zeros({6, 6}, DType::float32, kCuda);
  expect_refusals(fake_cusparse(), 2, {}, 5, "spmm:", [&] { spmm(a, b, {.order = Order::fast}); });
  EXPECT_EQ(fake_cusparse_alive(), 0u) << "descriptions are left";
}

TEST(FakeCusparse, RefusesMisuse) {
  void* matrix = nullptr;
  Tensor x = Tensor::zeros({4, 6}, DType::float32, kCuda);
  EXPECT_EQ(cusparseCreateDnMat(&matrix, 4, 6, 5, x.mutable_data(), 0, 2), 3);
  EXPECT_EQ(cusparseCreateDnMat(&matrix, 4, 6, 3, x.mutable_data(), 0, 1), 3);
  EXPECT_EQ(cusparseCreateDnMat(&matrix, 4, 6, 6, x.mutable_data(), 5, 2), 3);
  EXPECT_EQ(cusparseCreateDnMat(&matrix, 4, 6, 6, x.mutable_data(), 0, 3), 3);
  EXPECT_EQ(cusparseCreateDnMat(&matrix, -4, 6, 6, x.mutable_data(), 0, 2), 3);
  EXPECT_EQ(fake_cusparse_alive(), 0u);
}

TEST(Libraries, AreReported) {
  for (const Library& library : cuda::libraries()) {
    EXPECT_TRUE(library.found) << library.name;
    EXPECT_EQ(library.version, library.name == "cublas" ? "99.1.2" : "98.1.2");
  }
}

}  // namespace
}  // namespace sparsert::test
