// device/buffer.cpp — buffers, and the pool that keeps freed blocks for reuse.
//
// Fresh memory is the hidden cost of an operation (a page fault per 4 KiB), so blocks are kept by size class:
// powers of two with three steps between, at most 25 % waste. A pool is never destroyed: exit order would decide
// whether a late tensor still finds it.
#include "sparsert/buffer.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "device/config.hpp"
#include "device/cuda.hpp"
#include "device/simt/memory.hpp"
#include "sparsert/error.hpp"

namespace sparsert {
namespace {

constexpr std::size_t kAlignment = 256;

std::size_t size_class(std::size_t bytes) {
  if (bytes <= kAlignment) return kAlignment;
  const std::size_t step = std::max(kAlignment, std::bit_floor(bytes - 1) / 4);
  return (bytes + step - 1) / step * step;
}

class Pool {
 public:
  explicit Pool(Device device) : device_(device) {}

  void* take(std::size_t bytes) {
    const std::size_t size = size_class(bytes);
    if (size < bytes) return nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (auto& blocks = free_[size]; !blocks.empty()) {
        void* const data = blocks.back();
        blocks.pop_back();
        statistics_.cached -= size;
        count_taken(size);
        return data;
      }
    }
    void* data = allocate(size);
    if (data == nullptr) {
      trim();
      data = allocate(size);
    }
    if (data == nullptr) return nullptr;
    const std::lock_guard lock(mutex_);
    count_taken(size);
    return data;
  }

  void give(void* data, std::size_t bytes) noexcept {
    const std::size_t size = size_class(bytes);
    const std::lock_guard lock(mutex_);
    statistics_.in_use -= size;
    try {
      free_[size].push_back(data);
      statistics_.cached += size;
    } catch (...) {
      deallocate(data);
    }
  }

  void trim() noexcept {
    const std::lock_guard lock(mutex_);
    for (auto& [size, blocks] : free_) {
      for (void* data : blocks) deallocate(data);
      blocks.clear();
    }
    statistics_.cached = 0;
  }

  PoolStatistics statistics() {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

 private:
  void count_taken(std::size_t size) {
    statistics_.in_use += size;
    statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
  }

  void* allocate(std::size_t size) const {
    return device_.is_host() ? std::aligned_alloc(kAlignment, size) : cuda::allocate(device_.index, size);
  }

  void deallocate(void* data) const noexcept {
    if (device_.is_host()) {
      std::free(data);
    } else {
      cuda::deallocate(device_.index, data);
    }
  }

  Device device_;
  std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;
  PoolStatistics statistics_;
};

// One pool for each kind of host device, so that a test sees its own device's figures; one per CUDA device.
Pool& pool_of(const Device& device) {
  static std::mutex mutex;
  static auto* const pools = new std::map<std::pair<Device::Type, int>, Pool*>;
  const std::lock_guard lock(mutex);
  Pool*& pool = (*pools)[{device.type, device.index}];
  if (pool == nullptr) pool = new Pool(device);
  return *pool;
}

// The simt device checks its kernels' accesses against the blocks that are alive.
void register_block([[maybe_unused]] const void* data, [[maybe_unused]] std::size_t bytes, const Device& device) {
  if constexpr (kWithSimt) {
    if (device.type == Device::Type::simt) simt::register_memory(data, bytes);
  }
}

void unregister_block([[maybe_unused]] const void* data, [[maybe_unused]] std::size_t bytes, const Device& device) {
  if constexpr (kWithSimt) {
    if (device.type == Device::Type::simt) simt::unregister_memory(data, bytes);
  }
}

}  // namespace

Buffer::Buffer(std::size_t bytes, const Stream& stream) : bytes_(bytes), device_(stream.device()) {
  if (bytes == 0) return;
  data_ = pool_of(device_).take(bytes);
  if (data_ == nullptr) {
    const PoolStatistics pool = pool_statistics(device_);
    throw OutOfMemory("allocate: " + std::to_string(bytes) + " bytes on " + to_string(device_) + " (" +
                      std::to_string(pool.in_use) + " bytes in use)");
  }
  register_block(data_, bytes_, device_);
}

Buffer::Buffer(void* data, std::size_t bytes, const Device& device, std::function<void()> release)
    : data_(data), bytes_(bytes), device_(device), release_(std::move(release)) {
  register_block(data_, bytes_, device_);
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      device_(other.device_),
      release_(std::exchange(other.release_, nullptr)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    reset();
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    device_ = other.device_;
    release_ = std::exchange(other.release_, nullptr);
  }
  return *this;
}

Buffer::~Buffer() { reset(); }

void Buffer::reset() noexcept {
  unregister_block(data_, bytes_, device_);
  if (release_) {
    release_();
    release_ = nullptr;
  } else if (data_ != nullptr) {
    pool_of(device_).give(data_, bytes_);
  }
  data_ = nullptr;
}

void copy_bytes(void* to, const Device& to_device, const void* from, const Device& from_device, std::size_t bytes,
                const Stream& stream) {
  if (bytes == 0) return;
  if (to_device.is_host() && from_device.is_host()) {
    std::memcpy(to, from, bytes);
    return;
  }
  const cuda::CopyKind kind = from_device.is_host() ? cuda::CopyKind::host_to_device
                              : to_device.is_host() ? cuda::CopyKind::device_to_host
                                                    : cuda::CopyKind::device_to_device;
  cuda::copy(to, from, bytes, kind, stream);
  if (kind != cuda::CopyKind::device_to_device) stream.synchronize();
}

void zero_bytes(void* data, std::size_t bytes, const Stream& stream) {
  if (bytes == 0) return;
  if (stream.device().is_host()) {
    std::memset(data, 0, bytes);
  } else {
    cuda::zero(data, bytes, stream);
  }
}

PoolStatistics pool_statistics(const Device& device) { return pool_of(device).statistics(); }

void trim_pool(const Device& device) { pool_of(device).trim(); }

}  // namespace sparsert
