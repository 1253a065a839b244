// tests/ops/elementwise_test.cpp — ReLU, arithmetic, powers and comparison on every device, to the bit.
#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include "tests/ops/elementwise_support.hpp"

namespace sparsert::test {
namespace {

const std::vector<std::int64_t> kSizes{0, 1, 7, 31, 32, 33, 63, 64, 65, 255, 256, 257, 511, 512, 513, 32'003};

/// Applies f to every pair of elements.
template <class T, class F>
std::vector<T> zip(const std::vector<T>& x, const std::vector<T>& y, F f) {
  std::vector<T> out;
  for (std::size_t i = 0; i < x.size(); ++i) out.push_back(f(x[i], y[i]));
  return out;
}

template <class T>
T relu_oracle(T x) {
  return is_nan(x) || value_of(x) > 0 ? x : T{};
}

template <class T>
T relu_backward_oracle(T grad, T x) {
  if (is_nan(x)) return x;
  return value_of(x) > 0 ? grad : T{};
}

/// One operation on two elements, exact in double or long double, rounded once.
template <class T>
T arithmetic_oracle(char op, T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    const auto x = static_cast<std::uint64_t>(a);
    const auto y = static_cast<std::uint64_t>(b);
    return static_cast<T>(op == '+' ? x + y : op == '-' ? x - y : x * y);
  } else if constexpr (std::is_same_v<T, double> || std::is_same_v<T, float>) {
    return op == '+' ? a + b : op == '-' ? a - b : a * b;
  } else {
    // Float holds the operands; its sums and products, rounded to 16 bits, are what the contract asks for.
    const auto x = static_cast<float>(value_of(a));
    const auto y = static_cast<float>(value_of(b));
    return rounded<T>(op == '+' ? x + y : op == '-' ? x - y : x * y);
  }
}

template <class T>
class EveryDtype : public ::testing::Test {};
using Types = ::testing::Types<std::uint8_t, std::int32_t, std::int64_t, float16, bfloat16, float, double>;
TYPED_TEST_SUITE(EveryDtype, Types);

TYPED_TEST(EveryDtype, Relu) {
  for (const Device& device : devices_under_test()) {
    for (const std::int64_t n : kSizes) {
      for (const Values kind : kAllValues) {
        const auto x = values_of<TypeParam>(kind, n, 7);
        std::vector<TypeParam> expected;
        for (const TypeParam v : x) expected.push_back(relu_oracle(v));
        const Tensor tensor = Tensor::from(x, {n}, device);
        EXPECT_TRUE(same(relu(tensor), expected)) << to_string(device) << " " << n << " " << to_string(kind);
        Tensor in_place = tensor.clone();
        relu_(in_place);
        EXPECT_TRUE(same(in_place, expected)) << to_string(device) << " in place";
        EXPECT_TRUE(same(tensor, x)) << "the input changed";
      }
    }
  }
}

TYPED_TEST(EveryDtype, ReluBackward) {
  for (const Device& device : devices_under_test()) {
    for (const std::int64_t n : kSizes) {
      for (const Values kind : kAllValues) {
        const auto x = values_of<TypeParam>(kind, n, 1);
        const auto grad = values_of<TypeParam>(Values::special, n, 2);
        const auto expected = zip(grad, x, relu_backward_oracle<TypeParam>);
        const Tensor got = relu_backward(Tensor::from(grad, {n}, device), Tensor::from(x, {n}, device));
        EXPECT_TRUE(same(got, expected)) << to_string(device) << " " << n << " " << to_string(kind);
      }
    }
  }
}

TYPED_TEST(EveryDtype, Arithmetic) {
  using Function = Tensor (*)(const Tensor&, const Tensor&, const Stream&);
  const std::vector<std::pair<char, Function>> operations{{'+', add}, {'-', subtract}, {'*', multiply}};
  for (const Device& device : devices_under_test()) {
    for (const std::int64_t n : kSizes) {
      for (const Values kind : kAllValues) {
        const auto x = values_of<TypeParam>(kind, n, 3);
        const auto y = values_of<TypeParam>(kind, n, 4);
        const Tensor a = Tensor::from(x, {n}, device);
        const Tensor b = Tensor::from(y, {n}, device);
        for (const auto& [op, function] : operations) {
          const auto oracle = [op = op](TypeParam u, TypeParam v) { return arithmetic_oracle(op, u, v); };
          EXPECT_TRUE(same(function(a, b, {}), zip(x, y, oracle)))
              << to_string(device) << " " << op << " " << n << " " << to_string(kind);
        }
      }
    }
  }
}

TYPED_TEST(EveryDtype, ArithmeticWithAScalarOperand) {
  using T = TypeParam;
  using Function = Tensor (*)(const Tensor&, const Tensor&, const Stream&);
  const std::vector<std::pair<char, Function>> operations{{'+', add}, {'-', subtract}, {'*', multiply}};
  const auto x = values_of<T>(Values::wide, 1003, 5);
  const T scalar = rounded<T>(3);
  const std::vector<T> scalars(x.size(), scalar);
  for (const Device& device : devices_under_test()) {
    const Tensor a = Tensor::from(x, {17, 59}, device);
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{1, 1, 1}}) {
      const Tensor b = Tensor::from(std::vector<T>{scalar}, shape, device);
      for (const auto& [op, function] : operations) {
        const auto oracle = [op = op](T u, T v) { return arithmetic_oracle(op, u, v); };
        const Tensor right = function(a, b, {});
        EXPECT_EQ(right.shape(), a.shape());
        EXPECT_TRUE(same(right, zip(x, scalars, oracle))) << to_string(device) << " " << op;
        EXPECT_TRUE(same(function(b, a, {}), zip(scalars, x, oracle))) << to_string(device) << " " << op;
      }
    }
  }
}

TYPED_TEST(EveryDtype, Power) {
  using T = TypeParam;
  for (const Device& device : devices_under_test()) {
    for (const Values kind : {Values::normal, Values::small_integers, Values::special, Values::wide}) {
      const auto x = values_of<T>(kind, 1027, 6);
      for (const int exponent : {0, 1, 2, 3, 5}) {
        std::vector<T> expected;
        for (const T v : x) {
          if constexpr (std::is_integral_v<T>) {
            std::uint64_t product = 1;
            for (int e = 0; e < exponent; ++e) product *= static_cast<std::uint64_t>(v);
            expected.push_back(static_cast<T>(product));
          } else if constexpr (std::is_same_v<T, double>) {
            double product = 1;
            for (int e = 0; e < exponent; ++e) product *= v;
            expected.push_back(product);
          } else {
            float product = 1;
            for (int e = 0; e < exponent; ++e) product *= static_cast<float>(value_of(v));
            expected.push_back(rounded<T>(product));
          }
        }
        EXPECT_TRUE(same(power(Tensor::from(x, {1027}, device), exponent), expected))
            << to_string(device) << " " << to_string(kind) << " to the " << exponent;
      }
    }
  }
}

TYPED_TEST(EveryDtype, EqualSeesEachElement) {
  using T = TypeParam;
  for (const Device& device : devices_under_test()) {
    for (const std::int64_t n : {1, 33, 513, 70'001}) {
      if (device.type == Device::Type::simt && n > 1000) continue;  // 10,000 times as slow
      const auto x = values_of<T>(Values::small_integers, n, 8);
      const Tensor a = Tensor::from(x, {n}, device);
      EXPECT_TRUE(equal(a, a.clone())) << to_string(device) << " " << n;
      for (const std::int64_t at : {std::int64_t{0}, n / 2, n - 1}) {
        auto y = x;
        y[static_cast<std::size_t>(at)] = rounded<T>(77);
        EXPECT_FALSE(equal(a, Tensor::from(y, {n}, device))) << to_string(device) << " " << n << " at " << at;
      }
    }
    const Tensor nothing = Tensor::empty({0}, dtype_of<T>, device);
    EXPECT_TRUE(equal(nothing, nothing));
  }
}

TYPED_TEST(EveryDtype, GuardsSurvive) {
  using T = TypeParam;
  if constexpr (std::is_arithmetic_v<T>) {
    for (const Device& device : devices_under_test()) {
      if (!device.is_host()) continue;  // the guards are host memory
      for (const std::int64_t n : {1, 31, 33, 1000}) {
        Guarded<T> x({n}, device, static_cast<T>(3));
        relu_(x.tensor());
        EXPECT_TRUE(same(x.tensor(), std::vector<T>(static_cast<std::size_t>(n), static_cast<T>(3))));
      }
    }
  }
}

/// A period of values, repeated up to n of them.
template <class T>
std::vector<T> repeated(const std::vector<T>& period, std::int64_t n) {
  std::vector<T> all;
  all.reserve(static_cast<std::size_t>(n) + period.size());
  while (static_cast<std::int64_t>(all.size()) < n) all.insert(all.end(), period.begin(), period.end());
  all.resize(static_cast<std::size_t>(n));
  return all;
}

TYPED_TEST(EveryDtype, ThreadsAndInstructionSetsGiveTheSameBits) {
  using T = TypeParam;
  // Above the limits from which the CPU splits the work, and writes past the caches.
  const std::int64_t n = (std::int64_t{17} << 20) / static_cast<std::int64_t>(sizeof(T)) + 13;
  const auto x = values_of<T>(Values::special, 4099, 9);
  const auto y = values_of<T>(Values::wide, 4099, 10);
  const Tensor a = Tensor::from(repeated(x, n), {n});
  const Tensor b = Tensor::from(repeated(y, n), {n});
  std::vector<T> ones;
  for (const T v : x) ones.push_back(relu_oracle(v));
  const auto expected_relu = repeated(ones, n);
  const auto expected_sum = repeated(zip(x, y, [](T u, T v) { return arithmetic_oracle('+', u, v); }), n);
  const auto expected_backward = repeated(zip(y, x, relu_backward_oracle<T>), n);
  const auto expected_cast = repeated(x, n);
  const auto check = [&] {
    EXPECT_TRUE(same(relu(a), expected_relu));
    EXPECT_TRUE(same(add(a, b), expected_sum));
    EXPECT_TRUE(same(relu_backward(b, a), expected_backward));
    EXPECT_TRUE(same(cast(cast(a, DType::float64), dtype_of<T>), expected_cast));
  };
  for (const int threads : kThreadCounts) {
    const Threads set(threads);
    SCOPED_TRACE(threads);
    check();
  }
  const Threads two(2);
  EveryTarget().run(check);
}

TYPED_TEST(EveryDtype, ViewsThatAreNotAligned) {
  using T = TypeParam;
  const std::int64_t n = 2051;
  const auto x = values_of<T>(Values::normal, n + 8, 11);
  for (const Device& device : devices_under_test()) {
    if (!device.is_host()) continue;  // wraps host memory
    for (int shift = 0; shift < 8; ++shift) {
      auto memory = x;
      const std::vector<T> part(x.begin() + shift, x.begin() + shift + n);
      std::vector<T> expected;
      for (const T v : part) expected.push_back(relu_oracle(v));
      Tensor tensor = Tensor::wrap(memory.data() + shift, {n}, dtype_of<T>, device, [] {});
      EXPECT_TRUE(same(relu(tensor), expected)) << to_string(device) << " " << shift;
      EXPECT_TRUE(same(add(tensor, tensor), zip(part, part, [](T u, T v) { return arithmetic_oracle('+', u, v); })));
      relu_(tensor);
      EXPECT_TRUE(same(tensor, expected)) << to_string(device) << " in place, " << shift;
    }
  }
}

// ---- Special values, and what is refused.

TEST(Relu, NegativeZeroGivesPositiveZero) {
  for (const Device& device : devices_under_test()) {
    EXPECT_TRUE(same_bits(relu(Tensor::from(std::vector<float>{-0.0f}, {1}, device)), std::vector<float>{0.0f}));
    const Tensor half = Tensor::from(std::vector<float16>{{0x8000}, {0xfc00}, {0x7c00}, {0x8001}}, {4}, device);
    EXPECT_EQ(to_vector<float16>(relu(half)), (std::vector<float16>{{0}, {0}, {0x7c00}, {0}}));
  }
}

TEST(Equal, KnowsZeroNanShapeAndDtype) {
  for (const Device& device : devices_under_test()) {
    const auto one = [&](float v) { return Tensor::from(std::vector<float>{v}, {1}, device); };
    EXPECT_TRUE(equal(one(0.0f), one(-0.0f)));
    EXPECT_FALSE(equal(one(NAN), one(NAN)));
    EXPECT_FALSE(equal(one(1), one(1).reshape({1, 1})));
    EXPECT_FALSE(equal(one(1), cast(one(1), DType::float64)));
  }
}

TEST(Arithmetic, SquaresOfOneToNinetyNineAgreeWithTheCpu) {
  std::vector<std::int32_t> values(100 * 100);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int32_t>(i % 99) + 1;
  const Tensor x = Tensor::from(values, {100, 100});
  const Tensor expected = power(x, 2);
  for (const Device& device : devices_under_test()) {
    EXPECT_TRUE(equal(power(x.to(device), 2).cpu(), expected)) << to_string(device);
  }
}

TEST(Launches, AreCountedOnce) {
  for (const Device& device : devices_under_test()) {
    const bool has_kernels = device.type == Device::Type::cuda || device.type == Device::Type::simt;
    const Tensor x = Tensor::from(std::vector<float>{1, -2, 3}, {3}, device);
    const std::int64_t before = kernel_launches(device);
    relu(x);
    EXPECT_EQ(kernel_launches(device) - before, has_kernels ? 1 : 0) << to_string(device);
  }
}

TEST(Elementwise, RefusesBadOperands) {
  const Tensor x = Tensor::zeros({2, 3}, DType::float32);
  const Tensor elsewhere = Tensor::zeros({2, 3}, DType::float32, {Device::Type::reference, 0});
  using Operation = std::function<Tensor(const Tensor&, const Tensor&)>;
  const std::vector<std::pair<std::string, Operation>> operations{
      {"add", [](const Tensor& a, const Tensor& b) { return add(a, b); }},
      {"subtract", [](const Tensor& a, const Tensor& b) { return subtract(a, b); }},
      {"multiply", [](const Tensor& a, const Tensor& b) { return multiply(a, b); }},
      {"relu_backward", [](const Tensor& a, const Tensor& b) { return relu_backward(a, b); }},
  };
  for (const auto& [name, operation] : operations) {
    const auto refuses = [&, name = name, operation = operation](const Tensor& y, std::vector<std::string> words) {
      words.insert(words.begin(), name + ":");
      expect_error(ErrorCode::invalid_argument, words, [&] { operation(x, y); });
    };
    refuses(Tensor::zeros({3, 2}, DType::float32), {"(3, 2)", "(2, 3)"});
    refuses(Tensor::zeros({6}, DType::float32), {"(6,)"});
    refuses(Tensor::zeros({0}, DType::float32), {"(0,)"});
    refuses(Tensor::zeros({2, 3}, DType::float64), {"float64", "float32"});
    refuses(elsewhere, {"reference", "cpu"});
  }
  expect_error(ErrorCode::invalid_argument, {"equal:", "reference", "cpu"}, [&] { equal(x, elsewhere); });
  for (const int exponent : {-1, 1025, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()}) {
    expect_error(ErrorCode::invalid_argument, {"power:", std::to_string(exponent)}, [&] { power(x, exponent); });
  }
}

TEST(Elementwise, RefusesAStreamOfAnotherDevice) {
  const Tensor x = Tensor::zeros({2}, DType::float32);
  const Stream stream({Device::Type::reference, 0});
  const std::vector<std::string> words{"reference", "cpu"};
  expect_error(ErrorCode::invalid_argument, words, [&] { add(x, x, stream); });
  expect_error(ErrorCode::invalid_argument, words, [&] { power(x, 2, stream); });
  expect_error(ErrorCode::invalid_argument, words, [&] { cast(x, DType::int32, stream); });
  expect_error(ErrorCode::invalid_argument, words, [&] { equal(x, x, stream); });
  expect_error(ErrorCode::invalid_argument, words, [&] { relu(x, stream); });
  expect_error(ErrorCode::invalid_argument, words, [&] { relu_backward(x, x, stream); });
  Tensor y = Tensor::from(std::vector<float>{-1, 2}, {2});
  expect_error(ErrorCode::invalid_argument, words, [&] { relu_(y, stream); });
  EXPECT_TRUE(same_bits(y, std::vector<float>{-1, 2}));
}

TEST(Elementwise, ManyThreadsAtOnceGiveTheSameBits) {
  const auto values = make_values(Values::special, 5000, 13);
  const Tensor x = Tensor::from(values, {5000});
  const auto expected = to_vector<float>(relu(x));
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) wrong += !same_bits(relu(x), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace sparsert::test
