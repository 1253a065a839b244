// kernels/numerics.hpp — the constants and scalar rules of the numeric contract, shared by every backend.
#pragma once

#include <bit>
#include <cstdint>

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

}  // namespace sparsert
