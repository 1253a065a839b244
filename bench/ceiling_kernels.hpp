// bench/ceiling_kernels.hpp — the loops that reach the ceilings, for the instruction set in use.
#pragma once

#include <cstdint>

namespace sparsert::bench {

/// Float32 lanes of a vector in the instruction set in use.
std::int64_t vector_lanes();

/// Runs independent chains of fused multiply-adds; returns how many vector operations that were.
std::int64_t run_fma(std::int64_t iterations);

/// Reads `count` floats `repeats` times. `data` aligned to 64 bytes, `count` a multiple of 512.
void run_read(const float* data, std::int64_t count, std::int64_t repeats);

/// Copies them; `past_cache` with non-temporal stores.
void run_copy(const float* from, float* to, std::int64_t count, std::int64_t repeats, bool past_cache);

}  // namespace sparsert::bench
