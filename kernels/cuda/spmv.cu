// kernels/cuda/spmv.cu — sparse times a vector: eight lanes stage a row's products' operands, one sums them in order.
//
// The canonical order is serial within a piece, so a row's sum belongs to one lane; the others fetch values and x for
// it, coalesced, a batch at a time. Reads each entry once, and x once an entry.
#include "kernels/contract/spmv.hpp"

#include "device/kernel.cuh"
#include "kernels/dispatch.hpp"
#include "kernels/products.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

constexpr int kThreads = 128;
constexpr int kLanes = 8;  // of a row
constexpr int kRows = kThreads / kLanes;

template <class A>
struct Staged {
  SharedArray<A, kThreads> values;
  SharedArray<A, kThreads> x;
  SharedArray<std::int64_t, kThreads> columns;
};

// grid: (rows / kRows, rounded up)
// block: kThreads, kLanes of them for a row
// shared: Staged
// requires: nothing
template <class T, class I>
__global__ __launch_bounds__(kThreads) void spmv_kernel(std::int64_t rows, Global<const I> row_offsets,
                                                        Global<const I> columns, Global<const T> values,
                                                        Global<const T> x, Global<T> y) {
  using A = Compute<T>;
  auto& staged = shared<Staged<A>>();
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kLanes;
  const int stage = thread - lane;
  const unsigned mask = 0xffu << (stage % 32);
  const std::int64_t row = std::int64_t{blockIdx.x} * kRows + thread / kLanes;
  if (row >= rows) return;  // all lanes of the row together
  const std::int64_t first = static_cast<I>(row_offsets[row]);
  const std::int64_t last = static_cast<I>(row_offsets[row + 1]);
  CanonicalSum<A> sum;
  for (std::int64_t e = first; e < last; e += kLanes) {
    __syncwarp(mask);  // the batch before has been read
    if (e + lane < last) {
      const std::int64_t column = static_cast<I>(columns[e + lane]);
      staged.values[thread] = widen(static_cast<T>(values[e + lane]));
      staged.x[thread] = widen(static_cast<T>(x[column]));
      staged.columns[thread] = column;
    }
    __syncwarp(mask);
    if (lane != 0) continue;
    for (int s = 0; s < kLanes && e + s < last; ++s) {
      const std::int64_t column = staged.columns[stage + s];
      const A value = staged.values[stage + s];
      const A factor = staged.x[stage + s];
      sum.add(column, value, factor);
    }
  }
  if (lane == 0) y[row] = narrow<T>(sum.value() + A{0});
}

}  // namespace

void spmv_plan(const SpmvPlanArgs& args, const Stream&) { args.plan->reset(); }

void spmv(const SpmvArgs& args, const Stream& stream) {
  const CsrView& a = args.a;
  dispatch_any_float("spmv", a.dtype, [&]<class T>() {
    dispatch_index("spmv", a.index, [&]<class I>() {
      launch(stream, {.grid = (a.rows + kRows - 1) / kRows, .block = kThreads}, &spmv_kernel<T, I>, a.rows,
             static_cast<const I*>(a.row_offsets), static_cast<const I*>(a.columns), static_cast<const T*>(a.values),
             static_cast<const T*>(args.x), static_cast<T*>(args.y));
    });
  });
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
