// device/buffer.cpp — buffers, and the pool that keeps freed blocks for reuse.
//
// Fresh memory is the hidden cost of an operation (a page fault per 4 KiB), so blocks are kept by size class:
// powers of two with three steps between, at most 25 % waste. A block of CUDA memory is kept with a fence, behind which
// its next user waits: work that was given to any stream before the block was freed may still be using it.
// A pool is never destroyed: exit order would decide whether a late tensor still finds it.
#include "sparsert/buffer.hpp"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "device/config.hpp"
#include "device/cuda.hpp"
#include "device/simt/memory.hpp"
#include "sparsert/error.hpp"

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#endif

namespace sparsert {
namespace {

constexpr std::size_t kAlignment = 256;

struct SizeClass {
  std::size_t bytes;  // of every block of the class
  std::size_t index;
};

// `bytes` is at most PTRDIFF_MAX, so nothing here overflows.
SizeClass size_class(std::size_t bytes) {
  if (bytes <= kAlignment) return {kAlignment, 0};
  const std::size_t floor = std::bit_floor(bytes - 1);
  const std::size_t step = std::max(kAlignment, floor / 4);
  const std::size_t size = (bytes + step - 1) / step * step;
  return {size, static_cast<std::size_t>(std::countr_zero(floor)) * 4 + (size - floor) / step};
}

// Tells AddressSanitizer what of a block is in use, so that an overrun of pooled memory is found as one of fresh
// memory.
void mark_in_use([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes, [[maybe_unused]] std::size_t size) {
#ifdef ASAN_POISON_MEMORY_REGION
  ASAN_UNPOISON_MEMORY_REGION(data, bytes);
  ASAN_POISON_MEMORY_REGION(static_cast<char*>(data) + bytes, size - bytes);
#endif
}

class Pool {
 public:
  explicit Pool(Device device) : device_(device) {}

  /// Null when there is no memory left.
  void* take(std::size_t bytes, const Stream& stream) {
    const SizeClass size = size_class(bytes);
    Block block = pop(size);
    if (block.data == nullptr) {
      block.data = allocate(size.bytes);
      if (block.data == nullptr) {
        trim();
        block.data = allocate(size.bytes);
      }
      if (block.data == nullptr) return nullptr;
      const std::lock_guard lock(mutex_);
      count_taken(size.bytes);
    } else if (!device_.is_host()) {
      order_behind(block, size.bytes, stream);
    }
    if (device_.is_host()) mark_in_use(block.data, bytes, size.bytes);
    return block.data;
  }

  void give(void* data, std::size_t bytes) noexcept {
    const SizeClass size = size_class(bytes);
    if (device_.is_host()) mark_in_use(data, 0, size.bytes);
    bool kept = false;
    try {
      Block block{data, device_.is_host() ? nullptr : cuda::record_fence(device_.index)};
      const std::lock_guard lock(mutex_);
      free_[size.index].push_back(std::move(block));
      statistics_.cached += size.bytes;
      kept = true;
    } catch (...) {
      // No memory for the list, or the device is lost: the block goes back at once.
    }
    if (!kept) deallocate(data);
    const std::lock_guard lock(mutex_);
    statistics_.in_use -= size.bytes;
  }

  void trim() noexcept {
    const std::lock_guard lock(mutex_);
    for (auto& blocks : free_) {
      for (const Block& block : blocks) deallocate(block.data);
      blocks.clear();
    }
    statistics_.cached = 0;
  }

  PoolStatistics statistics() {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

  std::mutex& mutex() { return mutex_; }

 private:
  struct Block {
    void* data = nullptr;
    std::shared_ptr<void> fence;
  };

  Block pop(const SizeClass& size) {
    const std::lock_guard lock(mutex_);
    auto& blocks = free_[size.index];
    if (blocks.empty()) return {};
    Block block = std::move(blocks.back());
    blocks.pop_back();
    statistics_.cached -= size.bytes;
    count_taken(size.bytes);
    return block;
  }

  void count_taken(std::size_t size) {
    statistics_.in_use += size;
    statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
  }

  void order_behind(const Block& block, std::size_t size, const Stream& stream) {
    try {
      cuda::wait_fence(stream, block.fence);
    } catch (...) {
      deallocate(block.data);
      const std::lock_guard lock(mutex_);
      statistics_.in_use -= size;
      throw;
    }
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
  std::array<std::vector<Block>, 64 * 4> free_;
  PoolStatistics statistics_;
};

// One pool for each kind of host device, so that a test sees its own device's figures; one per CUDA device.
struct Pools {
  Pool cpu{cpu_device};
  Pool reference{{Device::Type::reference, 0}};
  Pool simt{{Device::Type::simt, 0}};
  std::mutex mutex;
  std::map<int, Pool> cuda;
};

// fork() copies a mutex as it stands. Holding all of them meanwhile leaves the child with free ones and whole lists.
void hold_for_fork();
void release_after_fork();

Pools& pools() {
  static Pools* const all = [] {
    pthread_atfork(hold_for_fork, release_after_fork, release_after_fork);
    return new Pools;
  }();
  return *all;
}

template <class F>
void for_each_mutex(F f) {
  Pools& all = pools();
  f(all.mutex);
  for (Pool* pool : {&all.cpu, &all.reference, &all.simt}) f(pool->mutex());
  for (auto& [index, pool] : all.cuda) f(pool.mutex());
}

void hold_for_fork() {
  for_each_mutex([](std::mutex& mutex) { mutex.lock(); });
}

void release_after_fork() {
  for_each_mutex([](std::mutex& mutex) { mutex.unlock(); });
}

Pool& pool_of(const Device& device) {
  Pools& all = pools();
  switch (device.type) {
    case Device::Type::cpu: return all.cpu;
    case Device::Type::reference: return all.reference;
    case Device::Type::simt: return all.simt;
    case Device::Type::cuda: break;
  }
  const std::lock_guard lock(all.mutex);
  return all.cuda.try_emplace(device.index, device).first->second;
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
  if (bytes <= PTRDIFF_MAX) data_ = pool_of(device_).take(bytes, stream);
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
    try {
      release_();
    } catch (...) {
      // A destructor has nobody to tell.
    }
    release_ = nullptr;
  } else if (data_ != nullptr) {
    pool_of(device_).give(data_, bytes_);
  }
  data_ = nullptr;
}

Buffer pinned_buffer(std::size_t bytes) {
  if (bytes == 0 || !cuda::is_available()) return {bytes, Stream(cpu_device)};
  void* const data = bytes <= PTRDIFF_MAX ? cuda::allocate_pinned(bytes) : nullptr;
  if (data == nullptr) throw OutOfMemory("allocate: " + std::to_string(bytes) + " bytes of page-locked memory");
  return {data, bytes, cpu_device, [data] { cuda::deallocate_pinned(data); }};
}

void copy_bytes_async(void* to, const Device& to_device, const void* from, const Device& from_device, std::size_t bytes,
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
}

void copy_bytes(void* to, const Device& to_device, const void* from, const Device& from_device, std::size_t bytes,
                const Stream& stream) {
  const bool between_cuda = !to_device.is_host() && !from_device.is_host();
  if (between_cuda && to_device != from_device) {
    // No stream orders two devices: what either was given before is done first.
    cuda::synchronize_device(from_device.index);
    cuda::synchronize_device(to_device.index);
  }
  copy_bytes_async(to, to_device, from, from_device, bytes, stream);
  if (to_device != from_device) stream.synchronize();
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
