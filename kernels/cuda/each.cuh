// kernels/cuda/each.cuh — a rule for every row, a thread each.
//
// For whole-row rules that are no bottleneck: a thread walks its row alone, so neighbours read far apart.
#pragma once

#include "device/kernel.cuh"

namespace sparsert::backend::SPARSERT_BACKEND {

inline constexpr int kEachThreads = 128;

// grid: (n / kEachThreads, rounded up)
// block: kEachThreads
// shared: none
// requires: rule(i) and rule(j) write different memory
template <class Rule>
__global__ __launch_bounds__(kEachThreads, 1) void each_kernel(Rule rule, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) rule(i);
}

/// Each element becomes the sum of those up to it. Thrust's, compiled once (each.cu).
void running_sums(std::int32_t* first, std::int64_t n, const Stream& stream);
void running_sums(std::int64_t* first, std::int64_t n, const Stream& stream);

/// How this backend runs the rules of kernels/formats.hpp and its like.
struct Each {
  template <class T>
  using Pointer = Global<T>;

  template <class Rule>
  static void rows(std::int64_t n, const Rule& rule, const Stream& stream) {
    launch(stream, {.grid = (n + kEachThreads - 1) / kEachThreads, .block = kEachThreads}, &each_kernel<Rule>, rule, n);
  }

  /// counts[0] = 0, and each count becomes the sum of those up to it: n + 1 offsets.
  template <class I>
  static void offsets(I* counts, std::int64_t n, const Stream& stream) {
    zero_bytes(counts, sizeof(I), stream);
    running_sums(counts, n + 1, stream);
  }

  /// The least element, INT64_MAX of none.
  static std::int64_t least(const std::int64_t* first, std::int64_t n, const Stream& stream);
};

}  // namespace sparsert::backend::SPARSERT_BACKEND
