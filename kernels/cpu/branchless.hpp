// kernels/cpu/branchless.hpp — the rules of kernels/elementwise.hpp in forms that a compiler turns into vector code.
//
// The same results (a test compares all of them over every 16-bit pattern): selects instead of branches, and sums that
// let the floating-point unit round. Everything is a template or forced inline: it takes the target of who calls it.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/elementwise.hpp"

namespace sparsert::backend::cpu::branchless {

/// Exact; NaNs become quiet.
[[gnu::always_inline]] constexpr float widen16(float16 x) {
  constexpr std::uint32_t kExponent = 0x1fu << 23;
  constexpr std::uint32_t kRebias = 112u << 23;
  const std::uint32_t magnitude = (x.bits & 0x7fffu) << 10 << 3;
  const std::uint32_t exponent = magnitude & kExponent;
  const std::uint32_t normal = magnitude + kRebias;
  const std::uint32_t special = normal + kRebias + ((magnitude & 0x7fffffu) != 0 ? 0x400000u & ~magnitude : 0u);
  // A subnormal is its mantissa in units of 2^-24: put it under a leading one, and take that away again.
  const float subnormal = std::bit_cast<float>(normal + (1u << 23)) - std::bit_cast<float>(113u << 23);
  const std::uint32_t bits = exponent == kExponent ? special
                             : exponent == 0       ? std::bit_cast<std::uint32_t>(subnormal)
                                                   : normal;
  return std::bit_cast<float>(bits | (x.bits & 0x8000u) << 16);
}

/// Nearest even; every NaN is 0x7fff.
[[gnu::always_inline]] constexpr float16 narrow16(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  const std::uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  // Beside one half, whose unit in the last place is 2^-24, the sum rounds to the units of a subnormal.
  const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  const std::uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  const std::uint32_t result = sign | (magnitude >= 0x477ff000u ? 0x7c00u : finite);
  return {static_cast<std::uint16_t>(magnitude > 0x7f800000u ? 0x7fffu : result)};
}

[[gnu::always_inline]] constexpr bfloat16 narrow_b16(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return {static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : rounded)};
}

template <class T>
[[gnu::always_inline]] constexpr Compute<T> widen(T x) {
  if constexpr (std::is_same_v<T, float16>) return widen16(x);
  else return backend::widen(x);
}

template <class T>
[[gnu::always_inline]] constexpr T narrow(Compute<T> x) {
  if constexpr (std::is_same_v<T, float16>) return narrow16(x);
  else if constexpr (std::is_same_v<T, bfloat16>) return narrow_b16(x);
  else return x;
}

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

template <class To, class From>
[[gnu::always_inline]] constexpr To convert(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_integral_v<To> && !std::is_integral_v<From>) {
    return saturate<To>(widen(value));
  } else if constexpr (is_16_bit_float<To> && std::is_same_v<Compute<From>, float>) {
    return narrow<To>(widen(value));
  } else if constexpr (is_16_bit_float<From>) {
    return static_cast<To>(widen(value));
  } else {
    return backend::convert<To>(value);
  }
}

}  // namespace sparsert::backend::cpu::branchless
