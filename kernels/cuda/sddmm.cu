// kernels/cuda/sddmm.cu — dense times dense on a pattern: 16 threads are the 16 lanes of one entry's sum.
//
// Adjacent lanes read adjacent elements of both rows, and the tree over lanes is four shuffles. An entry's row is found
// by a binary search among the offsets. Reads two rows of k elements an entry.
#include "kernels/contract/sddmm.hpp"

#include "device/kernel.cuh"
#include "kernels/dispatch.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/lanes.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

constexpr int kThreads = 128;
constexpr int kEntries = kThreads / kSumLanes;  // of a block
static_assert(32 % kSumLanes == 0, "the lanes of an entry are of one warp");

template <class T, class I>
struct SddmmParameters {
  std::int64_t rows;
  std::int64_t nnz;
  std::int64_t k;
  Global<const I> row_offsets;
  Global<const I> columns;
  Global<const T> x;
  std::int64_t x_row;  // strides of x and y, by row and by k
  std::int64_t x_step;
  Global<const T> y;
  std::int64_t y_row;
  std::int64_t y_step;
  Global<T> out;
};

/// The row whose entries include e.
template <class I>
__device__ __forceinline__ std::int64_t row_of(const Global<const I>& row_offsets, std::int64_t rows, std::int64_t e) {
  std::int64_t low = 0;
  std::int64_t high = rows;  // row_offsets[low] <= e < row_offsets[high]
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    if (static_cast<I>(row_offsets[middle]) <= e) low = middle;
    else high = middle;
  }
  return low;
}

// grid: (nnz / kEntries, rounded up)
// block: kThreads, kSumLanes of them for an entry
// shared: none
// requires: nothing
template <class T, class I>
__global__ __launch_bounds__(kThreads) void sddmm_kernel(SddmmParameters<T, I> p) {
  using A = Compute<T>;
  const int lane = static_cast<int>(threadIdx.x) % kSumLanes;
  const std::int64_t e = std::int64_t{blockIdx.x} * kEntries + static_cast<int>(threadIdx.x) / kSumLanes;
  A sum = 0;
  if (e < p.nnz) {
    const std::int64_t x = row_of(p.row_offsets, p.rows, e) * p.x_row;
    const std::int64_t y = static_cast<std::int64_t>(static_cast<I>(p.columns[e])) * p.y_row;
    for (std::int64_t t = lane; t < p.k; t += kSumLanes) {
      sum = fma(widen(static_cast<T>(p.x[x + t * p.x_step])), widen(static_cast<T>(p.y[y + t * p.y_step])), sum);
    }
  }
  for (int distance = kSumLanes / 2; distance > 0; distance /= 2) {
    sum = sum + __shfl_xor_sync(0xffffffffu, sum, distance);
  }
  if (lane == 0 && e < p.nnz) p.out[e] = narrow<T>(sum + A{0});
}

}  // namespace

void sddmm(const SddmmArgs& args, const Stream& stream) {
  const CsrView& a = args.pattern;
  dispatch_any_float("sddmm", a.dtype, [&]<class T>() {
    dispatch_index("sddmm", a.index, [&]<class I>() {
      const SddmmParameters<T, I> p{a.rows,
                                    a.nnz,
                                    args.k,
                                    static_cast<const I*>(a.row_offsets),
                                    static_cast<const I*>(a.columns),
                                    static_cast<const T*>(args.x),
                                    args.transposed ? 1 : args.k,
                                    args.transposed ? a.rows : 1,
                                    static_cast<const T*>(args.y),
                                    args.transposed ? 1 : args.k,
                                    args.transposed ? a.cols : 1,
                                    static_cast<T*>(args.out)};
      launch(stream, {.grid = (a.nnz + kEntries - 1) / kEntries, .block = kThreads}, &sddmm_kernel<T, I>, p);
    });
  });
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
