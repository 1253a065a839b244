// tests/ops/elementwise_support.hpp — what a value is and how it rounds, by definition: independent of the library.
#pragma once

#include <string>
#include <vector>

#include "device/cpu.hpp"
#include "tests/support.hpp"

namespace sparsert::test {

/// Runs every CPU instruction set that the machine has, and puts the one in use back.
class EveryTarget {
 public:
  EveryTarget() : before_(cpu_target()) {}
  ~EveryTarget() { set_cpu_target(before_); }
  EveryTarget(const EveryTarget&) = delete;
  EveryTarget& operator=(const EveryTarget&) = delete;

  template <class F>
  void run(F&& f) {
    for (const std::string& target : cpu_targets()) {
      set_cpu_target(target);
      SCOPED_TRACE(target);
      f();
    }
  }

 private:
  std::string before_;
};

// ---- Values as doubles, by definition. Independent of the library's conversions.

inline double value_of(float16 x) {
  const int exponent = x.bits >> 10 & 31;
  const int mantissa = x.bits & 1023;
  const double sign = (x.bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 31) return mantissa != 0 ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

inline double value_of(bfloat16 x) {
  const int exponent = x.bits >> 7 & 255;
  const int mantissa = x.bits & 127;
  const double sign = (x.bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 255) return mantissa != 0 ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  return sign * (exponent == 0 ? std::ldexp(mantissa, -133) : std::ldexp(128 + mantissa, exponent - 134));
}

template <class T>
double value_of(T x) {
  return static_cast<double>(x);
}

/// The T nearest to x, ties to even: found among all of them by bisection, since bits order like magnitudes.
template <class T>
T nearest16(long double x) {
  constexpr std::uint16_t kInfinity = std::is_same_v<T, float16> ? 0x7c00 : 0x7f80;
  if (std::isnan(x)) return {0x7fff};
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const long double magnitude = std::fabs(x);
  std::uint16_t low = 0;
  std::uint16_t high = kInfinity;
  while (high - low > 1) {
    const auto middle = static_cast<std::uint16_t>((low + high) / 2);
    (value_of(T{middle}) <= magnitude ? low : high) = middle;
  }
  if (magnitude == std::numeric_limits<long double>::infinity()) return {static_cast<std::uint16_t>(sign | kInfinity)};
  // Infinity stands where the next finite number would be.
  const long double below = value_of(T{low});
  const long double above =
      high == kInfinity ? 2 * below - value_of(T{static_cast<std::uint16_t>(low - 1)}) : value_of(T{high});
  const bool up = magnitude - below > above - magnitude || (magnitude - below == above - magnitude && low % 2 == 1);
  return {static_cast<std::uint16_t>(sign | (up ? high : low))};
}

/// x rounded once to T by the definition of the type.
template <class T>
T rounded(double x) {
  if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>) return nearest16<T>(x);
  else return static_cast<T>(x);
}

template <class T>
std::vector<T> values_of(Values kind, std::int64_t n, std::uint64_t seed) {
  return make_values<T>(kind, n, seed);
}

template <class T>
bool is_nan(T x) {
  return std::isnan(value_of(x));
}

template <class T>
::testing::AssertionResult same(const Tensor& got, const std::vector<T>& expected) {
  const auto host = to_vector<T>(got);
  if (host.size() != expected.size()) return ::testing::AssertionFailure() << host.size() << " elements";
  // An empty vector's data may be null, which memcmp does not take.
  if (host.empty() || std::memcmp(host.data(), expected.data(), host.size() * sizeof(T)) == 0) {
    return ::testing::AssertionSuccess();
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (is_nan(host[i]) && is_nan(expected[i])) continue;
    if (std::memcmp(&host[i], &expected[i], sizeof(T)) != 0) {
      return ::testing::AssertionFailure()
             << "element " << i << ": got " << value_of(host[i]) << ", expected " << value_of(expected[i]);
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace sparsert::test
