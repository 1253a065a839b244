// kernels/cpu/each.hpp — a rule for every row, on threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "device/parallel.hpp"
#include "sparsert/device.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend::cpu {

/// How this backend runs the rules of kernels/formats.hpp and its like.
struct Each {
  template <class T>
  using Pointer = T*;

  /// Rows may be very unequal: parts are small enough to even out, and not so small that they cost more than they do.
  template <class Rule>
  static void rows(std::int64_t n, const Rule& rule, const Stream&) {
    const std::int64_t grain = std::clamp<std::int64_t>(n / (16 * std::int64_t{num_threads()}), 16, 4096);
    parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) rule(i);
    });
  }

  /// counts[0] = 0, and each count becomes the sum of those up to it: n + 1 offsets.
  template <class I>
  static void offsets(I* counts, std::int64_t n, const Stream&) {
    counts[0] = 0;
    std::partial_sum(counts, counts + n + 1, counts);
  }

  static std::int64_t least(const std::int64_t* first, std::int64_t n, const Stream&) {
    return *std::min_element(first, first + n);
  }
};

}  // namespace sparsert::backend::cpu
