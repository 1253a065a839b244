// tests/ops/topk_test.cpp — the k largest by magnitude, their indices and their order, on every device.
#include <algorithm>
#include <numeric>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

using sparsert::to_string;

/// Indices by the rule, with a full sort: NaN first, then descending magnitude, then ascending index.
template <class T>
std::vector<std::int64_t> topk_oracle(const std::vector<T>& x, std::int64_t k) {
  const auto rank = [&](std::int64_t i) {
    const T v = x[static_cast<std::size_t>(i)];
    return std::isnan(v) ? std::pair(1, T{0}) : std::pair(0, std::abs(v));
  };
  std::vector<std::int64_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::int64_t a, std::int64_t b) { return rank(a) != rank(b) ? rank(a) > rank(b) : a < b; });
  order.resize(static_cast<std::size_t>(k));
  return order;
}

template <class T>
std::vector<T> pick(const std::vector<T>& x, const std::vector<std::int64_t>& indices) {
  std::vector<T> values;
  for (const std::int64_t i : indices) values.push_back(x[static_cast<std::size_t>(i)]);
  return values;
}

/// Inputs on which a sample misleads, or on which ties decide.
template <class T>
std::vector<std::pair<std::string, std::vector<T>>> inputs(std::int64_t n) {
  std::vector<std::pair<std::string, std::vector<T>>> all;
  for (const Values kind : kAllValues) all.emplace_back(to_string(kind), make_values<T>(kind, n, 3));
  const auto make = [&](const char* name, auto value) {
    std::vector<T> x(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = static_cast<T>(value(i));
    all.emplace_back(name, std::move(x));
  };
  make("all equal", [](std::int64_t i) { return i % 2 == 0 ? 1.5 : -1.5; });
  make("ascending", [](std::int64_t i) { return static_cast<double>(i); });
  make("descending", [n](std::int64_t i) { return static_cast<double>(n - i); });
  make("two values", [](std::int64_t i) { return i % 7 == 0 ? -2.0 : 1.0; });
  make("one large", [n](std::int64_t i) { return i == n / 3 ? 1e30 : 1.0; });
  make("few, then zeros", [](std::int64_t i) { return i < 20 ? 1.0 + static_cast<double>(i) : 0.0; });
  make("large at the end", [n](std::int64_t i) { return i * 100 >= n * 99 ? 100.0 + static_cast<double>(i) : 1e-3; });
  make("periodic", [](std::int64_t i) { return static_cast<double>(i % 16) * 1e3 + static_cast<double>(i) * 1e-3; });
  make("infinite", [](std::int64_t i) { return i % 3 == 0 ? -INFINITY : INFINITY; });
  make("NaN", [](std::int64_t) { return NAN; });
  return all;
}

template <class T>
void check_topk(const Device& device, std::int64_t n, const std::vector<std::int64_t>& ks,
                const std::vector<int>& thread_counts = {2}) {
  for (const auto& [name, x] : inputs<T>(n)) {
    const Tensor tensor = Tensor::from(x, {n}, device);
    const std::vector<std::int64_t> all = topk_oracle(x, n);
    for (const std::int64_t k : ks) {
      if (k < 0 || k > n) continue;
      const std::vector<std::int64_t> expected(all.begin(), all.begin() + k);
      for (const int threads : thread_counts) {
        SCOPED_TRACE(to_string(device) + " n=" + std::to_string(n) + " k=" + std::to_string(k) + " " + name +
                     " threads " + std::to_string(threads));
        const Threads use(threads);
        const Topk got = topk(tensor, k);
        EXPECT_TRUE(same_bits(got.indices, expected));
        EXPECT_TRUE(same_bits(got.values, pick(x, expected)));
      }
    }
  }
}

TEST(Topk, ExactlyTheLargestInOrder) {
  for (const Device& device : devices_under_test()) {
    for (const std::int64_t n : {0, 1, 2, 31, 32, 33, 63, 64, 65, 255, 256, 257, 1000, 4099}) {
      check_topk<float>(device, n, {0, 1, 2, n / 100, n / 10, n / 2, n - 1, n});
    }
    for (const std::int64_t n : {1, 33, 1000}) check_topk<double>(device, n, {0, 1, n / 10, n});
  }
}

TEST(Topk, LargeWithAnyNumberOfThreads) {
  check_topk<float>(cpu_device, 150'007, {1, 150, 1500, 15'000, 75'000, 150'007}, kThreadCounts);
  check_topk<double>(cpu_device, 100'003, {1000, 50'000}, kThreadCounts);
}

TEST(Topk, LongRowsOnEveryDevice) {
  const std::int64_t n = 65'569;  // from 2^16 on a row has a grid of its own
  for (const Device& device : devices_under_test()) {
    for (const char* name : {"wide", "all equal", "few, then zeros", "two values"}) {
      for (const auto& [input, x] : inputs<float>(n)) {
        if (input != name) continue;
        const std::vector<std::int64_t> all = topk_oracle(x, n);
        for (const std::int64_t k : {1, 600, 30'000}) {
          SCOPED_TRACE(to_string(device) + " " + name + " k=" + std::to_string(k));
          const std::vector<std::int64_t> expected(all.begin(), all.begin() + k);
          const Topk got = topk(Tensor::from(x, {n}, device), k);
          EXPECT_TRUE(same_bits(got.indices, expected));
          EXPECT_TRUE(same_bits(got.values, pick(x, expected)));
        }
      }
    }
  }
}

TEST(Topk, SixteenBitFloats) {
  for (const Device& device : devices_under_test()) {
    for (const DType dtype : {DType::float16, DType::bfloat16}) {
      for (const Values kind : {Values::normal, Values::small_integers, Values::wide, Values::special}) {
        const Tensor x = cast(Tensor::from(make_values(kind, 3000, 9), {3000}, device), dtype);
        const std::vector<float> wide = to_vector<float>(cast(x, DType::float32));
        for (const std::int64_t k : {1, 30, 1500, 3000}) {
          SCOPED_TRACE(to_string(device) + " " + std::string(to_string(dtype)) + " " + to_string(kind));
          const std::vector<std::int64_t> expected = topk_oracle(wide, k);
          const Topk got = topk(x, k);
          EXPECT_TRUE(same_bits(got.indices, expected));
          EXPECT_TRUE(same_bits(cast(got.values, DType::float32), pick(wide, expected)));
        }
      }
    }
  }
}

TEST(Topk, AlongTheLastDimension) {
  for (const Device& device : devices_under_test()) {
    for (const Shape& shape :
         {Shape{5, 40}, Shape{1, 7}, Shape{3, 4, 17}, Shape{100, 2}, Shape{2, 3000}, Shape{0, 9}, Shape{300, 65}}) {
      const std::int64_t n = shape.back();
      const std::int64_t rows = element_count(shape) / n;
      const std::vector<float> x = make_values(Values::special, rows * n, 21);
      for (const std::int64_t k : {std::int64_t{0}, std::int64_t{1}, n / 2, n}) {
        SCOPED_TRACE(to_string(device) + " " + to_string(shape) + " k=" + std::to_string(k));
        std::vector<std::int64_t> indices;
        std::vector<float> values;
        for (std::int64_t r = 0; r < rows; ++r) {
          const std::vector<float> row(x.begin() + r * n, x.begin() + (r + 1) * n);
          const auto expected = topk_oracle(row, k);
          const auto picked = pick(row, expected);
          indices.insert(indices.end(), expected.begin(), expected.end());
          values.insert(values.end(), picked.begin(), picked.end());
        }
        Shape expected_shape = shape;
        expected_shape.back() = k;
        const Topk got = topk(Tensor::from(x, shape, device), k);
        EXPECT_EQ(got.indices.shape(), expected_shape);
        EXPECT_EQ(got.values.shape(), expected_shape);
        EXPECT_TRUE(same_bits(got.indices, indices));
        EXPECT_TRUE(same_bits(got.values, values));
      }
    }
  }
}

TEST(Topk, SpecialValuesAndTies) {
  const std::vector<float> x{-0.0f, 3, NAN, -3, INFINITY, 0.0f, -INFINITY, NAN, 3};
  for (const Device& device : devices_under_test()) {
    const Topk got = topk(Tensor::from(x, {9}, device), 9);
    EXPECT_TRUE(same_bits(got.indices, std::vector<std::int64_t>{2, 7, 4, 6, 1, 3, 8, 0, 5})) << to_string(device);
    EXPECT_TRUE(same_bits(got.values, std::vector<float>{NAN, NAN, INFINITY, -INFINITY, 3, -3, 3, -0.0f, 0.0f}));
  }
}

TEST(Topk, ScalarsAndEmptyTensors) {
  for (const Device& device : devices_under_test()) {
    const Tensor scalar = Tensor::from(std::vector<float>{-7.0f}, {}, device);
    EXPECT_EQ(topk(scalar, 1).values.shape(), (Shape{1}));
    EXPECT_TRUE(same_bits(topk(scalar, 1).values, std::vector<float>{-7.0f}));
    EXPECT_TRUE(same_bits(topk(scalar, 1).indices, std::vector<std::int64_t>{0}));
    EXPECT_EQ(topk(scalar, 0).values.shape(), (Shape{0}));
    EXPECT_EQ(topk(Tensor::empty({3, 0}, DType::float32, device), 0).indices.shape(), (Shape{3, 0}));
    EXPECT_EQ(topk(Tensor::empty({0}, DType::float64, device), 0).values.dtype(), DType::float64);
  }
}

TEST(TopkErrors, NameWhatIsWrong) {
  for (const Device& device : devices_under_test()) {
    const Tensor x = Tensor::from(std::vector<float>{1, 2, 3, 4}, {2, 2}, device);
    expect_error(ErrorCode::invalid_argument, {"topk", "k is 3", "0 to 2", "(2, 2)"}, [&] { topk(x, 3); });
    expect_error(ErrorCode::invalid_argument, {"topk", "k is -1", "0 to 2"}, [&] { topk(x, -1); });
    expect_error(ErrorCode::invalid_argument, {"topk", "k is 1", "0 to 0"},
                 [&] { topk(Tensor::empty({0}, DType::float32, device), 1); });
    expect_error(ErrorCode::not_supported, {"topk", "int32"},
                 [&] { topk(Tensor::empty({4}, DType::int32, device), 1); });
  }
}

}  // namespace
}  // namespace sparsert::test
