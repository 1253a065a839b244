// tests/ops/activation_test.cpp — ReLUs that come out sparse, their gradients, leaky and squared ones, statistics.
#include "sparsert/activation.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

using sparsert::to_string;

const std::vector<Shape> kShapes{{0, 5}, {5, 0}, {1, 1}, {1, 257}, {63, 1}, {31, 33}, {64, 65}, {17, 8}};

template <class T, class I>
void check_sparse_relu(const Device& device, double threshold) {
  for (const Shape& shape : kShapes) {
    for (const Values kind : kAllValues) {
      const std::vector<T> x = make_values<T>(kind, element_count(shape), 1);
      const std::vector<T> grad = make_values<T>(Values::normal, element_count(shape), 2);
      std::vector<I> offsets{0};
      std::vector<I> columns;
      std::vector<T> values;
      std::vector<T> gradients;
      std::vector<std::uint8_t> bits(static_cast<std::size_t>(shape[0] * ((shape[1] + 7) / 8)));
      for (std::int64_t r = 0; r < shape[0]; ++r) {
        for (std::int64_t c = 0; c < shape[1]; ++c) {
          const T v = x[static_cast<std::size_t>(r * shape[1] + c)];
          if (!(v > static_cast<T>(threshold)) && !std::isnan(v)) continue;
          columns.push_back(static_cast<I>(c));
          values.push_back(v);
          gradients.push_back(std::isnan(v) ? v : grad[static_cast<std::size_t>(r * shape[1] + c)]);
          bits[static_cast<std::size_t>(r * ((shape[1] + 7) / 8) + c / 8)] |= static_cast<std::uint8_t>(1u << (c % 8));
        }
        offsets.push_back(static_cast<I>(columns.size()));
      }
      SCOPED_TRACE(to_string(device) + " " + to_string(shape) + " " + to_string(kind));
      const Tensor tensor = Tensor::from(x, shape, device);
      const SparseReluOptions options{threshold, dtype_of<I>};
      for (const int threads : device == cpu_device ? kThreadCounts : std::vector<int>{2}) {
        const Threads use(threads);
        const Csr csr = relu_to_csr(tensor, options);
        EXPECT_TRUE(same_bits(csr.row_offsets(), offsets));
        EXPECT_TRUE(same_bits(csr.columns(), columns));
        EXPECT_TRUE(same_bits(csr.values(), values));
        const Bitmap bitmap = relu_to_bitmap(tensor, options);
        EXPECT_TRUE(same_bits(bitmap.bits(), bits));
        EXPECT_TRUE(same_bits(bitmap.values(), values));
        EXPECT_TRUE(same_bits(bitmap.row_offsets(), offsets));
        bitmap.validate();
        const Tensor dense_grad = Tensor::from(grad, shape, device);
        EXPECT_TRUE(same_bits(relu_backward(dense_grad, csr).values(), gradients));
        EXPECT_TRUE(same_bits(relu_backward(dense_grad, bitmap).values(), gradients));
        if (threshold == 0) {
          EXPECT_TRUE(same_bits(csr.to_dense(), to_vector<T>(relu(tensor))));
          EXPECT_TRUE(same_bits(bitmap.to_dense(), to_vector<T>(relu(tensor))));
          EXPECT_TRUE(
              same_bits(relu_backward(dense_grad, csr).to_dense(), to_vector<T>(relu_backward(dense_grad, tensor))));
        }
      }
    }
  }
}

TEST(SparseRelu, CsrAndBitmapHoldWhatPasses) {
  for (const Device& device : devices_under_test()) {
    check_sparse_relu<float, std::int32_t>(device, 0);
    check_sparse_relu<float, std::int64_t>(device, 0.5);
    check_sparse_relu<double, std::int32_t>(device, 0);
  }
}

TEST(SparseRelu, SixteenBitFloats) {
  for (const Device& device : devices_under_test()) {
    for (const DType dtype : {DType::float16, DType::bfloat16}) {
      const Tensor x = equivalence::make_values(Values::special, {40, 33}, dtype, 3).to(device);
      EXPECT_FALSE(equivalence::first_difference(relu_to_csr(x).to_dense(), relu(x)));
      EXPECT_FALSE(equivalence::first_difference(relu_to_bitmap(x).to_dense(), relu(x)));
      const Tensor grad = equivalence::make_values(Values::normal, {40, 33}, dtype, 4).to(device);
      EXPECT_FALSE(
          equivalence::first_difference(relu_backward(grad, relu_to_csr(x)).to_dense(), relu_backward(grad, x)));
    }
  }
}

template <class T>
void check_dense(const Device& device) {
  for (const Values kind : kAllValues) {
    for (const std::int64_t n : {0, 1, 33, 1000}) {
      const std::vector<T> x = make_values<T>(kind, n, 5);
      const std::vector<T> grad = make_values<T>(Values::wide, n, 6);
      const T slope = static_cast<T>(0.1);
      std::vector<T> leaky;
      std::vector<T> leaky_grad;
      std::vector<T> squared;
      std::vector<T> squared_grad;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const T v = x[i];
        if (std::isnan(v)) {
          for (auto* out : {&leaky, &leaky_grad, &squared, &squared_grad}) out->push_back(v);
          continue;
        }
        leaky.push_back(v > 0 ? v : slope * v);
        leaky_grad.push_back(v > 0 ? grad[i] : slope * grad[i]);
        squared.push_back(v > 0 ? v * v : T{0});
        squared_grad.push_back(v > 0 ? (v + v) * grad[i] : T{0});
      }
      SCOPED_TRACE(to_string(device) + " " + to_string(kind));
      const Tensor tensor = Tensor::from(x, {n}, device);
      const Tensor gradient = Tensor::from(grad, {n}, device);
      EXPECT_TRUE(same_bits(leaky_relu(tensor, 0.1), leaky));
      EXPECT_TRUE(same_bits(leaky_relu_backward(gradient, tensor, 0.1), leaky_grad));
      EXPECT_TRUE(same_bits(squared_relu(tensor), squared));
      EXPECT_TRUE(same_bits(squared_relu_backward(gradient, tensor), squared_grad));
    }
  }
}

TEST(DenseActivations, LeakyAndSquared) {
  for (const Device& device : devices_under_test()) {
    check_dense<float>(device);
    check_dense<double>(device);
  }
}

TEST(DenseActivations, GradientsAreThoseOfFiniteDifferences) {
  const std::vector<double> x{-2, -0.5, 0.25, 1, 3};
  const Tensor ones = Tensor::from(std::vector<double>(5, 1.0), {5});
  const auto check = [&](const auto& f, const Tensor& got) {
    constexpr double kStep = 1e-6;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto at = [&](double v) { return f(Tensor::from(std::vector<double>{v}, {1})).template span<double>()[0]; };
      const double difference = (at(x[i] + kStep) - at(x[i] - kStep)) / (2 * kStep);
      EXPECT_NEAR(got.span<double>()[i], difference, 1e-5 + 1e-3 * std::abs(difference));
    }
  };
  const Tensor tensor = Tensor::from(x, {5});
  check([](const Tensor& t) { return leaky_relu(t, 0.2); }, leaky_relu_backward(ones, tensor, 0.2));
  check([](const Tensor& t) { return squared_relu(t); }, squared_relu_backward(ones, tensor));
}

TEST(TopkActivation, KeepsTheLargestOfEachRow) {
  for (const Device& device : devices_under_test()) {
    for (const Shape& shape : {Shape{1, 1}, Shape{5, 40}, Shape{2, 3, 17}, Shape{0, 4}}) {
      for (const Values kind : {Values::normal, Values::small_integers, Values::zeros}) {
        const std::vector<float> x = make_values(kind, element_count(shape), 7);
        const std::int64_t n = shape.back();
        for (const std::int64_t k : {std::int64_t{0}, std::int64_t{1}, n / 3, n}) {
          std::vector<float> expected(x.size());
          for (std::size_t first = 0; first < x.size(); first += static_cast<std::size_t>(n)) {
            std::vector<std::size_t> order(static_cast<std::size_t>(n));
            std::iota(order.begin(), order.end(), first);
            std::stable_sort(order.begin(), order.end(),
                             [&](std::size_t a, std::size_t b) { return std::abs(x[a]) > std::abs(x[b]); });
            for (std::int64_t i = 0; i < k; ++i) {
              const std::size_t at = order[static_cast<std::size_t>(i)];
              expected[at] = x[at];
            }
          }
          EXPECT_TRUE(same_bits(topk_activation(Tensor::from(x, shape, device), k), expected))
              << to_string(device) << " " << to_string(shape) << " k " << k;
        }
      }
    }
  }
}

TEST(SparseActivation, TheLayerHasTheBitsOfTheDenseOne) {
  for (const Device& device : devices_under_test()) {
    for (const DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16}) {
      for (const Values kind : {Values::normal, Values::wide, Values::small_integers}) {
        if (dtype == DType::float16 && kind == Values::wide) continue;  // not finite there
        for (const bool with_bias : {false, true}) {
          const Tensor x = equivalence::make_values(kind, {7, 40}, dtype, 8).to(device);
          const Tensor w = equivalence::make_values(kind, {13, 40}, dtype, 9).to(device);
          const Tensor bias = equivalence::make_values(kind, {13}, dtype, 10).to(device);
          const LinearOptions options{.bias = with_bias ? &bias : nullptr, .relu = with_bias};
          const Tensor dense = linear(relu(x), w, options);
          SCOPED_TRACE(to_string(device) + " " + std::string(to_string(dtype)) + " " + to_string(kind));
          EXPECT_FALSE(equivalence::first_difference(linear(relu_to_csr(x), w, options), dense));
          EXPECT_FALSE(equivalence::first_difference(linear(relu_to_bitmap(x), w, options), dense));
          Tensor out = Tensor::empty({7, 13}, dtype, device);
          LinearOptions into = options;
          into.out = &out;
          linear(relu_to_csr(x), w, into);
          EXPECT_FALSE(equivalence::first_difference(out, dense));
        }
      }
    }
  }
}

TEST(ActivationStatistics, CountsZerosAndDeadNeurons) {
  for (const Device& device : devices_under_test()) {
    ActivationStatistics statistics;
    statistics.add("fc1", Tensor::from(std::vector<float>{1, 0, 0, 0, 0, -0.0f}, {2, 3}, device));
    statistics.add("fc1", Tensor::from(std::vector<float>{0, 0, NAN}, {1, 3}, device));
    statistics.add("fc2", Tensor::from(std::vector<double>{0, 2}, {1, 2}, device));
    const auto layers = statistics.layers();
    EXPECT_EQ(layers.at("fc1").rows, 3);
    EXPECT_EQ(layers.at("fc1").elements, 9);
    EXPECT_EQ(layers.at("fc1").zeros, 7);
    EXPECT_EQ(layers.at("fc1").dead, 1);
    EXPECT_EQ(layers.at("fc2").dead, 1);
    EXPECT_EQ(layers.at("fc2").sparsity(), 0.5);
    expect_error(ErrorCode::invalid_argument, {"ActivationStatistics", "fc2", "3 features", "expected 2"}, [&] {
      statistics.add("fc2", Tensor::zeros({1, 3}, DType::float32, device));
    });
  }
}

TEST(ActivationErrors, NameWhatIsWrong) {
  for (const Device& device : devices_under_test()) {
    const Tensor x = Tensor::zeros({4, 6}, DType::float32, device);
    const auto bad = ErrorCode::invalid_argument;
    expect_error(bad, {"relu_to_csr", "(24,)"}, [&] { relu_to_csr(x.reshape({24})); });
    expect_error(bad, {"relu_to_bitmap", "threshold is -1"}, [&] { relu_to_bitmap(x, {.threshold = -1}); });
    expect_error(bad, {"relu_to_csr", "index_dtype is float32"},
                 [&] { relu_to_csr(x, {.index_dtype = DType::float32}); });
    expect_error(bad, {"relu_backward", "(6, 4)", "(4, 6)"}, [&] { relu_backward(x.reshape({6, 4}), relu_to_csr(x)); });
    expect_error(bad, {"topk_activation", "k is 7", "0 to 6"}, [&] { topk_activation(x, 7); });
    expect_error(bad, {"linear", "w has 5 columns", "6"}, [&] {
      linear(relu_to_csr(x), Tensor::zeros({3, 5}, DType::float32, device));
    });
    expect_error(ErrorCode::not_supported, {"relu_to_csr", "int32"}, [&] {
      relu_to_csr(Tensor::zeros({2, 2}, DType::int32, device));
    });
    expect_error(ErrorCode::not_supported, {"leaky_relu", "int32"}, [&] {
      leaky_relu(Tensor::zeros({2, 2}, DType::int32, device));
    });
  }
}

}  // namespace
}  // namespace sparsert::test
