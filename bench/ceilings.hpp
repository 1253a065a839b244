// bench/ceilings.hpp — what the machine can do at best, measured before anything is compared with it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/team.hpp"
#include "sparsert/device.hpp"

namespace sparsert::bench {

/// One level of the memory hierarchy. Bandwidths in bytes per second of all threads together; a copy counts what
/// it reads and what it writes.
struct Level {
  std::string name;        ///< "L1", "L2", "L3", "DRAM", or "device" on a GPU
  std::int64_t size = 0;   ///< bytes all threads together have of it; 0: as much as there is
  std::int64_t bytes = 0;  ///< the working set it was measured with
  double read = 0;
  double copy = 0;
  double copy_past_cache = 0;  ///< with non-temporal stores; 0 where it was not measured

  double best_copy() const noexcept { return copy > copy_past_cache ? copy : copy_past_cache; }
};

/// The ceilings of a device at a number of threads.
struct Ceilings {
  std::string vector;         ///< the instruction set the peak is of
  double flops = 0;           ///< float32 fused multiply-adds per second, times two; 0 where it was not measured
  std::vector<Level> levels;  ///< nearest first
};

/// What an operation cannot do without: arithmetic, bytes in and out, and the memory they live in.
struct Work {
  double flops = 0;
  double read = 0;       ///< bytes
  double written = 0;    ///< bytes
  double footprint = 0;  ///< bytes touched again by every call; the level they fit in sets the bandwidth
};

/// The least time the work can take, and what sets it.
struct Limit {
  double seconds = 0;
  std::string by;  ///< "compute" or the level's name
};

/// max(flops / peak, bytes / bandwidth): as many bytes as are both read and written move at the copy's speed, the
/// rest at the read's.
Limit limit_of(const Work& work, const Ceilings& ceilings);

/// Measures them: `quick` takes a fifth of the time and a smaller DRAM working set.
Ceilings measure_ceilings(const Device& device, int threads, bool quick);

/// The yardsticks that operations are timed against: one read pass over an array, and one copy (`past_cache`: with
/// non-temporal stores), each at the machine's best. Arrays aligned to 64 bytes; a rest below 512 floats is left out.
void read_pass(Team& team, const float* data, std::int64_t count);
void copy_pass(Team& team, const float* from, float* to, std::int64_t count, bool past_cache);

}  // namespace sparsert::bench
