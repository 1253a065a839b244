// device/mma.cuh — the tensor cores' product of two small matrices of 16-bit floats, and what its registers hold.
//
// c (16 x 8, float32) += a (16 x 16) · b (16 x 8), by a whole warp: mma.sync.m16n8k16 of the PTX ISA. With g = lane / 4
// and t = lane % 4, and pairs of neighbors in one register, the first of them in the lower half:
//
//   a[0], a[2]: a(g, 2t..2t+1), a(g, 2t+8..2t+9);   a[1], a[3]: the same of row g + 8
//   b[0], b[1]: b(2t..2t+1, g), b(2t+8..2t+9, g)
//   c[0..1], c[2..3]: c(g, 2t..2t+1), c(g + 8, 2t..2t+1)
//
// Products are exact; how their sum is rounded is the hardware's own affair, so this is for order=fast. The host
// compiler, and GPUs without the instruction, run a twin made of shuffles.
#pragma once

#include <bit>
#include <cstdint>

#include "device/kernel.cuh"

namespace sparsert::backend {
#ifdef __CUDACC__
inline namespace nvcc_ {
#else
inline namespace simt_ {
#endif

inline constexpr int kMmaRows = 16;
inline constexpr int kMmaColumns = 8;
inline constexpr int kMmaDepth = 16;

/// Two neighbors as a register holds them.
template <class T>
__device__ __forceinline__ std::uint32_t pack_pair(T first, T second) {
  static_assert(sizeof(T) == 2);
  return std::uint32_t{first.bits} | std::uint32_t{second.bits} << 16;
}

/// One of the two, widened.
template <class T>
__device__ __forceinline__ float unpack(std::uint32_t pair, bool second) {
  return to_float(T{static_cast<std::uint16_t>(second ? pair >> 16 : pair & 0xffffu)});
}

/// mma() by shuffles: the lanes of a row and of a column hand their registers round.
template <class T>
__device__ inline void mma_by_shuffles(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int g = lane / 4;
  const int t = lane % 4;
  // Pair p of a row or column: elements 2p and 2p + 1, in register p / 4 of the lane p % 4 of its four.
  for (int p = 0; p < kMmaDepth / 2; ++p) {
    const int high = p / 4;
    const std::uint32_t row[2] = {__shfl_sync(0xffffffffu, a[2 * high], g * 4 + p % 4),
                                  __shfl_sync(0xffffffffu, a[2 * high + 1], g * 4 + p % 4)};
    const std::uint32_t column[2] = {__shfl_sync(0xffffffffu, b[high], 2 * t * 4 + p % 4),
                                     __shfl_sync(0xffffffffu, b[high], (2 * t + 1) * 4 + p % 4)};
    for (int i = 0; i < 4; ++i) {
      c[i] = fma(unpack<T>(row[i / 2], false), unpack<T>(column[i % 2], false), c[i]);
      c[i] = fma(unpack<T>(row[i / 2], true), unpack<T>(column[i % 2], true), c[i]);
    }
  }
}

/// c += a · b, for float16 or bfloat16. Every lane of the warp calls it; the block is one-dimensional.
template <class T>
__device__ __forceinline__ void mma(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  static_assert(std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  if constexpr (std::is_same_v<T, float16>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
#else
  mma_by_shuffles<T>(c, a, b);
#endif
}

/// Whether the stream's device has the instruction for both types: compute capability 8.0 and up.
inline bool has_mma([[maybe_unused]] const Stream& stream) {
#ifdef __CUDACC__
  return ::sparsert::cuda::compute_capability(stream.device().index) >= 80;
#else
  return true;
#endif
}

}  // namespace nvcc_ or simt_
}  // namespace sparsert::backend
