// sparsert/dtype.hpp — element types, and the two 16-bit floats that C++20 lacks.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sparsert {

/// Element type of a tensor.
enum class DType : std::uint8_t { boolean, uint8, int32, int64, float16, bfloat16, float32, float64 };

/// IEEE binary16: storage only; arithmetic is done in float.
struct float16 {
  std::uint16_t bits = 0;
  friend constexpr bool operator==(float16, float16) = default;  // of bits, not of values
};

/// bfloat16 (the upper half of a binary32): storage only; arithmetic is done in float.
struct bfloat16 {
  std::uint16_t bits = 0;
  friend constexpr bool operator==(bfloat16, bfloat16) = default;  // of bits, not of values
};

/// Bytes of one element.
constexpr std::size_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::boolean:
    case DType::uint8: return 1;
    case DType::float16:
    case DType::bfloat16: return 2;
    case DType::int32:
    case DType::float32: return 4;
    case DType::int64:
    case DType::float64: return 8;
  }
  return 0;
}

/// True for float16, bfloat16, float32 and float64.
constexpr bool is_floating(DType dtype) noexcept {
  return dtype == DType::float16 || dtype == DType::bfloat16 || dtype == DType::float32 || dtype == DType::float64;
}

/// NumPy's name of the type: "bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64".
std::string_view to_string(DType dtype) noexcept;

/// The inverse of `to_string`; throws `Error{invalid_argument}` for an unknown name.
DType dtype_from_string(std::string_view name);

/// Exact widening. A NaN keeps its sign and payload and becomes quiet.
constexpr float to_float(bfloat16 x) noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }

/// Exact widening. A NaN keeps its sign and payload and becomes quiet.
constexpr float to_float(float16 x) noexcept {
  // Selections, no branches: in a loop over vectors they cost a GPU no divergence and few registers.
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(x.bits & 0x7fffu) << 13;
  const std::uint32_t normal = magnitude + 0x38000000u;  // exponent bias 15 -> 127
  // A subnormal lacks the leading one that a normal of its exponent has: lent here, and taken off exactly.
  const float subnormal = std::bit_cast<float>(normal + 0x00800000u) - 0x1p-14f;
  const std::uint32_t finite = magnitude < 0x00800000u ? std::bit_cast<std::uint32_t>(subnormal) : normal;
  const std::uint32_t quiet = magnitude > 0x0f800000u ? 0x00400000u : 0u;
  const std::uint32_t special = (magnitude + 0x70000000u) | quiet;  // Inf and NaN
  return std::bit_cast<float>(sign | (magnitude < 0x0f800000u ? finite : special));
}

/// Nearest even; overflow to Inf; every NaN becomes the canonical 0x7fff, as CUDA's conversion makes it.
constexpr bfloat16 to_bfloat16(float x) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fffu};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

/// Nearest even, subnormals included; overflow to Inf; every NaN becomes 0x7fff, as CUDA's conversion makes it.
constexpr float16 to_float16(float x) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {0x7fffu};
  if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};  // 65520 and up
  if (magnitude < 0x38800000u) {  // below 2^-14: subnormal, in units of 2^-24
    if (magnitude < 0x33000000u) return {static_cast<std::uint16_t>(sign)};  // below 2^-25
    const std::uint32_t exponent = magnitude >> 23;
    const std::uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    const std::uint32_t shift = 126u - exponent;  // 14 to 24
    const std::uint32_t whole = mantissa >> shift;
    const std::uint32_t rest = mantissa & ((1u << shift) - 1u);
    const std::uint32_t half = 1u << (shift - 1u);
    const std::uint32_t up = rest > half || (rest == half && (whole & 1u)) ? 1u : 0u;
    return {static_cast<std::uint16_t>(sign | (whole + up))};
  }
  const std::uint32_t rebased = magnitude - 0x38000000u;  // exponent bias 127 -> 15
  return {static_cast<std::uint16_t>(sign | ((rebased + 0xfffu + ((rebased >> 13) & 1u)) >> 13))};
}

namespace detail {
template <class T>
struct DTypeOf;
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::boolean;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::uint8;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::int32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::int64;
};
template <>
struct DTypeOf<float16> {
  static constexpr DType value = DType::float16;
};
template <>
struct DTypeOf<bfloat16> {
  static constexpr DType value = DType::bfloat16;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::float32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::float64;
};
}  // namespace detail

/// The DType of a C++ element type.
template <class T>
inline constexpr DType dtype_of = detail::DTypeOf<T>::value;

}  // namespace sparsert
