// device/simt/engine.hpp — what a kernel compiled for the host calls: launches, barriers, warp operations, checked
// memory.
//
// One launch at a time in a process, one block at a time in a launch. Every thread of a block is a fiber; it runs until
// a barrier or a warp operation makes it wait. A fault ends the launch and is thrown by `run` as an Error that names
// kernel, block and thread; whoever waits for something that cannot happen any more is such a fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "device/simt/memory.hpp"
#include "sparsert/error.hpp"

namespace sparsert::simt {

struct Coordinates {
  std::uint32_t x = 0;
  std::uint32_t y = 0;
  std::uint32_t z = 0;
};

/// Where the running thread is.
struct Position {
  Coordinates thread;
  Coordinates block;
  Coordinates block_size;
  Coordinates grid_size;
  std::uint32_t lane = 0;
  bool checked = false;  // memory accesses are: `Check::full`, within a launch
};
extern Position position;

struct LaunchShape {
  Coordinates grid;
  Coordinates block;
  std::size_t shared = 0;  // bytes of dynamic shared memory
};

/// Runs `call(closure)` once for every thread. `kernel` gives the name. Throws what the checker found.
void run(const LaunchShape& shape, const void* kernel, void (*call)(const void*), const void* closure);

/// Keeps an Error about the running thread for the launch; outside of a launch throws it.
void note_fault(const std::string& what);

/// Leaves the running thread where it is, for good, and ends the launch.
[[noreturn]] void stop();

/// Ends the launch with an Error about the running thread. Nothing is unwound after it, so that the kernel may be
/// noexcept; the message is made by a callable whose strings are gone by then.
template <class Message>
[[noreturn]] void fault(const Message& message) {
  note_fault(message());
  stop();
}

// ---- Memory. `note_*` count an access of the running thread and check alignment and races.

enum class Space : std::uint8_t { global, shared };

void note_read(Space space, const volatile void* address, std::uint32_t bytes, std::uint32_t alignment);
void note_write(Space space, const volatile void* address, std::uint32_t bytes, std::uint32_t alignment);
void note_atomic(Space space, const volatile void* address, std::uint32_t bytes, std::uint32_t alignment);

[[noreturn]] void fault_out_of_bounds(Space space, const volatile void* address, std::uint32_t bytes, Bounds bounds);
[[noreturn]] void fault_index(std::int64_t index, std::int64_t size);

/// The block's static shared memory of the type that `key` stands for; the same for every call with that key.
void* static_shared(const void* key, std::size_t bytes, std::size_t alignment);

/// The block's dynamic shared memory.
struct DynamicShared {
  void* data;
  std::size_t bytes;
};
DynamicShared dynamic_shared();

// ---- Barriers and warp operations. `where` is the place in the kernel, for reports.

/// Every thread of the block. Returns how many gave a true `predicate`.
std::uint32_t block_barrier(const char* name, bool predicate, SourceLocation where);

enum class WarpOp : std::uint8_t {
  sync,
  shuffle,
  ballot,
  match_any,
  match_all,
  add,
  min_unsigned,
  max_unsigned,
  min_signed,
  max_signed,
  bit_and,
  bit_or,
  bit_xor,
};

/// Waits for all lanes of `mask` to come with the same operation and mask; then every one has its result.
/// `source`: the lane whose value a shuffle returns.
std::uint64_t warp_operation(WarpOp op, const char* name, std::uint32_t mask, std::uint64_t value, std::uint32_t source,
                             SourceLocation where);

/// The lanes of the warp that run in the block and have not exited.
std::uint32_t active_mask();

}  // namespace sparsert::simt
