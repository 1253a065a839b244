// kernels/numerics.hpp — the constants and scalar rules of the numeric contract, shared by every backend.
#pragma once

#include <bit>
#include <cstdint>

#include "sparsert/dtype.hpp"

namespace sparsert {

/// P of the contract: a product's contraction index is cut at multiples of this (docs/numerics.md).
inline constexpr std::int64_t kPiece = 512;

/// |x| as an integer that orders like the magnitude, with every NaN one step above Inf and -0 as +0.
constexpr std::uint32_t magnitude_key(float x) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x) & 0x7fffffffu;
  return bits > 0x7f800000u ? 0x7f800001u : bits;
}
constexpr std::uint64_t magnitude_key(double x) noexcept {
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(x) & 0x7fffffffffffffffull;
  return bits > 0x7ff0000000000000ull ? 0x7ff0000000000001ull : bits;
}
constexpr std::uint16_t magnitude_key(float16 x) noexcept {
  const std::uint32_t bits = x.bits & 0x7fffu;
  return static_cast<std::uint16_t>(bits > 0x7c00u ? 0x7c01u : bits);
}
constexpr std::uint16_t magnitude_key(bfloat16 x) noexcept {
  const std::uint32_t bits = x.bits & 0x7fffu;
  return static_cast<std::uint16_t>(bits > 0x7f80u ? 0x7f81u : bits);
}

/// The unsigned type of T's magnitude keys, and the key of its NaN: the largest there is.
template <class T>
using MagnitudeKey = decltype(magnitude_key(T{}));
template <class T>
inline constexpr MagnitudeKey<T> kNanKey = magnitude_key(std::bit_cast<T>(static_cast<MagnitudeKey<T>>(-1)));

}  // namespace sparsert
