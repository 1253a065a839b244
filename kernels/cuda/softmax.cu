// kernels/cuda/softmax.cu — softmax over the rows of a sparse matrix: 16 threads are the 16 lanes of one row's sum.
//
// A row is read three times (its maximum, its sum, its results) and its exponentials are made twice, which is cheaper
// than a place to keep them.
#include "kernels/contract/softmax.hpp"

#include <limits>

#include "device/kernel.cuh"
#include "kernels/dispatch.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/exp.hpp"
#include "kernels/lanes.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

constexpr int kThreads = 128;
constexpr int kRows = kThreads / kSumLanes;  // of a block

/// The sum over the 16 lanes, in all of them, as LaneSum adds them. Called by the whole warp.
template <class A>
__device__ __forceinline__ A sum_of_lanes(A sum) {
  for (int distance = kSumLanes / 2; distance > 0; distance /= 2) {
    sum = sum + __shfl_xor_sync(0xffffffffu, sum, distance);
  }
  return sum + A{0};
}

// grid: (rows / kRows, rounded up)
// block: kThreads, kSumLanes of them for a row
// shared: none
// requires: out may be values
template <class T, class I>
__global__ __launch_bounds__(kThreads) void softmax_kernel(std::int64_t rows, Global<const I> row_offsets,
                                                           Global<const T> values, Global<T> out) {
  using A = Compute<T>;
  const int lane = static_cast<int>(threadIdx.x) % kSumLanes;
  const std::int64_t row = std::int64_t{blockIdx.x} * kRows + static_cast<int>(threadIdx.x) / kSumLanes;
  const std::int64_t first = row < rows ? static_cast<std::int64_t>(static_cast<I>(row_offsets[row])) : 0;
  const std::int64_t last = row < rows ? static_cast<std::int64_t>(static_cast<I>(row_offsets[row + 1])) : 0;
  A most = -std::numeric_limits<A>::infinity();
  for (std::int64_t e = first + lane; e < last; e += kSumLanes) {
    const A x = widen(static_cast<T>(values[e]));
    most = x > most ? x : most;
  }
  for (int distance = kSumLanes / 2; distance > 0; distance /= 2) {
    const A other = __shfl_xor_sync(0xffffffffu, most, distance);
    most = other > most ? other : most;
  }
  A sum = 0;
  for (std::int64_t e = first + lane; e < last; e += kSumLanes) {
    sum = sum + exp_of(widen(static_cast<T>(values[e])) - most);
  }
  const A total = sum_of_lanes(sum);
  for (std::int64_t e = first + lane; e < last; e += kSumLanes) {
    out[e] = narrow<T>(exp_of(widen(static_cast<T>(values[e])) - most) / total);
  }
}

// grid: (rows / kRows, rounded up)
// block: kThreads, kSumLanes of them for a row
// shared: none
// requires: out may be grad
template <class T, class I>
__global__ __launch_bounds__(kThreads) void softmax_backward_kernel(std::int64_t rows, Global<const I> row_offsets,
                                                                    Global<const T> values, Global<const T> grad,
                                                                    Global<T> out) {
  using A = Compute<T>;
  const int lane = static_cast<int>(threadIdx.x) % kSumLanes;
  const std::int64_t row = std::int64_t{blockIdx.x} * kRows + static_cast<int>(threadIdx.x) / kSumLanes;
  const std::int64_t first = row < rows ? static_cast<std::int64_t>(static_cast<I>(row_offsets[row])) : 0;
  const std::int64_t last = row < rows ? static_cast<std::int64_t>(static_cast<I>(row_offsets[row + 1])) : 0;
  A sum = 0;
  for (std::int64_t e = first + lane; e < last; e += kSumLanes) {
    sum = fma(widen(static_cast<T>(grad[e])), widen(static_cast<T>(values[e])), sum);
  }
  const A total = sum_of_lanes(sum);
  for (std::int64_t e = first + lane; e < last; e += kSumLanes) {
    out[e] = narrow<T>(widen(static_cast<T>(values[e])) * (widen(static_cast<T>(grad[e])) - total));
  }
}

}  // namespace

void sparse_softmax(const SparseSoftmaxArgs& args, const Stream& stream) {
  const CsrView& a = args.a;
  dispatch_any_float("sparse_softmax", a.dtype, [&]<class T>() {
    dispatch_index("sparse_softmax", a.index, [&]<class I>() {
      launch(stream, {.grid = (a.rows + kRows - 1) / kRows, .block = kThreads}, &softmax_kernel<T, I>, a.rows,
             static_cast<const I*>(a.row_offsets), static_cast<const T*>(a.values), static_cast<T*>(args.out));
    });
  });
}

void sparse_softmax_backward(const SparseSoftmaxBackwardArgs& args, const Stream& stream) {
  const CsrView& y = args.y;
  dispatch_any_float("sparse_softmax_backward", y.dtype, [&]<class T>() {
    dispatch_index("sparse_softmax_backward", y.index, [&]<class I>() {
      launch(stream, {.grid = (y.rows + kRows - 1) / kRows, .block = kThreads}, &softmax_backward_kernel<T, I>, y.rows,
             static_cast<const I*>(y.row_offsets), static_cast<const T*>(y.values), static_cast<const T*>(args.grad),
             static_cast<T*>(args.out));
    });
  });
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
