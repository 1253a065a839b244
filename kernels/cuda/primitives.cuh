// kernels/cuda/primitives.cuh — reductions and scans of a warp and of a block, in a fixed order.
//
// The order is a tree over lanes, the same on every device; it is not the canonical order of a product. Every lane must
// call them. The block ones leave their scratch free to be used again.
#pragma once

#include "device/intrinsics.cuh"
#include "device/kernel.cuh"

namespace sparsert::backend::SPARSERT_BACKEND {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr int kLanes = 32;

struct Sum {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Largest {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

struct Smallest {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};

/// The combination of the whole warp's values, in every lane.
template <class F, class T>
__device__ __forceinline__ T warp_reduce(T value, F combine) {
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    value = combine(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  return value;
}

/// The sum of the values of this lane and those below it.
template <class T>
__device__ __forceinline__ T warp_inclusive_sum(T value) {
  const unsigned lane = lane_id();
  for (unsigned distance = 1; distance < kLanes; distance *= 2) {
    const T below = __shfl_up_sync(kAllLanes, value, distance);
    if (lane >= distance) value += below;
  }
  return value;
}

/// What a block of kThreads needs to combine its warps' results.
template <class T, int kThreads>
struct BlockScratch {
  static_assert(kThreads % kLanes == 0 && kThreads <= 1024);
  static constexpr int kWarps = kThreads / kLanes;

  SharedArray<T, kWarps> warps;
};

/// The combination of the whole block's values, in every thread. Called by all threads of a one-dimensional block.
template <int kThreads, class F, class T>
__device__ __forceinline__ T block_reduce(T value, F combine, BlockScratch<T, kThreads>& scratch) {
  constexpr int kWarps = BlockScratch<T, kThreads>::kWarps;
  const int warp = static_cast<int>(threadIdx.x) / kLanes;
  value = warp_reduce(value, combine);
  if constexpr (kWarps > 1) {
    if (lane_id() == 0) scratch.warps[warp] = value;
    __syncthreads();
    value = scratch.warps[0];
    for (int w = 1; w < kWarps; ++w) {
      const T other = scratch.warps[w];
      value = combine(value, other);
    }
    __syncthreads();
  }
  return value;
}

/// A thread's place in a sum over the block.
template <class T>
struct BlockSum {
  T before;  ///< the sum over the threads before this one
  T total;   ///< the sum over the block
};

/// Called by all threads of a one-dimensional block.
template <int kThreads, class T>
__device__ __forceinline__ BlockSum<T> block_exclusive_sum(T value, BlockScratch<T, kThreads>& scratch) {
  constexpr int kWarps = BlockScratch<T, kThreads>::kWarps;
  const int warp = static_cast<int>(threadIdx.x) / kLanes;
  const T inclusive = warp_inclusive_sum(value);
  if (lane_id() == kLanes - 1) scratch.warps[warp] = inclusive;
  __syncthreads();
  T before = inclusive - value;
  T total = 0;
  for (int w = 0; w < kWarps; ++w) {
    const T sum = scratch.warps[w];
    if (w < warp) before += sum;
    total += sum;
  }
  __syncthreads();
  return {before, total};
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
