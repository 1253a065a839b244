// device/intrinsics.cuh — what CUDA C++ has no word for: PTX, each with a twin for the host compiler and a test of
// both.
//
// Warp operations, atomics and bit operations that CUDA C++ spells itself are in kernel.cuh's host part.
#pragma once

#include "device/kernel.cuh"

namespace sparsert::backend {
#ifdef __CUDACC__
inline namespace nvcc_ {

/// The thread's place in its warp.
__device__ __forceinline__ unsigned lane_id() {
  unsigned lane;
  asm("mov.u32 %0, %%laneid;" : "=r"(lane));
  return lane;
}

/// The lanes below this one.
__device__ __forceinline__ unsigned lane_mask_lt() {
  unsigned mask;
  asm("mov.u32 %0, %%lanemask_lt;" : "=r"(mask));
  return mask;
}

/// A load of what is read once: it leaves the caches first.
template <class T, std::integral I>
__device__ __forceinline__ std::remove_const_t<T> load_once(T* p, I i) {
  return __ldcs(p + i);
}

/// A store of what this kernel does not read again.
template <class T, std::integral I>
__device__ __forceinline__ void store_once(T* p, I i, std::type_identity_t<T> v) {
  __stcs(p + i, v);
}

}  // namespace nvcc_
#else
inline namespace simt_ {

inline unsigned lane_id() { return checked::lane(); }

inline unsigned lane_mask_lt() { return (1u << checked::lane()) - 1; }

template <class T, std::integral I>
[[gnu::always_inline]] inline std::remove_const_t<T> load_once(const Global<T>& p, I i) {
  return p[i];
}

template <class T, std::integral I>
[[gnu::always_inline]] inline void store_once(const Global<T>& p, I i, std::type_identity_t<T> v) {
  p[i] = v;
}

}  // namespace simt_
#endif
}  // namespace sparsert::backend
