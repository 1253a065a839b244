// device/nvcc.cuh — kernel.cuh for nvcc: pointers are pointers, launches are cudaLaunchKernel.
#pragma once

#include <cuda_runtime.h>

#include "device/cuda.hpp"
#include "device/launches.hpp"

namespace sparsert::backend {
inline namespace nvcc_ {

template <class T>
using Global = T*;

template <class T>
using SharedPointer = T*;

/// N elements in shared memory; T may be a SharedArray itself.
template <class T, std::int64_t N>
struct SharedArray {
  T elements[N];

  template <std::integral I>
  __device__ __forceinline__ T& operator[](I i) {
    return elements[i];
  }
  __device__ __forceinline__ T* data() { return elements; }
  static constexpr std::int64_t size() { return N; }
};

template <class U, class T>
__device__ __forceinline__ U* pointer_cast(T* p) {
  return reinterpret_cast<U*>(p);
}

template <class Shared>
__device__ __forceinline__ Shared& shared() {
  static_assert(std::is_trivially_default_constructible_v<Shared> && std::is_trivially_destructible_v<Shared>);
  __shared__ Shared memory;
  return memory;
}

template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char sparsert_dynamic_shared[];
  return reinterpret_cast<T*>(sparsert_dynamic_shared);
}

template <int N, class T, std::integral I>
__device__ __forceinline__ Vec<std::remove_const_t<T>, N> load_vec(T* p, I i) {
  return *reinterpret_cast<const Vec<std::remove_const_t<T>, N>*>(p + i);
}

template <int N, class T, std::integral I>
__device__ __forceinline__ void store_vec(T* p, I i, const Vec<T, N>& v) {
  *reinterpret_cast<Vec<T, N>*>(p + i) = v;
}

// ---- Atomics: CUDA has them for int, unsigned and the 64-bit `long long` types; std::int64_t is `long` here.

namespace checked {

template <class T>
using Native = std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, int, unsigned>,
                                  std::conditional_t<std::is_signed_v<T>, long long, unsigned long long>>;

/// For the operations that do not care about the sign.
template <class T>
using Unsigned = Native<std::make_unsigned_t<T>>;

template <class N, class T>
__device__ __forceinline__ N* native(T* p) {
  static_assert(std::integral<T> && (sizeof(T) == 4 || sizeof(T) == 8) && sizeof(N) == sizeof(T));
  return reinterpret_cast<N*>(p);
}

}  // namespace checked

template <class T, std::integral I>
__device__ __forceinline__ T atomic_add(T* p, I i, std::type_identity_t<T> v) {
  using U = checked::Unsigned<T>;
  return static_cast<T>(::atomicAdd(checked::native<U>(p + i), static_cast<U>(v)));
}

template <class T, std::integral I>
__device__ __forceinline__ T atomic_max(T* p, I i, std::type_identity_t<T> v) {
  using N = checked::Native<T>;
  return static_cast<T>(::atomicMax(checked::native<N>(p + i), static_cast<N>(v)));
}

template <class T, std::integral I>
__device__ __forceinline__ T atomic_min(T* p, I i, std::type_identity_t<T> v) {
  using N = checked::Native<T>;
  return static_cast<T>(::atomicMin(checked::native<N>(p + i), static_cast<N>(v)));
}

template <class T, std::integral I>
__device__ __forceinline__ T atomic_or(T* p, I i, std::type_identity_t<T> v) {
  using U = checked::Unsigned<T>;
  return static_cast<T>(::atomicOr(checked::native<U>(p + i), static_cast<U>(v)));
}

template <class T, std::integral I>
__device__ __forceinline__ T atomic_and(T* p, I i, std::type_identity_t<T> v) {
  using U = checked::Unsigned<T>;
  return static_cast<T>(::atomicAnd(checked::native<U>(p + i), static_cast<U>(v)));
}

template <class T, std::integral I>
__device__ __forceinline__ T atomic_exchange(T* p, I i, std::type_identity_t<T> v) {
  using U = checked::Unsigned<T>;
  return static_cast<T>(::atomicExch(checked::native<U>(p + i), static_cast<U>(v)));
}

template <class T, std::integral I>
__device__ __forceinline__ T atomic_cas(T* p, I i, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  using U = checked::Unsigned<T>;
  return static_cast<T>(::atomicCAS(checked::native<U>(p + i), static_cast<U>(expected), static_cast<U>(v)));
}

// ---- Launch.

/// Launches a kernel; nothing where the grid is empty. Throws what the launch itself reports.
template <class... Parameters>
void launch(const Stream& stream, const LaunchConfig& config, void (*kernel)(Parameters...),
            std::type_identity_t<Parameters>... args) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...));
  if (is_empty_launch(config)) return;
  void* arguments[] = {static_cast<void*>(&args)..., nullptr};
  ::sparsert::cuda::launch(reinterpret_cast<const void*>(kernel), config, arguments, stream);
  count_launch(Device::Type::cuda);
}

/// Multiprocessors of the stream's device: what a grid-stride launch fills.
inline int multiprocessors(const Stream& stream) { return ::sparsert::cuda::multiprocessors(stream.device().index); }

}  // namespace nvcc_
}  // namespace sparsert::backend
