// sparsert/buffer.hpp — an owned block of device memory.
#pragma once

#include <cstddef>
#include <functional>

#include "sparsert/device.hpp"
#include "sparsert/stream.hpp"

namespace sparsert {

/// Move-only, aligned to 256 bytes, from the device's caching pool. Contents start undefined.
class Buffer {
 public:
  Buffer() noexcept = default;

  /// Throws `OutOfMemory` (after trimming the pool once) or `DeviceUnavailable`.
  Buffer(std::size_t bytes, const Stream& stream);

  /// Takes memory that somebody else made; `release` runs once, when the buffer goes.
  Buffer(void* data, std::size_t bytes, const Device& device, std::function<void()> release);

  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  void* data() const noexcept { return data_; }
  std::size_t bytes() const noexcept { return bytes_; }
  const Device& device() const noexcept { return device_; }

 private:
  void reset() noexcept;

  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  Device device_ = cpu_device;
  std::function<void()> release_;  // empty: the memory goes back to the pool
};

/// Host memory that CUDA copies from and to fastest: page-locked where CUDA is usable, else plain. Throws
/// `OutOfMemory`.
Buffer pinned_buffer(std::size_t bytes);

/// Copies bytes between any two devices, in the order of `stream`, which belongs to one of them.
/// Done when it returns, except between two places of one CUDA device: that is done in the stream's order.
void copy_bytes(void* to, const Device& to_device, const void* from, const Device& from_device, std::size_t bytes,
                const Stream& stream);

/// The same without waiting: both ends must stay as they are until the stream has come that far. Only page-locked host
/// memory makes it asynchronous.
void copy_bytes_async(void* to, const Device& to_device, const void* from, const Device& from_device, std::size_t bytes,
                      const Stream& stream);

/// Sets bytes to zero in the order of `stream`.
void zero_bytes(void* data, std::size_t bytes, const Stream& stream);

/// What the pool of a device holds, in bytes.
struct PoolStatistics {
  std::size_t in_use = 0;  ///< handed out
  std::size_t cached = 0;  ///< kept for reuse
  std::size_t peak = 0;    ///< highest `in_use` so far
};
PoolStatistics pool_statistics(const Device& device);

/// Gives every cached block of a device back to the system.
void trim_pool(const Device& device);

}  // namespace sparsert
