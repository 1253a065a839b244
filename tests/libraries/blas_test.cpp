// tests/libraries/blas_test.cpp — order=fast on the CPU through a double of CBLAS: what is called, how, and when not.
#include <dlfcn.h>

#include <cstdlib>

#include "tests/ops/product_support.hpp"

namespace sparsert::test {
namespace {

/// The double, which the library finds because the environment names it before the first product.
class FakeBlas {
 public:
  FakeBlas() {
    setenv("SPARSERT_BLAS", FAKE_BLAS, 1);
    handle_ = dlopen(FAKE_BLAS, RTLD_NOW);
  }

  template <class Function>
  Function* get(const char* name) const {
    return reinterpret_cast<Function*>(dlsym(handle_, name));
  }
  int calls() const { return get<int()>("fake_blas_calls")(); }
  int refused() const { return get<int()>("fake_blas_refused")(); }
  int threads() const { return get<int()>("fake_blas_threads")(); }

 private:
  void* handle_ = nullptr;
};

const FakeBlas fake_blas;

/// relu(x · y + bias), and the sum of magnitudes that bounds its error, in float64.
struct Oracle {
  std::vector<double> values;
  std::vector<double> sums;
};

template <class T>
Oracle product(const std::vector<T>& x, const std::vector<T>& y, bool y_transposed, const std::vector<T>& bias,
               bool relu, std::int64_t m, std::int64_t k, std::int64_t n) {
  Oracle oracle;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double value = bias.empty() ? 0.0 : static_cast<double>(bias[j]);
      double sum = std::abs(value);
      for (std::int64_t p = 0; p < k; ++p) {
        const double term =
            static_cast<double>(x[i * k + p]) * static_cast<double>(y[y_transposed ? j * k + p : p * n + j]);
        value += term;
        sum += std::abs(term);
      }
      oracle.values.push_back(relu && value <= 0 ? 0 : value);
      oracle.sums.push_back(sum);
    }
  }
  return oracle;
}

template <class T>
void expect_within_bound(const Tensor& got, const Oracle& oracle, std::int64_t terms) {
  const double u = std::numeric_limits<T>::epsilon() / 2;
  const auto values = to_vector<T>(got);
  ASSERT_EQ(values.size(), oracle.values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double nu = static_cast<double>(terms + 1) * u;
    const double bound = u * std::abs(oracle.values[i]) + nu / (1 - nu) * oracle.sums[i];
    ASSERT_TRUE(std::abs(static_cast<double>(values[i]) - oracle.values[i]) <= bound) << "element " << i;
  }
}

template <class T>
void expect_products(std::int64_t m, std::int64_t k, std::int64_t n) {
  const auto x = make_values<T>(Values::normal, m * k, 1);
  const auto y = make_values<T>(Values::normal, k * n, 2);
  const auto bias = make_values<T>(Values::normal, n, 3);
  const int before = fake_blas.calls();
  Guarded<T> out({m, n}, cpu_device, std::numeric_limits<T>::quiet_NaN());
  matmul(Tensor::from(x, {m, k}), Tensor::from(y, {k, n}), {.out = &out.tensor(), .order = Order::fast});
  expect_within_bound<T>(out.tensor(), product<T>(x, y, false, {}, false, m, k, n), k);
  for (const bool relu : {false, true}) {
    for (const bool with_bias : {false, true}) {
      const Tensor b = Tensor::from(bias, {n});
      const Tensor z = linear(Tensor::from(x, {m, k}), Tensor::from(y, {n, k}),
                              {.bias = with_bias ? &b : nullptr, .relu = relu, .order = Order::fast});
      expect_within_bound<T>(z, product(x, y, true, with_bias ? bias : std::vector<T>(), relu, m, k, n), k + 1);
    }
  }
  EXPECT_EQ(fake_blas.calls() - before, 5) << "the products did not go through BLAS";
  EXPECT_EQ(fake_blas.refused(), 0);
}

TEST(Blas, ServesTheFastProduct) {
  for (const int threads : kThreadCounts) {
    const Threads set(threads);
    expect_products<float>(65, 130, 33);
    EXPECT_EQ(fake_blas.threads(), threads);
  }
  expect_products<double>(33, 64, 65);
  expect_products<float>(1, 257, 257);
  expect_products<float>(257, 1, 257);
  expect_products<double>(300, 255, 1);
}

TEST(Blas, IsAskedForNothingElse) {
  const int before = fake_blas.calls();
  const auto x = make_values(Values::normal, 64 * 64, 1);
  const Tensor a = Tensor::from(x, {64, 64});
  matmul(a, a);
  matmul(cast(a, DType::float16), cast(a, DType::float16), {.order = Order::fast});
  matmul(Tensor::from(x, {64, 64}, {Device::Type::reference, 0}),
         Tensor::from(x, {64, 64}, {Device::Type::reference, 0}), {.order = Order::fast});
  const Tensor tiny = Tensor::zeros({2, 2}, DType::float32);
  matmul(tiny, tiny, {.order = Order::fast});
  matmul(Tensor::zeros({100, 0}, DType::float32), Tensor::zeros({0, 100}, DType::float32), {.order = Order::fast});
  EXPECT_EQ(fake_blas.calls(), before);
}

TEST(Blas, ReadsWhatIsNotFinite) {
  auto x = make_values(Values::special, 40 * 40, 1);
  const Tensor a = Tensor::from(x, {40, 40});
  const auto fast = to_vector<float>(matmul(a, a, {.order = Order::fast}));
  const auto canonical = to_vector<float>(matmul(a, a));
  for (std::size_t i = 0; i < fast.size(); ++i) ASSERT_EQ(std::isfinite(fast[i]), std::isfinite(canonical[i])) << i;
}

TEST(Blas, IsReported) {
  EXPECT_TRUE(cpu_blas().found);
  EXPECT_EQ(cpu_blas().version, "OpenBLAS double");
}

TEST(FakeBlas, RefusesMisuse) {
  using Gemm = void(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
  const auto gemm = fake_blas.get<Gemm>("cblas_sgemm");
  const std::vector<float> a(6, 1.0f);
  std::vector<float> c(4, 7.0f);
  struct Call {
    int layout, trans_a, trans_b, m, n, k, lda, ldb, ldc, refused;
  };
  for (const Call& call : {Call{100, 111, 111, 2, 2, 3, 3, 2, 2, 1}, Call{101, 110, 111, 2, 2, 3, 3, 2, 2, 2},
                           Call{101, 111, 7, 2, 2, 3, 3, 2, 2, 3}, Call{101, 111, 111, -1, 2, 3, 3, 2, 2, 4},
                           Call{101, 111, 111, 2, -1, 3, 3, 2, 2, 5}, Call{101, 111, 111, 2, 2, -1, 3, 2, 2, 6},
                           Call{101, 111, 111, 2, 2, 3, 2, 2, 2, 9}, Call{101, 111, 112, 2, 2, 3, 3, 2, 2, 11},
                           Call{101, 111, 111, 2, 2, 3, 3, 2, 1, 14}, Call{102, 111, 111, 2, 2, 3, 1, 3, 2, 9}}) {
    gemm(call.layout, call.trans_a, call.trans_b, call.m, call.n, call.k, 1, a.data(), call.lda, a.data(), call.ldb, 0,
         c.data(), call.ldc);
    EXPECT_EQ(fake_blas.refused(), call.refused);
    EXPECT_EQ(c, std::vector<float>(4, 7.0f));
  }
  gemm(102, 112, 112, 2, 2, 3, 1, a.data(), 3, a.data(), 2, 0.5f, c.data(), 2);
  EXPECT_EQ(fake_blas.refused(), 0);
  EXPECT_EQ(c, std::vector<float>(4, 6.5f));
}

}  // namespace
}  // namespace sparsert::test
