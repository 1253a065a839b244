// device/simt/state.hpp — what the engine knows of the launch, block, warps and threads that run. Internal to the
// engine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "device/simt/engine.hpp"
#include "device/simt/fiber.hpp"
#include "device/simt/profile.hpp"
#include "device/simt/shadow.hpp"
#include "device/simt/simt.hpp"

namespace sparsert::simt {

inline constexpr std::uint32_t kWarp = 32;
inline constexpr std::uint32_t kMaxThreads = 1024;
inline constexpr std::size_t kMaxStaticShared = 48 << 10;
inline constexpr std::size_t kMaxShared = 163 << 10;  // of a block, on compute capability 8.0

enum class State : std::uint8_t { unstarted, ready, at_barrier, in_warp_operation, exited };

struct Thread {
  Coordinates index;
  State state = State::unstarted;
  Fiber* fiber = nullptr;
  const char* waits_in = "";  // "__syncthreads()", while it waits
  std::uint32_t mask = 0;     // of the warp operation it waits in
  SourceLocation where{"", 0};
};

/// Lanes that wait for each other.
struct Group {
  WarpOp op;
  std::uint32_t mask;
  std::uint32_t arrived;
};

struct Warp {
  std::uint32_t present = 0;
  std::uint32_t exited = 0;
  std::vector<Group> waiting;
  std::array<std::uint64_t, kWarp> value{};
  std::array<std::uint64_t, kWarp> result{};
  std::array<std::uint32_t, kWarp> source{};
  bool synchronized = false;  // a __syncwarp since the interval began
  std::array<std::uint32_t, kWarp> epoch{};
  std::array<std::array<std::uint32_t, kWarp>, kWarp> known{};  // [lane][other]: other's epochs behind a __syncwarp
};

/// Threads that may run, in the order in which they will.
class ReadyQueue {
 public:
  bool empty() const { return first_ == last_; }
  void push(std::uint32_t thread) { items_[last_++ % kMaxThreads] = static_cast<std::uint16_t>(thread); }
  std::uint32_t pop() { return items_[first_++ % kMaxThreads]; }
  /// One that will run soon; any thread where the queue is short.
  std::uint32_t soon() const { return items_[(first_ + 1) % kMaxThreads]; }
  void clear() { first_ = last_ = 0; }

 private:
  std::array<std::uint16_t, kMaxThreads> items_{};
  std::uint32_t first_ = 0;
  std::uint32_t last_ = 0;
};

/// Static shared memory that a kernel asked for.
struct StaticShared {
  const void* key;
  std::size_t offset;
  std::size_t bytes;
};

/// The first interval of a block that ran, to name it in reports about a later one.
struct BlockRun {
  std::uint32_t interval;
  Coordinates index;
};

struct Engine {
  // The launch.
  std::string kernel;
  LaunchShape shape;
  void (*call)(const void*) = nullptr;
  const void* closure = nullptr;
  bool reverse = false;
  bool profiled = false;
  std::uint32_t threads = 0;  // of a block
  Counters counters;
  std::vector<BlockRun> blocks;
  std::vector<StaticShared> statics;
  std::size_t static_bytes = 0;

  // The block.
  std::vector<Thread> thread;
  std::vector<Warp> warp;
  std::uint32_t current = 0;
  std::uint32_t started = 0;
  std::uint32_t exited = 0;
  std::uint32_t last_exited = 0;
  std::uint32_t at_barrier = 0;
  std::uint32_t predicates = 0;  // true ones among those at the barrier
  std::uint32_t barrier_result = 0;
  std::uint32_t first_at_barrier = 0;
  ReadyQueue ready;
  bool running = false;

  // Faults.
  std::exception_ptr fault;

  // Kept between launches.
  Now now;
  std::uint32_t interval = 0;
  Shadow shadow;
  Profile profile;
  std::byte* arena = nullptr;  // static shared memory, then dynamic
  Fiber host;
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> free_fibers;
};

/// The one engine; null before the first launch.
extern Engine* engine;

/// "block (1, 0, 0) thread (33, 0, 0)".
std::string to_string(const Coordinates& at);
std::string name_of_thread(std::uint32_t thread);

/// Runs the threads of one block; returns when all have exited or one has faulted.
void run_block();

/// Forgets what every fiber did.
void rewind_fibers();

/// Counts the requests of a warp whose lanes are at one point.
void flush_profile(std::uint32_t warp);

/// A new interval: everything that the block did is ordered before what comes now.
void next_interval();

}  // namespace sparsert::simt
