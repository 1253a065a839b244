// tests/ops/prune_test.cpp — magnitude pruning at an exact amount, of one tensor and of many, on every device.
#include <algorithm>
#include <numeric>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

using sparsert::to_string;

/// The rule by a full sort: smallest magnitude first, of equal ones the highest index first, NaN last.
template <class T>
std::vector<T> prune_oracle(std::vector<T> x, std::int64_t remove) {
  const auto rank = [&](std::size_t i) { return std::isnan(x[i]) ? std::pair(1, T{0}) : std::pair(0, std::abs(x[i])); };
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return rank(a) != rank(b) ? rank(a) < rank(b) : a > b; });
  for (std::int64_t i = 0; i < remove; ++i) x[order[static_cast<std::size_t>(i)]] = T{0};
  return x;
}

template <class T>
bool reaches_nan(const std::vector<T>& x, std::int64_t remove) {
  return remove > std::count_if(x.begin(), x.end(), [](T v) { return !std::isnan(v); });
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
  make("two values", [](std::int64_t i) { return i % 7 == 0 ? 2.0 : 1.0; });
  make("one large", [n](std::int64_t i) { return i == n / 3 ? 1e30 : 1.0; });
  make("periodic", [](std::int64_t i) { return static_cast<double>(i % 16) * 1e3 + static_cast<double>(i) * 1e-3; });
  make("last tenth", [n](std::int64_t i) {
    return i * 10 >= n * 9 ? 100.0 + static_cast<double>(i) : 1e-3 * static_cast<double>(i % 97);
  });
  make("infinite", [](std::int64_t i) { return i % 3 == 0 ? -INFINITY : INFINITY; });
  make("NaN", [](std::int64_t) { return NAN; });
  return all;
}

template <class T>
void check_prune(const Device& device, std::int64_t n, const std::vector<double>& amounts,
                 const std::vector<int>& thread_counts = {2}) {
  for (const auto& [name, x] : inputs<T>(n)) {
    const Tensor tensor = Tensor::from(x, {n}, device);
    for (const double amount : amounts) {
      SCOPED_TRACE(to_string(device) + " n=" + std::to_string(n) + " " + name + " " + std::to_string(amount));
      const auto remove = static_cast<std::int64_t>(std::nearbyint(amount * static_cast<double>(n)));
      const bool impossible = reaches_nan(x, remove);
      const std::vector<T> expected = prune_oracle(x, remove);
      for (const int threads : thread_counts) {
        const Threads use(threads);
        if (impossible) {
          expect_error(ErrorCode::invalid_argument, {"prune::magnitude", "amount", "NaN"},
                       [&] { prune::magnitude(tensor, amount); });
        } else {
          EXPECT_TRUE(same_bits(prune::magnitude(tensor, amount), expected)) << threads << " threads";
        }
        EXPECT_TRUE(same_bits(tensor, x)) << "the input was written";
      }
    }
  }
}

const std::vector<double> kAmounts{0.0, 0.001, 0.1, 0.5, 0.9, 0.999, 1.0};

TEST(Prune, ExactlyTheSmallestGo) {
  for (const Device& device : devices_under_test()) {
    for (const std::int64_t n : {0, 1, 2, 25, 31, 32, 33, 63, 64, 65, 257, 1000, 4099})
      check_prune<float>(device, n, kAmounts);
    for (const std::int64_t n : {1, 33, 1000}) check_prune<double>(device, n, kAmounts);
  }
}

TEST(Prune, LargeWithAnyNumberOfThreads) {
  check_prune<float>(cpu_device, 150'007, {0.0, 0.1, 0.5, 0.95}, kThreadCounts);
  check_prune<double>(cpu_device, 100'003, {0.5}, kThreadCounts);
}

TEST(Prune, AmountIsRoundedToNearestEven) {
  std::vector<float> x(25);
  std::iota(x.begin(), x.end(), 1.0f);
  for (const Device& device : devices_under_test()) {
    const auto zeros = [&](double amount) {
      return 25 - count_nonzero(prune::magnitude(Tensor::from(x, {5, 5}, device), amount));
    };
    EXPECT_EQ(zeros(0.1), 2);   // 2.5
    EXPECT_EQ(zeros(0.14), 4);  // 3.5
    EXPECT_EQ(zeros(0.02), 0);  // 0.5
    EXPECT_EQ(zeros(0.06), 2);  // 1.5
    EXPECT_EQ(zeros(1.0), 25);
    EXPECT_EQ(prune::magnitude(Tensor::from(x, {5, 5}, device), 0.3).shape(), (Shape{5, 5}));
  }
}

TEST(Prune, TiesGoFromTheHighestIndex) {
  const std::vector<float> x{1, -1, 2, 1, -1, 0.5f};
  for (const Device& device : devices_under_test()) {
    EXPECT_TRUE(same_bits(prune::magnitude(Tensor::from(x, {6}, device), 0.5), std::vector<float>{1, -1, 2, 0, 0, 0}));
  }
}

TEST(Prune, SpecialValues) {
  const std::vector<float> x{NAN, -0.0f, INFINITY, 0.0f, -INFINITY, 3.0f};
  for (const Device& device : devices_under_test()) {
    const Tensor tensor = Tensor::from(x, {6}, device);
    // What stays keeps its bits, a negative zero too; what goes becomes +0.
    EXPECT_TRUE(
        same_bits(prune::magnitude(tensor, 1.0 / 6), std::vector<float>{NAN, -0.0f, INFINITY, 0.0f, -INFINITY, 3.0f}));
    EXPECT_TRUE(same_bits(prune::magnitude(tensor, 4.0 / 6), std::vector<float>{NAN, 0, INFINITY, 0, 0, 0}));
    EXPECT_TRUE(same_bits(prune::magnitude(tensor, 5.0 / 6), std::vector<float>{NAN, 0, 0, 0, 0, 0}));
    expect_error(ErrorCode::invalid_argument, {"prune::magnitude", "NaN"}, [&] { prune::magnitude(tensor, 1.0); });
  }
}

TEST(Prune, SixteenBitFloats) {
  for (const Device& device : devices_under_test()) {
    for (const DType dtype : {DType::float16, DType::bfloat16}) {
      for (const std::int64_t n : {1, 33, 1000, 5000}) {
        for (const Values kind : {Values::normal, Values::small_integers, Values::wide, Values::special}) {
          const Tensor x = cast(Tensor::from(make_values(kind, n, 9), {n}, device), dtype);
          const std::vector<float> wide = to_vector<float>(cast(x, DType::float32));
          for (const double amount : {0.0, 0.1, 0.5, 0.9}) {
            const auto remove = static_cast<std::int64_t>(std::nearbyint(amount * static_cast<double>(n)));
            if (reaches_nan(wide, remove)) continue;
            EXPECT_TRUE(same_bits(cast(prune::magnitude(x, amount), DType::float32), prune_oracle(wide, remove)))
                << to_string(device) << " " << to_string(dtype) << " " << to_string(kind) << " " << n << " " << amount;
          }
        }
      }
    }
  }
}

TEST(GlobalPrune, CountsAllTensorsAsOne) {
  for (const Device& device : devices_under_test()) {
    for (const auto& [name, x] : inputs<float>(2000)) {
      prune::NamedTensors tensors;
      std::size_t begin = 0;
      // An empty one, a scalar, and lengths that leave pieces of every size.
      for (const Shape& shape : {Shape{7, 9}, Shape{0, 4}, Shape{}, Shape{1000}, Shape{936}}) {
        const auto n = static_cast<std::size_t>(element_count(shape));
        tensors.emplace_back(to_string(shape), Tensor::from(std::span(x).subspan(begin, n), shape, device));
        begin += n;
      }
      ASSERT_EQ(begin, x.size());
      for (const double amount : kAmounts) {
        SCOPED_TRACE(to_string(device) + " " + name + " " + std::to_string(amount));
        const auto remove = static_cast<std::int64_t>(std::nearbyint(amount * static_cast<double>(x.size())));
        if (reaches_nan(x, remove)) {
          expect_error(ErrorCode::invalid_argument, {"prune::global_magnitude", "NaN"},
                       [&] { prune::global_magnitude(tensors, amount); });
          continue;
        }
        std::vector<float> got;
        const prune::NamedTensors pruned = prune::global_magnitude(tensors, amount);
        ASSERT_EQ(pruned.size(), tensors.size());
        for (std::size_t i = 0; i < pruned.size(); ++i) {
          EXPECT_EQ(pruned[i].first, tensors[i].first);
          EXPECT_EQ(pruned[i].second.shape(), tensors[i].second.shape());
          const std::vector<float> part = to_vector<float>(pruned[i].second);
          got.insert(got.end(), part.begin(), part.end());
        }
        EXPECT_TRUE(same_bits(got, prune_oracle(x, remove)));
      }
    }
  }
}

TEST(PruneErrors, NameWhatIsWrong) {
  for (const Device& device : devices_under_test()) {
    const Tensor x = Tensor::from(std::vector<float>{1, 2}, {2}, device);
    for (const double amount : {-0.1, 1.5, static_cast<double>(NAN)}) {
      expect_error(ErrorCode::invalid_argument, {"prune::magnitude", "amount", "0 to 1"},
                   [&] { prune::magnitude(x, amount); });
      expect_error(ErrorCode::invalid_argument, {"prune::global_magnitude", "amount"},
                   [&] { prune::global_magnitude({}, amount); });
    }
    const Tensor whole = Tensor::from(std::vector<std::int32_t>{1, 2}, {2}, device);
    expect_error(ErrorCode::not_supported, {"prune", "int32"}, [&] { prune::magnitude(whole, 0.5); });
    const Tensor wide = Tensor::from(std::vector<double>{1, 2}, {2}, device);
    expect_error(ErrorCode::invalid_argument, {"prune::global_magnitude", "second", "float64", "float32"}, [&] {
      prune::global_magnitude({{"first", x}, {"second", wide}}, 0.5);
    });
    if (device != cpu_device) {
      expect_error(ErrorCode::invalid_argument, {"prune::global_magnitude", "second", "cpu"}, [&] {
        prune::global_magnitude({{"first", x}, {"second", x.cpu()}}, 0.5);
      });
    }
  }
  EXPECT_TRUE(prune::global_magnitude({}, 0.5).empty());
}

}  // namespace
}  // namespace sparsert::test
