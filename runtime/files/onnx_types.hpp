// runtime/files/onnx_types.hpp — the element types of ONNX.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "runtime/files/element.hpp"
#include "runtime/files/protobuf.hpp"

namespace sparsert::files::onnx {

/// An element type as TensorProto numbers it, and the field that holds its numbers where they are not raw bytes.
struct Type {
  const char* name;
  unsigned bits;
  std::optional<Element> element;  ///< none: it can be listed, not loaded
  std::uint32_t field;
  protobuf::Wire wire;
};

inline constexpr std::uint32_t kFloatData = 4;
inline constexpr std::uint32_t kInt32Data = 5;
inline constexpr std::uint32_t kStringData = 6;
inline constexpr std::uint32_t kInt64Data = 7;
inline constexpr std::uint32_t kDoubleData = 10;
inline constexpr std::uint32_t kUint64Data = 11;

/// By `data_type`; 0 is "undefined".
inline constexpr std::array<Type, 29> kTypes{{
    {"UNDEFINED", 0, {}, 0, protobuf::Wire::varint},
    {"FLOAT", 32, Element::float32, kFloatData, protobuf::Wire::fixed32},
    {"UINT8", 8, Element::uint8, kInt32Data, protobuf::Wire::varint},
    {"INT8", 8, Element::int8, kInt32Data, protobuf::Wire::varint},
    {"UINT16", 16, Element::uint16, kInt32Data, protobuf::Wire::varint},
    {"INT16", 16, Element::int16, kInt32Data, protobuf::Wire::varint},
    {"INT32", 32, Element::int32, kInt32Data, protobuf::Wire::varint},
    {"INT64", 64, Element::int64, kInt64Data, protobuf::Wire::varint},
    {"STRING", 0, {}, kStringData, protobuf::Wire::bytes},
    {"BOOL", 8, Element::boolean, kInt32Data, protobuf::Wire::varint},
    {"FLOAT16", 16, Element::float16, kInt32Data, protobuf::Wire::varint},
    {"DOUBLE", 64, Element::float64, kDoubleData, protobuf::Wire::fixed64},
    {"UINT32", 32, Element::uint32, kUint64Data, protobuf::Wire::varint},
    {"UINT64", 64, Element::uint64, kUint64Data, protobuf::Wire::varint},
    {"COMPLEX64", 64, Element::complex64, kFloatData, protobuf::Wire::fixed32},
    {"COMPLEX128", 128, Element::complex128, kDoubleData, protobuf::Wire::fixed64},
    {"BFLOAT16", 16, Element::bfloat16, kInt32Data, protobuf::Wire::varint},
    {"FLOAT8E4M3FN", 8, Element::float8_e4m3, kInt32Data, protobuf::Wire::varint},
    {"FLOAT8E4M3FNUZ", 8, {}, kInt32Data, protobuf::Wire::varint},
    {"FLOAT8E5M2", 8, Element::float8_e5m2, kInt32Data, protobuf::Wire::varint},
    {"FLOAT8E5M2FNUZ", 8, {}, kInt32Data, protobuf::Wire::varint},
    {"UINT4", 4, {}, kInt32Data, protobuf::Wire::varint},
    {"INT4", 4, {}, kInt32Data, protobuf::Wire::varint},
    {"FLOAT4E2M1", 4, {}, kInt32Data, protobuf::Wire::varint},
    {"FLOAT8E8M0", 8, {}, kInt32Data, protobuf::Wire::varint},
    {"UINT2", 2, {}, kInt32Data, protobuf::Wire::varint},
    {"INT2", 2, {}, kInt32Data, protobuf::Wire::varint},
    {"FLOAT6E2M3", 6, {}, kInt32Data, protobuf::Wire::varint},
    {"FLOAT6E3M2", 6, {}, kInt32Data, protobuf::Wire::varint},
}};

}  // namespace sparsert::files::onnx
