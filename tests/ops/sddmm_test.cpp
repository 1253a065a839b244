// tests/ops/sddmm_test.cpp — dense times dense on a pattern, to the bit; gradients of spmm, linear and sddmm.
#include "sparsert/linalg.hpp"
#include "tests/ops/product_support.hpp"

namespace sparsert::test {
namespace {

/// 16 lanes over k, then the tree.
template <class T>
Wide<T> lane_sum(const std::vector<T>& x, const std::vector<T>& y, std::int64_t x_at, std::int64_t y_at,
                 std::int64_t k) {
  Wide<T> lanes[16] = {};
  for (std::int64_t p = 0; p < k; ++p) lanes[p % 16] = std::fma(wide(x[x_at + p]), wide(y[y_at + p]), lanes[p % 16]);
  for (int width = 8; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lanes[l] += lanes[l + width];
  }
  return lanes[0] + Wide<T>{0};
}

template <class T, class I>
std::vector<Wide<T>> oracle(const Matrix<T, I>& a, const std::vector<T>& x, const std::vector<T>& y, std::int64_t k) {
  std::vector<Wide<T>> out;
  for (std::int64_t i = 0; i < a.m; ++i) {
    for (I e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
      out.push_back(wide(stored<T>(lane_sum(x, y, i * k, std::int64_t{a.columns[e]} * k, k))));
    }
  }
  return out;
}

template <class T, class I>
void expect_lanes(const Matrix<T, I>& a, std::int64_t k, Values kind, const Device& device) {
  SCOPED_TRACE(to_string(device) + " " + to_string(Shape{a.m, a.k, k}) + " " + to_string(kind));
  const auto x = values_of<T>(kind, a.m * k, 5);
  const auto y = values_of<T>(kind, a.k * k, 6);
  const auto expected = oracle(a, x, y, k);
  const Csr pattern = a.on(device);
  const Tensor got = sddmm(pattern, Tensor::from(x, {a.m, k}, device), Tensor::from(y, {a.k, k}, device));
  EXPECT_TRUE(same_bits(widened(to_vector<T>(got)), expected));
  // The gradient of a layer's weight is the same product of transposed operands.
  const auto grad = linear_backward(Tensor::from(transposed(x, a.m, k), {k, a.m}, device),
                                    Tensor::from(transposed(y, a.k, k), {k, a.k}, device), pattern);
  EXPECT_TRUE(same_bits(widened(to_vector<T>(grad.w)), expected));
}

TEST(Sddmm, ShapesAndValues) {
  for (const Device& device : devices_under_test()) {
    for (const std::int64_t k : {0, 1, 7, 8, 9, 15, 16, 17, 31, 64, 100}) {
      for (const Shape& s : {Shape{0, 5}, {5, 0}, {1, 1}, {17, 33}, {40, 21}}) {
        expect_lanes(random_matrix<float>(s[0], s[1], 0.3, Values::normal), k, Values::normal, device);
      }
    }
    for (const Values kind : kAllValues) expect_lanes(random_matrix<float>(20, 40, 0.4, kind), 37, kind, device);
    expect_lanes(matrix_of<float>(20, 90, Values::normal, [](auto i, auto) { return i == 7; }), 24, Values::normal,
                 device);
  }
}

TEST(Sddmm, EveryDtypeAndIndexType) {
  for (const Device& device : devices_under_test()) {
    const auto check = [&]<class T, class I>() {
      for (const std::int64_t k : {5, 16, 50}) {
        expect_lanes(random_matrix<T, I>(33, 37, 0.3, Values::normal), k, Values::normal, device);
      }
    };
    check.operator()<float, std::int64_t>();
    check.operator()<double, std::int32_t>();
    check.operator()<double, std::int64_t>();
    check.operator()<float16, std::int32_t>();
    check.operator()<bfloat16, std::int64_t>();
  }
}

TEST(Sddmm, SameBitsWithAnyNumberOfThreadsAndManyColumns) {
  const auto a = random_matrix<float>(60, 9000, 0.03, Values::normal);
  for (const int threads : kThreadCounts) {
    const Threads scope(threads);
    expect_lanes(a, 64, Values::normal, cpu_device);
  }
}

TEST(Sddmm, WithinTheBound) {
  const auto a = random_matrix<float>(30, 40, 0.5, Values::normal);
  for (const Values kind : {Values::normal, Values::positive, Values::cancelling, Values::wide}) {
    const auto x = make_values(kind, 30 * 200, 5);
    const auto y = make_values(kind, 40 * 200, 6);
    for (const Device& device : devices_under_test()) {
      const auto got =
          to_vector<float>(sddmm(a.on(device), Tensor::from(x, {30, 200}, device), Tensor::from(y, {40, 200}, device)));
      std::size_t at = 0;
      for (std::int64_t i = 0; i < a.m; ++i) {
        for (auto e = a.offsets[i]; e < a.offsets[i + 1]; ++e, ++at) {
          long double sum = 0;
          long double magnitude = 0;
          for (std::int64_t p = 0; p < 200; ++p) {
            const long double term = static_cast<long double>(x[i * 200 + p]) * y[a.columns[e] * 200 + p];
            sum += term;
            magnitude += std::abs(term);
          }
          const long double u = 0x1p-24L;
          EXPECT_LE(std::abs(got[at] - sum), u * std::abs(sum) + 201 * u / (1 - 201 * u) * magnitude + 200 * 0x1p-149L);
        }
      }
    }
  }
}

TEST(Sddmm, RefusesBadArguments) {
  const auto bad = ErrorCode::invalid_argument;
  const Csr a = random_matrix<float>(4, 6, 0.5, Values::normal).on(cpu_device);
  const auto zeros = [](Shape shape) { return Tensor::zeros(std::move(shape), DType::float32); };
  expect_error(bad, {"sddmm", "x", "5 rows", "4"}, [&] { sddmm(a, zeros({5, 3}), zeros({6, 3})); });
  expect_error(bad, {"sddmm", "y", "5 rows", "6"}, [&] { sddmm(a, zeros({4, 3}), zeros({5, 3})); });
  expect_error(bad, {"sddmm", "y", "2 columns", "3"}, [&] { sddmm(a, zeros({4, 3}), zeros({6, 2})); });
  expect_error(bad, {"sddmm", "y", "float64"}, [&] { sddmm(a, zeros({4, 3}), Tensor::zeros({6, 3}, DType::float64)); });
  expect_error(bad, {"sddmm_backward", "grad_values"}, [&] {
    sddmm_backward(zeros({a.nnz() + 1}), a, zeros({4, 3}), zeros({6, 3}));
  });
  expect_error(bad, {"spmm_backward", "grad", "(4, 3)", "(4, 2)"}, [&] {
    spmm_backward(zeros({4, 3}), a, zeros({6, 2}));
  });
  expect_error(bad, {"linear_backward", "grad"}, [&] { linear_backward(zeros({3, 5}), zeros({3, 6}), a); });
  expect_error(bad, {"linear_backward", "x", "5"}, [&] { linear_backward(zeros({3, 4}), zeros({3, 5}), a); });
}

// ---- gradients against central differences in double

/// sum of weights · result: the loss whose gradient is `weights`.
double loss_of(const Tensor& result, const std::vector<double>& weights) {
  const auto values = to_vector<double>(result);
  double loss = 0;
  for (std::size_t i = 0; i < values.size(); ++i) loss += weights[i] * values[i];
  return loss;
}

/// Expects got[i] to be the derivative of f by x[i], for every i.
template <class F>
void expect_gradient(const Tensor& got, std::vector<double> x, const F& f) {
  const auto gradient = to_vector<double>(got);
  ASSERT_EQ(gradient.size(), x.size());
  constexpr double kStep = 1e-6;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    x[i] = at + kStep;
    const double above = f(x);
    x[i] = at - kStep;
    const double below = f(x);
    x[i] = at;
    const double expected = (above - below) / (2 * kStep);
    EXPECT_LE(std::abs(gradient[i] - expected), 1e-5 + 1e-3 * std::abs(expected)) << "element " << i;
  }
}

Tensor tensor_of(const std::vector<double>& values, Shape shape, const Device& device) {
  return Tensor::from(values, std::move(shape), device);
}

TEST(Gradients, OfSpmm) {
  const auto a = random_matrix<double>(7, 9, 0.4, Values::normal);
  const auto nnz = static_cast<std::int64_t>(a.values.size());
  const auto b = make_values<double>(Values::normal, 9 * 4, 5);
  const auto weights = make_values<double>(Values::normal, 7 * 4, 6);
  for (const Device& device : devices_under_test()) {
    const Csr matrix = a.on(device);
    const auto grad = spmm_backward(tensor_of(weights, {7, 4}, device), matrix, tensor_of(b, {9, 4}, device));
    expect_gradient(grad.values, a.values, [&](const auto& v) {
      return loss_of(spmm(matrix.with_values(tensor_of(v, {nnz}, device)), tensor_of(b, {9, 4}, device)), weights);
    });
    expect_gradient(grad.b, b, [&](const auto& v) {
      return loss_of(spmm(matrix, tensor_of(v, {9, 4}, device)), weights);
    });
  }
}

TEST(Gradients, OfLinear) {
  const auto w = random_matrix<double>(6, 8, 0.4, Values::normal);
  const auto nnz = static_cast<std::int64_t>(w.values.size());
  const auto x = make_values<double>(Values::normal, 5 * 8, 5);
  const auto bias = make_values<double>(Values::normal, 6, 7);
  const auto weights = make_values<double>(Values::normal, 5 * 6, 6);
  for (const Device& device : devices_under_test()) {
    const Csr matrix = w.on(device);
    const Tensor input = tensor_of(x, {5, 8}, device);
    const Tensor grad = tensor_of(weights, {5, 6}, device);
    const auto sparse = linear_backward(grad, input, matrix);
    const auto dense = linear_backward(grad, input, matrix.to_dense());
    const auto layer = [&](const Csr& m, const Tensor& in, const Tensor& b) {
      return loss_of(linear(in, m, {.bias = &b}), weights);
    };
    const Tensor b = tensor_of(bias, {6}, device);
    for (const auto* g : {&sparse, &dense}) {
      expect_gradient(g->x, x, [&](const auto& v) { return layer(matrix, tensor_of(v, {5, 8}, device), b); });
      expect_gradient(g->bias, bias, [&](const auto& v) { return layer(matrix, input, tensor_of(v, {6}, device)); });
    }
    expect_gradient(sparse.w, w.values,
                    [&](const auto& v) { return layer(matrix.with_values(tensor_of(v, {nnz}, device)), input, b); });
    expect_gradient(dense.w, w.dense(), [&](const auto& v) {
      return loss_of(linear(input, tensor_of(v, {6, 8}, device), {.bias = &b}), weights);
    });
  }
}

TEST(Gradients, OfSddmm) {
  const auto a = random_matrix<double>(6, 5, 0.5, Values::normal);
  const auto nnz = static_cast<std::int64_t>(a.values.size());
  const auto x = make_values<double>(Values::normal, 6 * 3, 5);
  const auto y = make_values<double>(Values::normal, 5 * 3, 6);
  const auto weights = make_values<double>(Values::normal, nnz, 7);
  for (const Device& device : devices_under_test()) {
    const Csr pattern = a.on(device);
    const Tensor left = tensor_of(x, {6, 3}, device);
    const Tensor right = tensor_of(y, {5, 3}, device);
    const auto grad = sddmm_backward(tensor_of(weights, {nnz}, device), pattern, left, right);
    expect_gradient(grad.x, x, [&](const auto& v) {
      return loss_of(sddmm(pattern, tensor_of(v, {6, 3}, device), right), weights);
    });
    expect_gradient(grad.y, y, [&](const auto& v) {
      return loss_of(sddmm(pattern, left, tensor_of(v, {5, 3}, device)), weights);
    });
  }
}

}  // namespace
}  // namespace sparsert::test
