// device/simt/simt.hpp — what a test asks of the simt device: the order of threads, how much is checked, what was
// counted.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace sparsert::simt {

/// The order in which a launch visits blocks, and a block its threads. A correct kernel does not care.
/// SPARSERT_SIMT_ORDER=forward|reverse in the environment chooses at start.
enum class ThreadOrder : std::uint8_t { forward, reverse };
void set_order(ThreadOrder order);
ThreadOrder order() noexcept;

/// `full`: bounds, alignment, races, uninitialised shared memory; barriers and masks are checked in either case.
/// SPARSERT_SIMT_CHECK=full|plain in the environment chooses at start.
enum class Check : std::uint8_t { full, plain };
void set_check(Check check);
Check check() noexcept;

/// Counts warp-level requests too: sectors, bank conflicts, divergence. Off at start: it costs memory and time.
/// Needs `Check::full`.
void set_profiling(bool on);
bool profiling() noexcept;

/// What launches of one kernel did. Bytes are counted under `Check::full`, requests while profiling.
struct Counters {
  std::int64_t launches = 0;
  std::int64_t blocks = 0;
  std::int64_t threads = 0;
  std::int64_t barriers = 0;  ///< __syncthreads, per block

  std::int64_t global_bytes_read = 0;  ///< as asked for by the threads
  std::int64_t global_bytes_written = 0;
  std::int64_t shared_bytes_read = 0;
  std::int64_t shared_bytes_written = 0;
  std::int64_t atomics = 0;

  std::int64_t global_requests = 0;  ///< one instruction of one warp
  std::int64_t global_sectors = 0;   ///< distinct 32-byte sectors, summed over requests
  std::int64_t ideal_sectors = 0;    ///< the fewest sectors that hold as many distinct bytes, summed over requests
  std::int64_t shared_requests = 0;
  std::int64_t bank_conflicts = 0;  ///< passes beyond the first of each request
  std::int64_t active_lanes = 0;    ///< lanes that took part, summed over requests, global and shared
  std::int64_t warp_lanes = 0;      ///< lanes that the warp has, summed over the same requests

  Counters& operator+=(const Counters& other);
};

/// By kernel, e.g. "relu_kernel<float>", since the start or the last reset.
std::map<std::string, Counters> counters();

/// The sum over every instance of a kernel: of "relu_kernel", or of "relu_kernel<float>" alone.
Counters counters(std::string_view kernel);

/// Launches of every kernel together.
std::int64_t total_launches();

void reset_counters();

}  // namespace sparsert::simt
