// runtime/files/gguf_blocks.cpp — blocks of quantized values in GGUF, as float32.
//
// Products and sums are taken in the order of the format's own implementation, each rounded to float32, so that every
// bit is the same.
#include "runtime/files/gguf_blocks.hpp"

#include <algorithm>
#include <array>

#include "sparsert/dtype.hpp"

namespace sparsert::files::gguf {
namespace {

enum Code : std::uint32_t { q4_0 = 2, q4_1 = 3, q5_0 = 6, q5_1 = 7, q8_0 = 8, q4_k = 12, q5_k = 13, q6_k = 14 };

constexpr std::size_t kSmall = 32;  // values of a block, or of a part of a large one
constexpr std::size_t kLarge = 256;

unsigned byte_at(const std::byte* at) { return std::to_integer<unsigned>(*at); }

float half_at(const std::byte* at) {
  return to_float(float16{static_cast<std::uint16_t>(byte_at(at) | byte_at(at + 1) << 8)});
}

float signed_at(const std::byte* at) { return static_cast<float>(static_cast<std::int8_t>(byte_at(at))); }

/// One scale, sometimes a minimum, and 4, 5 or 8 bits a value.
void small_block(std::uint32_t code, const std::byte* block, float* out) {
  const float scale = half_at(block);
  if (code == q8_0) {
    for (std::size_t i = 0; i < kSmall; ++i) out[i] = scale * signed_at(block + 2 + i);
    return;
  }
  const bool has_minimum = code == q4_1 || code == q5_1;
  const bool has_fifth_bit = code == q5_0 || code == q5_1;
  const float minimum = has_minimum ? half_at(block + 2) : 0.0f;
  const std::byte* at = block + (has_minimum ? 4 : 2);
  unsigned fifth = 0;
  if (has_fifth_bit) {
    for (std::size_t i = 0; i < 4; ++i) fifth |= byte_at(at + i) << (8 * i);
    at += 4;
  }
  const int middle = has_minimum ? 0 : has_fifth_bit ? 16 : 8;
  for (std::size_t i = 0; i < kSmall; ++i) {
    const unsigned nibble = i < kSmall / 2 ? byte_at(at + i) & 15u : byte_at(at + i - kSmall / 2) >> 4;
    const unsigned level = nibble | (has_fifth_bit ? (fifth >> i & 1u) << 4 : 0u);
    const float value = scale * static_cast<float>(static_cast<int>(level) - middle);
    out[i] = has_minimum ? value + minimum : value;
  }
}

/// A scale and a minimum of 6 bits for each of eight parts, packed in 12 bytes: the low bits of the first four of each,
/// then the low four bits of the others, whose high two are above those of the first.
struct Part {
  unsigned scale;
  unsigned minimum;
};
Part part_of(const std::byte* packed, std::size_t part) {
  const auto byte = [&](std::size_t i) { return byte_at(packed + i); };
  if (part < 4) return {byte(part) & 63u, byte(part + 4) & 63u};
  return {(byte(part + 4) & 15u) | (byte(part - 4) >> 6) << 4, byte(part + 4) >> 4 | (byte(part) >> 6) << 4};
}

/// Q4_K and Q5_K: the fifth bits of part p are bits p of 32 bytes.
void parts_block(std::uint32_t code, const std::byte* block, float* out) {
  const float scale = half_at(block);
  const float minimum = half_at(block + 2);
  const std::byte* const packed = block + 4;
  const std::byte* const fifth = block + 16;
  const std::byte* const nibbles = fifth + (code == q5_k ? kSmall : 0);
  for (std::size_t part = 0; part < kLarge / kSmall; ++part) {
    const Part of_part = part_of(packed, part);
    const float step = scale * static_cast<float>(of_part.scale);
    const float base = minimum * static_cast<float>(of_part.minimum);
    for (std::size_t i = 0; i < kSmall; ++i) {
      unsigned level = byte_at(nibbles + part / 2 * kSmall + i) >> (part % 2 * 4) & 15u;
      if (code == q5_k) level |= (byte_at(fifth + i) >> part & 1u) << 4;
      out[part * kSmall + i] = step * static_cast<float>(level) - base;
    }
  }
}

/// Q6_K: two halves of 128 values; four low bits, two high ones, and a signed scale for every 16 values.
void sixteens_block(const std::byte* block, float* out) {
  const std::byte* const high = block + kLarge / 2;
  const std::byte* const scales = high + kLarge / 4;
  const float scale = half_at(scales + kLarge / 16);
  for (std::size_t i = 0; i < kLarge; ++i) {
    const std::size_t half = i / 128;
    const std::size_t quarter = i % 128 / 32;
    const std::size_t at = i % 32;
    const unsigned low = byte_at(block + half * 64 + quarter % 2 * 32 + at) >> (quarter / 2 * 4) & 15u;
    const unsigned level = low | (byte_at(high + half * 32 + at) >> (quarter * 2) & 3u) << 4;
    const float step = scale * signed_at(scales + i / 16);
    out[i] = step * static_cast<float>(static_cast<int>(level) - 32);
  }
}

}  // namespace

bool is_dequantized(std::uint32_t code) noexcept {
  constexpr std::array kKnown{q4_0, q4_1, q5_0, q5_1, q8_0, q4_k, q5_k, q6_k};
  return std::any_of(kKnown.begin(), kKnown.end(), [&](Code known) { return known == code; });
}

void dequantize_block(std::uint32_t code, const std::byte* block, float* out) noexcept {
  if (code == q6_k) return sixteens_block(block, out);
  if (code == q4_k || code == q5_k) return parts_block(code, block, out);
  small_block(code, block, out);
}

}  // namespace sparsert::files::gguf
