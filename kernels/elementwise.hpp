// kernels/elementwise.hpp — the rule of each elementwise operation for one element, on host and device alike.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/contract/elementwise.hpp"
#include "sparsert/dtype.hpp"

namespace sparsert::backend {

/// The type an element computes in: float for the 16-bit floats, itself otherwise.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>, float, T>;

template <class T>
constexpr Compute<T> widen(T x) {
  if constexpr (std::is_same_v<Compute<T>, T>) return x;
  else return to_float(x);
}

/// Rounds once, to nearest even, from the computing type to the stored one.
template <class T>
constexpr T narrow(Compute<T> x) {
  if constexpr (std::is_same_v<T, float16>) return to_float16(x);
  else if constexpr (std::is_same_v<T, bfloat16>) return to_bfloat16(x);
  else return x;
}

template <class T>
constexpr bool is_nonzero(T x) {
  return !(widen(x) == 0);
}

/// x > 0 or NaN stays; everything else, -0 included, is +0.
template <class T>
constexpr T relu_of(T x) {
  return widen(x) <= 0 ? T{} : x;
}

template <class T>
constexpr T relu_gradient(T grad, T x) {
  if (widen(x) > 0) return grad;
  return widen(x) <= 0 ? T{} : x;  // else x is NaN
}

/// Wraps: done in the unsigned type.
template <class T>
constexpr T apply(BinaryOp op, T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::conditional_t<(sizeof(T) < 4), std::uint32_t, std::make_unsigned_t<T>>;
    const U x = static_cast<U>(a);
    const U y = static_cast<U>(b);
    switch (op) {
      case BinaryOp::add: return static_cast<T>(x + y);
      case BinaryOp::subtract: return static_cast<T>(x - y);
      case BinaryOp::multiply: return static_cast<T>(x * y);
    }
  } else {
    switch (op) {
      case BinaryOp::add: return narrow<T>(widen(a) + widen(b));
      case BinaryOp::subtract: return narrow<T>(widen(a) - widen(b));
      case BinaryOp::multiply: return narrow<T>(widen(a) * widen(b));
    }
  }
  return T{};
}

/// ((x · x) · x) ..., each product rounded to the computing type; 1 for exponent 0.
template <class T>
constexpr T power_of(T x, int exponent) {
  if constexpr (std::is_integral_v<T>) {
    T result = 1;
    for (int i = 0; i < exponent; ++i) result = apply(BinaryOp::multiply, result, x);
    return result;
  } else {
    if (exponent == 0) return narrow<T>(Compute<T>{1});
    const Compute<T> base = widen(x);
    Compute<T> result = base;
    for (int i = 1; i < exponent; ++i) result *= base;
    return narrow<T>(result);
  }
}

/// The float32 that is x, or, where x lies between two, the one with the odd significand.
template <class X>
constexpr float round_to_odd(X x) {
  const float nearest = static_cast<float>(x);
  if constexpr (std::is_same_v<X, float>) {
    return x;
  } else {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(nearest);
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    if (!(nearest == nearest) || (bits & 1u) != 0) return nearest;
    bool above = false;  // |nearest| > |x|
    if constexpr (std::is_integral_v<X>) {
      if (nearest >= 0x1p63f) {
        above = true;
      } else {
        const auto back = static_cast<std::int64_t>(nearest);
        if (back == static_cast<std::int64_t>(x)) return nearest;
        bool negative = false;
        if constexpr (std::is_signed_v<X>) negative = x < 0;
        above = negative ? back < static_cast<std::int64_t>(x) : back > static_cast<std::int64_t>(x);
      }
    } else {
      const auto back = static_cast<X>(nearest);
      if (back == x) return nearest;
      above = (x < 0) ? back < x : back > x;
    }
    return std::bit_cast<float>((bits & 0x80000000u) | (above ? magnitude - 1 : magnitude + 1));
  }
}

/// One conversion, by the contract: nearest even to floats; toward zero, saturating, NaN -> 0 to integers.
/// Integers to narrower integers wrap. float64 to 16 bits rounds once, not by way of float32.
template <class To, class From>
constexpr To convert(From value) {
  const auto x = widen(value);
  using X = std::remove_const_t<decltype(x)>;
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_integral_v<To>) {
    if constexpr (std::is_integral_v<From>) {
      return static_cast<To>(x);
    } else {
      if (!(x == x)) return To{0};
      // 2^digits is exact in every float type; max() itself may not be.
      constexpr auto kUpper = static_cast<X>(std::uint64_t{1} << (std::numeric_limits<To>::digits - 1)) * 2;
      if (x >= kUpper) return std::numeric_limits<To>::max();
      if (x <= static_cast<X>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
      return static_cast<To>(x);
    }
  } else if constexpr (std::is_same_v<Compute<To>, To>) {
    return static_cast<To>(x);
  } else {
    // To a 16-bit float. A float64 or a large integer is first rounded to odd at float32: then the second rounding
    // cannot tell it from the exact value (Boldo and Melquiond 2008).
    return narrow<To>(round_to_odd(x));
  }
}

}  // namespace sparsert::backend
