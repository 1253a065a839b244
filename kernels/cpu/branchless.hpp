// kernels/cpu/branchless.hpp — the rules of kernels/elementwise.hpp in forms that a compiler turns into vector code.
//
// The same results by selects instead of branches. Forced inline: they take the instruction set of who calls them.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/elementwise.hpp"

namespace sparsert::backend::cpu::branchless {

/// The bits of +Inf of a 16-bit float: above them are its NaNs.
template <class T>
inline constexpr std::uint16_t kInfinity = std::is_same_v<T, float16> ? 0x7c00 : 0x7f80;

template <class T>
inline constexpr bool is_16_bit_float = std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>;

template <class T>
[[gnu::always_inline]] constexpr T relu(T x) {
  if constexpr (is_16_bit_float<T>) {
    // Read as an integer, what is to become 0 lies from -0 to -Inf.
    constexpr std::uint16_t kLast = 0x8000 | kInfinity<T>;
    return {static_cast<std::uint16_t>(x.bits >= 0x8000u && x.bits <= kLast ? 0 : x.bits)};
  } else {
    return x <= 0 ? T{} : x;
  }
}

template <class T>
[[gnu::always_inline]] constexpr T relu_gradient(T grad, T x) {
  if constexpr (is_16_bit_float<T>) {
    const bool nan = (x.bits & 0x7fffu) > kInfinity<T>;
    const bool positive = x.bits > 0 && x.bits <= kInfinity<T>;
    const std::uint16_t finite = positive ? grad.bits : 0;
    return {nan ? x.bits : finite};
  } else {
    const T ordered = x > 0 ? grad : T{};
    return x == x ? ordered : x;
  }
}

/// From float or double to an integer: toward zero, saturating, NaN -> 0. Converts only what is in range.
template <class To, class From>
[[gnu::always_inline]] constexpr To saturate(From x) {
  constexpr auto kAbove = static_cast<From>(std::uint64_t{1} << (std::numeric_limits<To>::digits - 1)) * 2;
  constexpr auto kLow = static_cast<From>(std::numeric_limits<To>::min());
  const From number = x == x ? x : From{0};
  const From floored = number > kLow ? number : kLow;
  const From inside = floored < kAbove ? floored : From{0};
  const To converted = static_cast<To>(inside);
  return floored < kAbove ? converted : std::numeric_limits<To>::max();
}

/// The float32 that is x or, where x lies between two, the one with the odd significand: rounding that to 16 bits is
/// rounding x once.
[[gnu::always_inline]] constexpr float round_to_odd(double x) {
  const auto nearest = static_cast<float>(x);
  const auto back = static_cast<double>(nearest);
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(nearest);
  const double magnitude = x < 0 ? -x : x;
  const double got = x < 0 ? -back : back;
  const std::uint32_t step = (got < magnitude ? 1u : 0u) - (got > magnitude ? 1u : 0u);  // none for NaN
  return std::bit_cast<float>((bits & 1u) != 0 ? bits : bits + step);
}

template <class To, class From>
[[gnu::always_inline]] constexpr To convert(From value) {
  if constexpr (std::is_integral_v<To> && !std::is_integral_v<From>) return saturate<To>(widen(value));
  else return backend::convert<To>(value);
}

}  // namespace sparsert::backend::cpu::branchless
