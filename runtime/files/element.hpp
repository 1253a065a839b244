// runtime/files/element.hpp — element types as files have them, and how they become tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/files/source.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/tensor.hpp"

namespace sparsert::files {

/// An element type of a file. What no tensor type holds is widened exactly: int8, int16 and uint16 to int32, uint32 to
/// int64; the rest (uint64, 8-bit floats, complex numbers) is listed and not loaded.
enum class Element : std::uint8_t {
  boolean,
  int8,
  uint8,
  int16,
  uint16,
  int32,
  uint32,
  int64,
  uint64,
  float16,
  bfloat16,
  float32,
  float64,
  complex64,
  complex128,
  float8_e4m3,
  float8_e5m2
};

/// Bytes of one.
std::size_t bytes_of(Element element) noexcept;

/// Its name as NumPy and ml_dtypes have it.
const char* name_of(Element element) noexcept;

/// What it is loaded as.
std::optional<DType> storage_of(Element element) noexcept;

/// Bytes of a tensor. Throws `FileError` "format, offset: ..." for a shape that no file can hold (`shape_bits`).
std::uint64_t tensor_bytes(const char* format, std::uint64_t offset, const Shape& shape, Element element);

/// A tensor of `shape` read from the first of `bytes`, in host memory. Throws `FileError` where bytes are missing, and
/// for a boolean that is neither 0 nor 1. Of a mapped file, whose bytes are aligned and those of the tensor, it is a
/// read-only view.
Tensor read_tensor(const char* format, const Bytes& bytes, const Shape& shape, Element element,
                   bool big_endian = false);

/// The elements of a row-major tensor of `shape` that lie in `flat` from element `offset` on, `strides` elements apart
/// in each dimension. Every one of them has to lie in `flat`.
Tensor gather(const Tensor& flat, const Shape& shape, const std::vector<std::int64_t>& strides, std::int64_t offset);

/// The same elements widened or copied from memory; `count` of them, `from` of any alignment.
void decode(const char* format, std::uint64_t place, const std::byte* from, std::int64_t count, Element element,
            bool big_endian, Tensor& to);

}  // namespace sparsert::files
