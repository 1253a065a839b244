// device/cuda.hpp — what the device layer asks of CUDA. cuda.cpp answers with the runtime, no_cuda.cpp without.
#pragma once

#include <cstddef>
#include <memory>

#include "sparsert/device.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::cuda {

/// Device memory; null when there is none left. Throws `DeviceLost`.
void* allocate(int device, std::size_t bytes);

/// Frees at once; quiet, also on a lost device.
void deallocate(int device, void* data) noexcept;

enum class CopyKind { host_to_device, device_to_host, device_to_device };
void copy(void* to, const void* from, std::size_t bytes, CopyKind kind, const Stream& stream);
void zero(void* data, std::size_t bytes, const Stream& stream);

std::shared_ptr<void> create_stream(int device);
void synchronize_stream(const Stream& stream);

}  // namespace sparsert::cuda
