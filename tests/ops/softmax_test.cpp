// tests/ops/softmax_test.cpp — softmax over sparse rows: its error, the same bits everywhere, its gradient.
#include "sparsert/linalg.hpp"
#include "tests/ops/product_support.hpp"

namespace sparsert::test {
namespace {

/// The bits that every device must give: those of the reference, whose values WithinTheBound holds to long double.
template <class T, class I>
void expect_same_everywhere(const Matrix<T, I>& a, const std::string& what) {
  const Device reference = Device::parse("reference");
  const auto nnz = static_cast<std::int64_t>(a.values.size());
  const auto expected = widened(to_vector<T>(sparse_softmax(a.on(reference)).values()));
  const auto gradient = values_of<T>(Values::normal, nnz, 9);
  const Csr y = a.on(reference).with_values(sparse_softmax(a.on(reference)).values());
  const auto back =
      widened(to_vector<T>(sparse_softmax_backward(Tensor::from(gradient, {nnz}, reference), y).values()));
  for (const Device& device : devices_under_test()) {
    const Csr got = sparse_softmax(a.on(device));
    EXPECT_TRUE(same_bits(widened(to_vector<T>(got.values())), expected)) << to_string(device) << " " << what;
    EXPECT_TRUE(same_bits(got.columns(), a.columns)) << to_string(device) << " " << what;
    const Csr grad = sparse_softmax_backward(Tensor::from(gradient, {nnz}, device), got);
    EXPECT_TRUE(same_bits(widened(to_vector<T>(grad.values())), back)) << to_string(device) << " " << what;
  }
}

TEST(SparseSoftmax, SameBitsOnEveryDevice) {
  for (const Shape& s : {Shape{0, 5}, {5, 0}, {1, 1}, {40, 1}, {3, 15}, {3, 16}, {3, 17}, {9, 33}, {20, 130}}) {
    for (const double density : {0.1, 0.6, 1.0}) {
      expect_same_everywhere(random_matrix<float>(s[0], s[1], density, Values::normal), to_string(s));
    }
  }
  for (const Values kind : kAllValues) {
    expect_same_everywhere(random_matrix<float>(20, 50, 0.4, kind), to_string(kind));
    expect_same_everywhere(random_matrix<double, std::int64_t>(20, 50, 0.4, kind), to_string(kind));
  }
  expect_same_everywhere(random_matrix<float16>(20, 50, 0.4, Values::normal), "float16");
  expect_same_everywhere(random_matrix<bfloat16, std::int64_t>(20, 50, 0.4, Values::normal), "bfloat16");
}

TEST(SparseSoftmax, SameBitsWithAnyNumberOfThreads) {
  const auto a = random_matrix<float>(3000, 60, 0.3, Values::normal);
  for (const int threads : kThreadCounts) {
    const Threads scope(threads);
    expect_same_everywhere(a, std::to_string(threads) + " threads");
  }
}

template <class T>
void expect_within_bound(Values kind, long double u_out) {
  const auto a = random_matrix<T>(40, 120, 0.3, kind);
  const long double u = std::numeric_limits<Wide<T>>::epsilon() / 2;
  for (const Device& device : devices_under_test()) {
    const auto got = widened(to_vector<T>(sparse_softmax(a.on(device)).values()));
    for (std::int64_t i = 0; i < a.m; ++i) {
      long double most = -std::numeric_limits<long double>::infinity();
      for (auto e = a.offsets[i]; e < a.offsets[i + 1]; ++e) most = std::max<long double>(most, wide(a.values[e]));
      long double sum = 0;
      for (auto e = a.offsets[i]; e < a.offsets[i + 1]; ++e) sum += std::exp(wide(a.values[e]) - most);
      for (auto e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
        const long double x = wide(a.values[e]) - most;
        const long double exact = std::exp(x) / sum;
        const long double n = a.offsets[i + 1] - a.offsets[i];
        const long double eta = std::is_same_v<T, float16> ? 0x1p-24L : std::numeric_limits<float>::denorm_min();
        EXPECT_LE(std::abs(got[e] - exact), (8 * (1 + std::abs(x)) * u + n * u + u_out) * exact + eta)
            << to_string(device) << " " << to_string(kind);
      }
    }
  }
}

TEST(SparseSoftmax, WithinTheBound) {
  for (const Values kind : {Values::normal, Values::positive, Values::small_integers}) {
    expect_within_bound<float>(kind, 0);
    expect_within_bound<double>(kind, 0);
    expect_within_bound<float16>(kind, 0x1p-11L);
    expect_within_bound<bfloat16>(kind, 0x1p-8L);
  }
  expect_within_bound<double>(Values::wide, 0);
}

TEST(SparseSoftmax, SpecialRows) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const Device& device : devices_under_test()) {
    const auto row = [&](const std::vector<float>& values) {
      const auto n = static_cast<std::int64_t>(values.size());
      std::vector<std::int32_t> columns;
      for (std::int32_t c = 0; c < n; ++c) columns.push_back(c);
      const Csr a(Tensor::from(std::vector<std::int32_t>{0, static_cast<std::int32_t>(n)}, {2}, device),
                  Tensor::from(columns, {n}, device), Tensor::from(values, {n}, device), {1, n});
      return to_vector<float>(sparse_softmax(a).values());
    };
    EXPECT_EQ(row({3.0f}), (std::vector<float>{1.0f}));
    EXPECT_EQ(row({-inf, 0.0f}), (std::vector<float>{0.0f, 1.0f}));
    EXPECT_EQ(row({1e30f, 1e30f}), (std::vector<float>{0.5f, 0.5f}));
    EXPECT_EQ(row({-1e30f, 1e30f}), (std::vector<float>{0.0f, 1.0f}));
    for (const float x : row({-inf, -inf})) EXPECT_TRUE(std::isnan(x));
    for (const float x : row({NAN, 1.0f})) EXPECT_TRUE(std::isnan(x));
  }
}

TEST(SparseSoftmax, GradientAgainstCentralDifferences) {
  const auto a = random_matrix<double>(6, 9, 0.5, Values::normal);
  const auto nnz = static_cast<std::int64_t>(a.values.size());
  const auto weights = make_values<double>(Values::normal, nnz, 7);
  for (const Device& device : devices_under_test()) {
    const Csr matrix = a.on(device);
    const Csr out = sparse_softmax(matrix);
    const auto gradient =
        to_vector<double>(sparse_softmax_backward(Tensor::from(weights, {nnz}, device), out).values());
    const auto loss = [&](const std::vector<double>& x) {
      const auto y = to_vector<double>(sparse_softmax(matrix.with_values(Tensor::from(x, {nnz}, device))).values());
      double sum = 0;
      for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * weights[i];
      return sum;
    };
    for (std::size_t i = 0; i < a.values.size(); ++i) {
      auto above = a.values;
      auto below = a.values;
      above[i] += 1e-6;
      below[i] -= 1e-6;
      const double expected = (loss(above) - loss(below)) / 2e-6;
      EXPECT_LE(std::abs(gradient[i] - expected), 1e-5 + 1e-3 * std::abs(expected));
    }
  }
}

TEST(SparseSoftmax, RefusesBadArguments) {
  const auto bad = ErrorCode::invalid_argument;
  const Csr a = random_matrix<float>(4, 6, 0.5, Values::normal).on(cpu_device);
  expect_error(bad, {"sparse_softmax", "int32"},
               [&] { sparse_softmax(a.with_values(Tensor::zeros({a.nnz()}, DType::int32))); });
  expect_error(bad, {"sparse_softmax_backward", "grad"},
               [&] { sparse_softmax_backward(Tensor::zeros({a.nnz() + 1}, DType::float32), a); });
}

}  // namespace
}  // namespace sparsert::test
