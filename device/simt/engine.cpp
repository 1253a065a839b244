// device/simt/engine.cpp — a launch: its blocks one by one, its memory, its faults.
#include "device/simt/engine.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include "device/simt/record.hpp"
#include "device/simt/state.hpp"
#include "device/simt/symbols.hpp"

namespace sparsert::simt {

Position position;
Engine* engine = nullptr;

namespace {

constexpr int kPoison = 0xCD;  // fresh shared memory
constexpr std::align_val_t kArenaAlignment{4096};
constexpr std::uint32_t kLastInterval = 0xf0000000u;

std::mutex& launch_mutex() {
  static auto* const mutex = new std::mutex;
  return *mutex;
}

std::uint64_t volume(const Coordinates& c) { return std::uint64_t{c.x} * c.y * c.z; }

Coordinates coordinates_of(std::uint64_t linear, const Coordinates& size) {
  const auto x = static_cast<std::uint32_t>(linear % size.x);
  const auto y = static_cast<std::uint32_t>(linear / size.x % size.y);
  const auto z = static_cast<std::uint32_t>(linear / size.x / size.y);
  return {x, y, z};
}

void make_engine() {
  engine = new Engine;
  engine->arena = static_cast<std::byte*>(::operator new(kMaxStaticShared + kMaxShared, kArenaAlignment));
}

void prepare_launch(const LaunchShape& shape, const void* kernel) {
  Engine& e = *engine;
  e.kernel = kernel_name(kernel);
  e.shape = shape;
  e.reverse = order() == ThreadOrder::reverse;
  e.threads = static_cast<std::uint32_t>(volume(shape.block));
  e.counters = {};
  e.blocks.clear();
  e.statics.clear();
  e.static_bytes = 0;
  e.fault = nullptr;
  e.thread.assign(e.threads, {});
  for (std::uint32_t t = 0; t < e.threads; ++t) e.thread[t].index = coordinates_of(t, shape.block);
  e.warp.resize((e.threads + kWarp - 1) / kWarp);
  for (std::uint32_t w = 0; w < e.warp.size(); ++w) {
    const std::uint32_t lanes = std::min(kWarp, e.threads - w * kWarp);
    e.warp[w].present = lanes == kWarp ? ~0u : (1u << lanes) - 1;
    e.warp[w].synchronized = true;  // fresh epochs at the first interval
  }
  if (e.interval > kLastInterval) {
    e.shadow.clear();
    e.interval = 0;
  }
  e.shadow.trim();
  e.now.launch_begin = e.interval + 1;
  position.block_size = shape.block;
  position.grid_size = shape.grid;
  position.checked = check() == Check::full;
  e.profiled = profiling() && position.checked;
  if (e.profiled) e.profile.start(e.warp.size());
  e.ready = {};
  e.running = true;
}

void run_blocks() {
  Engine& e = *engine;
  const std::uint64_t blocks = volume(e.shape.grid);
  for (std::uint64_t i = 0; i < blocks && !e.fault; ++i) {
    position.block = coordinates_of(e.reverse ? blocks - 1 - i : i, e.shape.grid);
    std::memset(e.arena, kPoison, e.static_bytes);
    std::memset(e.arena + kMaxStaticShared, kPoison, e.shape.shared);
    e.blocks.push_back({e.interval + 1, position.block});
    run_block();
    ++e.counters.blocks;
    e.counters.threads += e.threads;
  }
}

/// "block (0, 0, 0) thread (1, 0, 0)" of an access in this launch.
std::string author_of(Stamp stamp) {
  const Engine& e = *engine;
  const auto after = std::upper_bound(e.blocks.begin(), e.blocks.end(), stamp.interval(),
                                      [](std::uint32_t interval, const BlockRun& b) { return interval < b.interval; });
  return "block " + to_string(std::prev(after)->index) + " " + name_of_thread(stamp.thread());
}

const char* verb(Access access) {
  switch (access) {
    case Access::read: return "reads";
    case Access::write: return "writes";
    case Access::atomic: return "atomically updates";
  }
  return "";
}

const char* participle(Access access) {
  switch (access) {
    case Access::read: return "read";
    case Access::write: return "written";
    case Access::atomic: return "atomically updated";
  }
  return "";
}

/// "4 bytes of global memory at byte 16 of a block of 400".
std::string place(Space space, std::uintptr_t address, std::uint32_t bytes) {
  const std::string what =
      std::to_string(bytes) + (space == Space::shared ? " bytes of shared memory" : " bytes of global memory");
  if (space == Space::shared) {
    const std::uintptr_t offset = address - reinterpret_cast<std::uintptr_t>(engine->arena);
    return offset < kMaxStaticShared
               ? what + " at byte " + std::to_string(offset) + " of the static part"
               : what + " at byte " + std::to_string(offset - kMaxStaticShared) + " of the dynamic part";
  }
  const Bounds bounds = bounds_of(reinterpret_cast<const void*>(address));
  if (bounds.begin == 0) return what;
  return what + " at byte " + std::to_string(address - bounds.begin) + " of a block of " +
         std::to_string(bounds.end - bounds.begin);
}

std::string describe(Space space, std::uintptr_t address, std::uint32_t bytes, Access kind, const Conflict& conflict) {
  const std::string what = std::string(verb(kind)) + " " + place(space, address, bytes);
  if (conflict.never_written) return what + ", which no thread of the block has written";
  const Engine& e = *engine;
  const Stamp stamp = conflict.stamp;
  const char* const missing = stamp.interval() < e.now.block_begin ? "nothing orders two blocks"
                              : stamp.warp() == e.current / kWarp  ? "no __syncwarp in between"
                                                                   : "no __syncthreads in between";
  return "race: " + what + ", " + participle(conflict.access) + " by " + author_of(stamp) + " with " + missing;
}

void note(Space space, const volatile void* pointer, std::uint32_t bytes, std::uint32_t alignment, Access kind) {
  Engine& e = *engine;
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if ((address & (alignment - 1)) != 0) {
    fault([&] {
      return "misaligned: " + std::string(verb(kind)) + " " + place(space, address, bytes) + ", aligned to " +
             std::to_string(address & -address) + ", needs " + std::to_string(alignment);
    });
  }
  const Conflict conflict = e.shadow.access(address, bytes, kind, space == Space::shared, e.now);
  if (conflict.found) fault([&] { return describe(space, address, bytes, kind, conflict); });
}

/// `site`: where the kernel makes the access.
void profile(Space space, const volatile void* address, std::uint32_t bytes, const void* site) {
  Engine& e = *engine;
  if (e.profiled) e.profile.note(e.current, site, space, reinterpret_cast<std::uintptr_t>(address), bytes);
}

}  // namespace

std::string to_string(const Coordinates& at) {
  std::string text = "(";
  text.append(std::to_string(at.x)).append(", ").append(std::to_string(at.y)).append(", ").append(std::to_string(at.z));
  return text.append(")");
}

std::string name_of_thread(std::uint32_t thread) { return "thread " + to_string(engine->thread[thread].index); }

void run(const LaunchShape& shape, const void* kernel, void (*call)(const void*), const void* closure) {
  const std::lock_guard lock(launch_mutex());
  if (engine == nullptr) make_engine();
  Engine& e = *engine;
  prepare_launch(shape, kernel);
  e.call = call;
  e.closure = closure;
  run_blocks();
  e.running = false;
  position.checked = false;
  if (e.fault) {
    rewind_fibers();
    std::rethrow_exception(std::exchange(e.fault, nullptr));
  }
  e.counters.launches = 1;
  record(e.kernel, e.counters);
}

void note_fault(const std::string& what) {
  if (engine == nullptr || !engine->running) throw Error(ErrorCode::internal, "simt: outside of a launch: " + what);
  Engine& e = *engine;
  e.fault =
      std::make_exception_ptr(Error(ErrorCode::internal, "simt: " + e.kernel + ": block " + to_string(position.block) +
                                                             " " + name_of_thread(e.current) + ": " + what));
}

void stop() {
  Engine& e = *engine;
  Fiber::switch_fiber(*e.thread[e.current].fiber, e.host);
  std::terminate();
}

void note_read(Space space, const volatile void* address, std::uint32_t bytes, std::uint32_t alignment) {
  Counters& c = engine->counters;
  (space == Space::global ? c.global_bytes_read : c.shared_bytes_read) += bytes;
  profile(space, address, bytes, __builtin_return_address(0));
  note(space, address, bytes, alignment, Access::read);
}

void note_write(Space space, const volatile void* address, std::uint32_t bytes, std::uint32_t alignment) {
  Counters& c = engine->counters;
  (space == Space::global ? c.global_bytes_written : c.shared_bytes_written) += bytes;
  profile(space, address, bytes, __builtin_return_address(0));
  note(space, address, bytes, alignment, Access::write);
}

void note_atomic(Space space, const volatile void* address, std::uint32_t bytes, std::uint32_t alignment) {
  ++engine->counters.atomics;
  note(space, address, bytes, alignment, Access::atomic);
}

void fault_out_of_bounds(Space space, const volatile void* address, std::uint32_t bytes, Bounds bounds) {
  fault([&] {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    const std::string what = "out of bounds: touches " + std::to_string(bytes) + " bytes of " +
                             (space == Space::shared ? "shared" : "global") + " memory ";
    if (bounds.end == 0) return what + "through a null pointer";
    const std::string size = std::to_string(bounds.end - bounds.begin);
    if (at >= bounds.begin) return what + "at byte " + std::to_string(at - bounds.begin) + " of a block of " + size;
    return what + std::to_string(bounds.begin - at) + " bytes before the start of a block of " + size;
  });
}

void fault_index(std::int64_t index, std::int64_t size) {
  fault([&] {
    return "out of bounds: index " + std::to_string(index) + " of a shared array of " + std::to_string(size);
  });
}

void* static_shared(const void* key, std::size_t bytes, std::size_t alignment) {
  Engine& e = *engine;
  for (const StaticShared& known : e.statics) {
    if (known.key == key) return e.arena + known.offset;
  }
  const std::size_t offset = (e.static_bytes + alignment - 1) / alignment * alignment;
  if (offset + bytes > kMaxStaticShared || offset + bytes + e.shape.shared > kMaxShared) {
    fault([&] {
      return "shared memory: needs " + std::to_string(offset + bytes) + " static and " +
             std::to_string(e.shape.shared) + " dynamic bytes; a block has " + std::to_string(kMaxStaticShared) +
             " static, " + std::to_string(kMaxShared) + " in all";
    });
  }
  e.statics.push_back({key, offset, bytes});
  e.static_bytes = offset + bytes;
  std::memset(e.arena + offset, kPoison, bytes);
  return e.arena + offset;
}

DynamicShared dynamic_shared() { return {engine->arena + kMaxStaticShared, engine->shape.shared}; }

}  // namespace sparsert::simt
