// kernels/gradient.hpp — one entry of a gradient: accumulated, and rounded to the wire, on host and device alike.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/elementwise.hpp"

namespace sparsert::backend {

template <class A>
constexpr bool is_finite(A x) {
  return x - x == 0;
}

/// One entry's sums; false where they are not finite, and then nothing is to be written.
template <class A>
constexpr bool accumulate(A grad, A momentum, bool with_velocity, A& velocity, A& residual) {
  const A moved = with_velocity ? std::fma(momentum, velocity, grad) : grad;
  const A sum = residual + moved;
  if (!is_finite(sum) || !is_finite(moved)) return false;
  velocity = moved;
  residual = sum;
  return true;
}

constexpr float largest_of(DType wire) {
  if (wire == DType::float16) return 65504.0f;
  return wire == DType::bfloat16 ? std::bit_cast<float>(0x7f7f0000u) : std::numeric_limits<float>::max();
}

/// The distance between neighbours at x's magnitude; x is normal.
constexpr float spacing_of(float x) {
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(x) & 0x7f800000u)) * 0x1p-23f;
}
constexpr double spacing_of(double x) {
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(x) & 0x7ff0000000000000u) * 0x1p-52;
}

/// The wire's value for a finite x: nearest even. Beyond the wire's range it is the largest multiple of x's own spacing
/// that the wire holds, so that what is left is exact.
template <class A>
constexpr float to_wire(DType wire, A x) {
  const A limit = static_cast<A>(largest_of(wire));
  if (x > limit || x < -limit) {
    const A spacing = spacing_of(x);
    const A most = std::trunc(limit / spacing) * spacing;
    return static_cast<float>(x < 0 ? -most : most);
  }
  switch (wire) {
    case DType::float16: return to_float(convert<float16>(x));
    case DType::bfloat16: return to_float(convert<bfloat16>(x));
    default: return static_cast<float>(x);
  }
}

}  // namespace sparsert::backend
