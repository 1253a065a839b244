// tests/fake_cudart/state.hpp — what the fake runtime knows: blocks, streams, events, and which call is to fail.
#pragma once

#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "tests/fake_cudart/fake_cudart.hpp"

// An opaque type of the runtime's own header: here it is a queue of work that has not been run yet.
struct CUstream_st {
  std::deque<std::function<void()>> work;
};

struct CUevent_st {
  bool recorded = false;
  std::int64_t record = 0;        // the number of its last cudaEventRecord
  cudaStream_t stream = nullptr;  // where that was
};

namespace fake_cudart {

inline constexpr std::size_t kGuard = 256;  // bytes on both sides of a block; a multiple of the alignment
inline constexpr unsigned char kGuardByte = 0xa5;

struct Block {
  std::size_t bytes;
  bool on_device;
};

struct State {
  std::recursive_mutex mutex;
  Machine machine;
  int current = 0;
  cudaError_t last = cudaSuccess;    // what cudaGetLastError gives
  cudaError_t sticky = cudaSuccess;  // what every call gives from now on
  std::int64_t calls = 0;
  std::int64_t allocations = 0;
  std::int64_t launches = 0;
  std::int64_t fail_at = -1;
  std::int64_t fail_allocation_at = -1;
  cudaError_t fail_with = cudaSuccess;
  bool fail_from_then_on = false;
  bool failed = false;
  std::map<char*, Block> blocks;
  std::size_t device_bytes = 0;
  std::set<cudaStream_t> streams;
  std::set<cudaEvent_t> events;
  CUstream_st default_stream;
  std::int64_t records = 0;
  std::int64_t records_done = 0;
  std::map<const void*, std::string> kernels;
  std::vector<std::string> misuses;
};

// Leaked: kernels register themselves before main and unregister after it.
inline State& state() {
  static auto* const all = new State;
  return *all;
}

inline void misuse(const std::string& what) {
  if (state().misuses.size() < 100) state().misuses.push_back(what);
}

inline cudaError_t give(cudaError_t error) {
  if (error != cudaSuccess) state().last = error;
  return error;
}

/// At the start of every call that can fail: success, or the error that it is to give.
inline cudaError_t enter(bool is_allocation = false) {
  State& s = state();
  if (s.machine.probe != cudaSuccess) return give(s.machine.probe);
  if (s.sticky != cudaSuccess) return give(s.sticky);
  ++s.calls;
  if (is_allocation) ++s.allocations;
  const bool now = s.calls == s.fail_at || (is_allocation && s.allocations == s.fail_allocation_at);
  const bool still = is_allocation && s.failed && s.fail_from_then_on;
  if (!now && !still) return cudaSuccess;
  s.failed = true;
  if (is_sticky(s.fail_with)) s.sticky = s.fail_with;
  return give(s.fail_with);
}

inline std::map<char*, Block>::iterator block_of(const void* data) {
  auto& blocks = state().blocks;
  const auto next = blocks.upper_bound(static_cast<char*>(const_cast<void*>(data)));
  if (next == blocks.begin()) return blocks.end();
  const auto found = std::prev(next);
  return static_cast<const char*>(data) < found->first + found->second.bytes ? found : blocks.end();
}

inline bool guards_stand(const char* data, std::size_t bytes) {
  for (std::size_t i = 0; i < kGuard; ++i) {
    if (static_cast<unsigned char>(data[-1 - static_cast<long>(i)]) != kGuardByte) return false;
    if (static_cast<unsigned char>(data[bytes + i]) != kGuardByte) return false;
  }
  return true;
}

inline void* new_block(std::size_t bytes, bool on_device) {
  auto* const raw = static_cast<char*>(std::aligned_alloc(kGuard, (bytes + 3 * kGuard - 1) / kGuard * kGuard));
  if (raw == nullptr) return nullptr;
  std::memset(raw, kGuardByte, (bytes + 3 * kGuard - 1) / kGuard * kGuard);
  char* const data = raw + kGuard;
  std::memset(data, 0, bytes);
  state().blocks[data] = {bytes, on_device};
  if (on_device) state().device_bytes += bytes;
  return data;
}

inline cudaError_t free_block(void* data, bool on_device) {
  if (data == nullptr) return cudaSuccess;
  const auto block = state().blocks.find(static_cast<char*>(data));
  if (block == state().blocks.end() || block->second.on_device != on_device) {
    misuse("a free of what is no block");
    return give(cudaErrorInvalidValue);
  }
  if (!guards_stand(block->first, block->second.bytes)) misuse("a write outside of a block");
  if (on_device) state().device_bytes -= block->second.bytes;
  std::free(block->first - kGuard);
  state().blocks.erase(block);
  return cudaSuccess;
}

inline CUstream_st* queue_of(cudaStream_t stream) {
  if (stream == nullptr) return &state().default_stream;
  if (state().streams.contains(stream)) return stream;
  misuse("a stream that does not exist");
  return nullptr;
}

inline void drain(CUstream_st* stream) {
  while (!stream->work.empty()) {
    const auto work = std::move(stream->work.front());
    stream->work.pop_front();
    work();
  }
}

inline void drain_all() {
  drain(&state().default_stream);
  for (const cudaStream_t stream : state().streams) drain(stream);
}

/// An end of a copy: inside one block, or ordinary host memory. `device` says which of the two the call promised.
inline bool is_fine_end(const void* data, std::size_t bytes, bool device) {
  const auto block = block_of(data);
  if (block == state().blocks.end()) {
    if (device) misuse("a copy of memory that is not the device's");
    return !device;
  }
  if (device != block->second.on_device) misuse("a copy in the wrong direction");
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(data) - block->first);
  if (offset + bytes > block->second.bytes) misuse("a copy past the end of a block");
  return device == block->second.on_device && offset + bytes <= block->second.bytes;
}

inline thread_local int depth = 0;  // of calls of the fake, on this thread

/// At the start of every call that can be made to fail.
class Call {
 public:
  explicit Call(bool is_allocation = false) : lock_(state().mutex), error(enter(is_allocation)) { ++depth; }
  ~Call() { --depth; }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

 private:
  std::lock_guard<std::recursive_mutex> lock_;

 public:
  const cudaError_t error;
};

}  // namespace fake_cudart
