// kernels/reference/each.hpp — a rule for every row, one after the other.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "sparsert/stream.hpp"

namespace sparsert::backend::reference {

/// How this backend runs the rules of kernels/formats.hpp and its like.
struct Each {
  template <class T>
  using Pointer = T*;

  template <class Rule>
  static void rows(std::int64_t n, const Rule& rule, const Stream&) {
    for (std::int64_t i = 0; i < n; ++i) rule(i);
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

}  // namespace sparsert::backend::reference
