// tests/ops/bsr_test.cpp — block-sparse times dense: the bits of the same matrix in CSR, on every device.
#include "sparsert/linalg.hpp"
#include "tests/ops/product_support.hpp"

namespace sparsert::test {
namespace {

/// Every element of a block that holds an entry as an entry of its own: what the products must be of.
template <class T, class I>
Matrix<T, I> filled(const Matrix<T, I>& a, Block block) {
  const auto dense = a.dense();
  std::vector<bool> held(
      static_cast<std::size_t>(((a.m + block[0] - 1) / block[0]) * ((a.k + block[1] - 1) / block[1])));
  const auto at = [&](std::int64_t i, std::int64_t p) {
    return static_cast<std::size_t>(i / block[0] * ((a.k + block[1] - 1) / block[1]) + p / block[1]);
  };
  for (std::int64_t i = 0; i < a.m; ++i) {
    for (I e = a.offsets[i]; e < a.offsets[i + 1]; ++e) held[at(i, a.columns[e])] = true;
  }
  Matrix<T, I> out{a.m, a.k};
  for (std::int64_t i = 0; i < a.m; ++i) {
    for (std::int64_t p = 0; p < a.k; ++p) {
      if (!held[at(i, p)]) continue;
      out.columns.push_back(static_cast<I>(p));
      out.values.push_back(dense[static_cast<std::size_t>(i * a.k + p)]);
    }
    out.offsets.push_back(static_cast<I>(out.columns.size()));
  }
  return out;
}

template <class T, class I>
void check(const Matrix<T, I>& a, Product<T> x, Block block, const Device& device) {
  SCOPED_TRACE(to_string(device) + " " + to_string(Shape{a.m, a.k, x.n}) + " blocks " + std::to_string(block[0]) + "x" +
               std::to_string(block[1]));
  const auto expected = canonical(filled(a, block), x);
  const Bsr bsr = to_bsr(a.on(device), block);
  const Tensor bias = Tensor::from(x.bias, {static_cast<std::int64_t>(x.bias.size())}, device);
  const auto nan = stored<T>(std::numeric_limits<double>::quiet_NaN());
  Tensor out = Tensor::from(x.beta != 0 ? x.c : std::vector<T>(expected.size(), nan), {a.m, x.n}, device);
  spmm(bsr, Tensor::from(x.b, {a.k, x.n}, device), {x.bias.empty() ? nullptr : &bias, x.relu, x.alpha, x.beta, &out});
  EXPECT_TRUE(same_bits(widened(to_vector<T>(out)), expected));
  if (x.alpha != 1 || x.beta != 0) return;
  const Tensor y = linear(Tensor::from(transposed(x.b, a.k, x.n), {x.n, a.k}, device), bsr,
                          {.bias = x.bias.empty() ? nullptr : &bias, .relu = x.relu});
  EXPECT_TRUE(same_bits(widened(to_vector<T>(y)), transposed(expected, a.m, x.n)));
}

template <class T>
Product<T> product(std::int64_t k, std::int64_t n, Values kind) {
  Product<T> x;
  x.n = n;
  x.b = values_of<T>(kind, k * n, 5);
  return x;
}

constexpr Block kBlocks[] = {{1, 1}, {1, 4}, {4, 1}, {4, 4}, {8, 8}, {16, 16}, {32, 32}, {3, 5}, {6, 7}};

TEST(Bsr, ShapesAndBlocks) {
  for (const Device& device : devices_under_test()) {
    for (const Shape& s : {Shape{0, 5, 4}, {4, 0, 5}, {5, 4, 0}, {1, 1, 1}, {33, 31, 17}, {64, 65, 16}, {9, 1100, 5}}) {
      for (const Block block : kBlocks) {
        check(random_matrix<float>(s[0], s[1], 0.1, Values::normal), product<float>(s[1], s[2], Values::normal), block,
              device);
      }
    }
    for (const Values kind : kAllValues) {
      check(random_matrix<float>(30, 530, 0.02, kind), product<float>(530, 21, kind), {4, 4}, device);
    }
  }
}

TEST(Bsr, EveryDtypeAndIndexType) {
  for (const Device& device : devices_under_test()) {
    const auto each = [&]<class T, class I>() {
      check(random_matrix<T, I>(30, 530, 0.05, Values::normal), product<T>(530, 19, Values::normal), {4, 4}, device);
    };
    each.operator()<float, std::int64_t>();
    each.operator()<double, std::int32_t>();
    each.operator()<double, std::int64_t>();
    each.operator()<float16, std::int32_t>();
    each.operator()<bfloat16, std::int64_t>();
  }
}

TEST(Bsr, AlphaBetaBiasRelu) {
  const auto a = random_matrix<float>(22, 60, 0.1, Values::normal);
  for (const Device& device : devices_under_test()) {
    for (const double alpha : {1.0, 0.0, -2.5}) {
      for (const double beta : {0.0, -0.75}) {
        auto x = product<float>(60, 20, Values::normal);
        x.alpha = alpha;
        x.beta = beta;
        x.relu = true;
        x.c = make_values(Values::normal, 22 * 20, 6);
        x.bias = make_values(Values::normal, 22, 7);
        check(a, x, {4, 4}, device);
      }
    }
  }
}

TEST(Bsr, SameBitsWithAnyNumberOfThreads) {
  const auto a = random_matrix<float>(300, 900, 0.02, Values::normal);
  for (const int threads : kThreadCounts) {
    const Threads scope(threads);
    for (const std::int64_t n : {1, 40, 200}) check(a, product<float>(900, n, Values::normal), {4, 4}, cpu_device);
  }
}

TEST(Bsr, PaddingIsNeverRead) {
  for (const Device& device : devices_under_test()) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const Tensor offsets = Tensor::from(std::vector<std::int32_t>{0, 1}, {2}, device);
    const Tensor columns = Tensor::from(std::vector<std::int32_t>{0}, {1}, device);
    const Bsr a(offsets, columns,
                Tensor::from(std::vector<float>{1, 2, nan, 3, 4, nan, nan, nan, nan}, {1, 3, 3}, device), {2, 2});
    const Tensor b = Tensor::from(std::vector<float>{1, 10}, {2, 1}, device);
    EXPECT_TRUE(same_bits(spmm(a, b), std::vector<float>{21, 43}));
  }
}

TEST(Bsr, RefusesBadArguments) {
  const auto bad = ErrorCode::invalid_argument;
  const Bsr a = to_bsr(random_matrix<float>(4, 6, 0.5, Values::normal).on(cpu_device), {2, 2});
  expect_error(bad, {"spmm", "b", "5", "a.cols() = 6"}, [&] { spmm(a, Tensor::zeros({5, 3}, DType::float32)); });
  expect_error(bad, {"spmm", "b", "float64"}, [&] { spmm(a, Tensor::zeros({6, 3}, DType::float64)); });
  expect_error(bad, {"spmm", "beta", "out"}, [&] { spmm(a, Tensor::zeros({6, 3}, DType::float32), {.beta = 1}); });
  Tensor out = Tensor::zeros({4, 4}, DType::float32);
  expect_error(bad, {"spmm", "out", "(4, 4)", "(4, 3)"}, [&] {
    spmm(a, Tensor::zeros({6, 3}, DType::float32), {.out = &out});
  });
  expect_error(bad, {"linear", "x", "5", "6"}, [&] { linear(Tensor::zeros({2, 5}, DType::float32), a); });
}

}  // namespace
}  // namespace sparsert::test
