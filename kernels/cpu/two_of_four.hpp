// kernels/cpu/two_of_four.hpp — 2:4 pruning of float32, vector by vector.
#pragma once

#include <cstdint>

namespace sparsert::backend::cpu {

/// Of each 4 elements (n is a multiple of 4) the 2 largest magnitudes stay. x and out are the bits of floats; out may
/// be x, and is aligned to 64 bytes where it is written past the caches.
void prune_two_of_four(const std::uint32_t* x, std::uint32_t* out, std::int64_t n, bool past_cache);

}  // namespace sparsert::backend::cpu
