// tests/support.hpp — what every test needs: devices to run on, values that provoke, guards around buffers, comparison
// of bits.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "sparsert/sparsert.hpp"

namespace sparsert::test {

/// The devices a test runs on: all that are usable here. With SPARSERT_REQUIRE=cuda in the environment a machine
/// without CUDA fails instead of passing quietly. SPARSERT_TEST_DEVICE=simt leaves all others out.
inline std::vector<Device> devices_under_test() {
  const char* const required = std::getenv("SPARSERT_REQUIRE");
  if (required != nullptr && std::string(required) == "cuda" && !cuda::is_available()) {
    ADD_FAILURE() << "SPARSERT_REQUIRE=cuda, but " << cuda::status().detail;
  }
  std::vector<Device> chosen = devices();
  if (const char* const only = std::getenv("SPARSERT_TEST_DEVICE"); only != nullptr) {
    std::erase_if(chosen, [only](const Device& device) { return to_string(device) != only; });
    EXPECT_FALSE(chosen.empty()) << "SPARSERT_TEST_DEVICE=" << only << " is not a usable device";
  }
  return chosen;
}

inline const std::vector<int> kThreadCounts{1, 2, 3, 8};

/// Sets the number of threads, and puts the old one back.
class Threads {
 public:
  explicit Threads(int count) : before_(num_threads()) { set_num_threads(count); }
  ~Threads() { set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

/// Bytes of the elements, every NaN made the same one first: "any NaN equals any NaN".
template <class T>
std::vector<T> canonical_nans(std::vector<T> values) {
  if constexpr (std::is_floating_point_v<T>) {
    for (T& x : values) {
      if (std::isnan(x)) x = std::numeric_limits<T>::quiet_NaN();
    }
  }
  return values;
}

template <class T>
std::vector<T> to_vector(const Tensor& tensor) {
  const Tensor host = tensor.device().is_host() ? tensor : tensor.cpu();
  const auto span = host.span<T>();
  return {span.begin(), span.end()};
}

using equivalence::kAllValues;
using equivalence::Values;

/// `n` values of a kind, the same for the same seed on every machine.
template <class T = float>
std::vector<T> make_values(Values kind, std::int64_t n, std::uint64_t seed) {
  return to_vector<T>(equivalence::make_values(kind, {n}, dtype_of<T>, seed));
}

/// Succeeds when both hold the same bits, any NaN being equal to any NaN; else says where they differ first.
template <class T>
::testing::AssertionResult same_bits(const std::vector<T>& got, const std::vector<T>& expected) {
  if (got.size() != expected.size()) {
    return ::testing::AssertionFailure() << "got " << got.size() << " elements, expected " << expected.size();
  }
  const auto a = canonical_nans(got);
  const auto b = canonical_nans(expected);
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0) {
      return ::testing::AssertionFailure() << "element " << i << ": got " << +got[i] << ", expected " << +expected[i];
    }
  }
  return ::testing::AssertionSuccess();
}

template <class T>
::testing::AssertionResult same_bits(const Tensor& got, const std::vector<T>& expected) {
  return same_bits(to_vector<T>(got), expected);
}

/// A tensor with guard elements on both sides of it, on any host device. The guards are checked when it goes.
template <class T>
class Guarded {
 public:
  Guarded(Shape shape, const Device& device, T fill) : memory_(element_count(shape) + 2 * kGuard, kSentinel) {
    const std::int64_t n = element_count(shape);
    std::fill_n(memory_.begin() + kGuard, n, fill);
    tensor_ = Tensor::wrap(memory_.data() + kGuard, std::move(shape), dtype_of<T>, device, [] {});
  }
  ~Guarded() {
    for (std::int64_t i = 0; i < kGuard; ++i) {
      EXPECT_EQ(memory_[static_cast<std::size_t>(i)], kSentinel) << "written before the start";
      EXPECT_EQ(memory_[memory_.size() - 1 - static_cast<std::size_t>(i)], kSentinel) << "written past the end";
    }
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  Tensor& tensor() { return tensor_; }

 private:
  static constexpr std::int64_t kGuard = 64;
  static constexpr T kSentinel = static_cast<T>(113);
  std::vector<T> memory_;
  Tensor tensor_;
};

/// Runs `f` and expects an Error of `code` whose message contains every one of `words`.
template <class F>
void expect_error(ErrorCode code, const std::vector<std::string>& words, F&& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    for (const std::string& word : words) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos)
          << "\"" << word << "\" is not in: " << error.what();
    }
    return;
  }
  ADD_FAILURE() << "no error; expected " << sparsert::to_string(code);
}

}  // namespace sparsert::test
