// kernels/cuda/each.cuh — a rule for every row, a thread each.
//
// For whole-row rules that are no bottleneck: a thread walks its row alone, so neighbours read far apart.
#pragma once

#include <thrust/extrema.h>
#include <thrust/functional.h>
#include <thrust/reduce.h>
#include <thrust/scan.h>

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
    thrust::inclusive_scan(thrust_policy(stream), counts, counts + n + 1, counts);
  }

  static std::int64_t least(const std::int64_t* first, std::int64_t n, const Stream& stream) {
    return thrust::reduce(thrust_policy(stream), first, first + n, std::int64_t{INT64_MAX},
                          thrust::minimum<std::int64_t>());
  }
};

}  // namespace sparsert::backend::SPARSERT_BACKEND
