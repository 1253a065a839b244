// runtime/ops/index.hpp — one element of an index array, wherever the array is.
#pragma once

#include <cstdint>

#include "sparsert/tensor.hpp"

namespace sparsert {

inline std::int64_t index_at(const Tensor& indices, std::int64_t at, const Stream& stream) {
  std::int64_t value64 = 0;
  std::int32_t value32 = 0;
  const bool wide = indices.dtype() == DType::int64;
  void* const value = wide ? static_cast<void*>(&value64) : &value32;
  const std::size_t bytes = size_of(indices.dtype());
  const auto* from = static_cast<const std::byte*>(indices.data()) + static_cast<std::size_t>(at) * bytes;
  copy_bytes(value, cpu_device, from, indices.device(), bytes, stream);
  stream.synchronize();
  return wide ? value64 : value32;
}

}  // namespace sparsert
