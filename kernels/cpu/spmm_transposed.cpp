// kernels/cpu/spmm_transposed.cpp — the transpose of a sparse matrix times dense, with Highway and TBB.
//
// A panel of columns of B meets the rows of A in order: each entry adds its multiple of B's row to a row of sums. No
// transpose is made; the sums of a panel, as many rows as A has columns, stay in the second-level cache if they fit.
// Where there are fewer panels than threads, each thread takes a part of A's columns.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/spmm_transposed.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "device/parallel.hpp"
#include "kernels/contract/spmm_transposed.hpp"
#include "kernels/cpu/panels.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/dispatch.hpp"
#include "sparsert/buffer.hpp"

#ifndef SPARSERT_KERNELS_CPU_SPMM_TRANSPOSED_CPP
#define SPARSERT_KERNELS_CPU_SPMM_TRANSPOSED_CPP
namespace sparsert::backend::cpu {

/// Columns [c0, c1) of A and columns [j0, j0 + used) of B. `panel` has room for kPiece rows, `pieces` and `totals` for
/// c1 - c0 rows, all `width` wide.
template <class T>
struct TransposedTask {
  CsrView a;
  int64_t n;
  const T* b;
  bool column_major;
  Output<T> out;
  int64_t c0;
  int64_t c1;
  int64_t j0;
  Compute<T>* panel;
  Compute<T>* pieces;
  Compute<T>* totals;
};

inline constexpr int kTransposedVectors = 4;  // of a panel

}  // namespace sparsert::backend::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

/// pieces += entries of rows [k0, k1) times the panel.
template <class T, class I>
void scatter_rows(const TransposedTask<T>& p, int64_t k0, int64_t k1) {
  using A = Compute<T>;
  const hn::ScalableTag<A> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int kLanes = hn::MaxLanes(d);
  constexpr int kWidth = kTransposedVectors * kLanes;
  const auto* offsets = static_cast<const I*>(p.a.row_offsets);
  const auto* columns = static_cast<const I*>(p.a.columns);
  const auto* values = static_cast<const T*>(p.a.values);
  const bool whole = p.c0 == 0 && p.c1 == p.a.cols;
  for (int64_t k = k0; k < k1; ++k) {
    int64_t e = offsets[k];
    int64_t last = offsets[k + 1];
    if (!whole) {
      last = std::lower_bound(columns + e, columns + last, static_cast<I>(p.c1)) - columns;
      e = std::lower_bound(columns + e, columns + last, static_cast<I>(p.c0)) - columns;
    }
    V b[kTransposedVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kTransposedVectors; ++v) b[v] = hn::Load(d, p.panel + (k - k0) * kWidth + v * kLanes);
    for (; e < last; ++e) {
      A* const sums = p.pieces + (static_cast<int64_t>(columns[e]) - p.c0) * kWidth;
      const V value = hn::Set(d, widen(values[e]));
#pragma GCC unroll 4
      for (int v = 0; v < kTransposedVectors; ++v) {
        hn::Store(fused_multiply_add(value, b[v], hn::Load(d, sums + v * kLanes)), d, sums + v * kLanes);
      }
    }
  }
}

template <class T>
void transposed_task(const TransposedTask<T>& p) {
  using A = Compute<T>;
  const hn::ScalableTag<A> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t width = kTransposedVectors * lanes;
  const int64_t size = (p.c1 - p.c0) * width;
  const int64_t used = HWY_MIN(width, p.n - p.j0);
  std::fill_n(p.totals, size, A{0});
  for (int64_t k0 = 0; k0 < p.a.rows; k0 += kPiece) {
    const int64_t k1 = HWY_MIN(p.a.rows, k0 + kPiece);
    pack_panel(p.b, p.a.rows, p.n, p.column_major, k0, k1 - k0, p.j0, used, width, p.panel);
    std::fill_n(p.pieces, size, A{0});
    if (p.a.index == DType::int32) scatter_rows<T, std::int32_t>(p, k0, k1);
    else scatter_rows<T, std::int64_t>(p, k0, k1);
    for (int64_t i = 0; i < size; i += lanes) {
      hn::Store(hn::Add(hn::Load(d, p.totals + i), hn::Load(d, p.pieces + i)), d, p.totals + i);
    }
  }
  store_tile(p.out, p.c0, p.c1 - p.c0, p.j0, used, p.totals, width);
}

int64_t panel_lanes_f32() { return static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>())); }
void task_f16(const TransposedTask<float16>& p) { transposed_task(p); }
void task_bf16(const TransposedTask<bfloat16>& p) { transposed_task(p); }
void task_f32(const TransposedTask<float>& p) { transposed_task(p); }
void task_f64(const TransposedTask<double>& p) { transposed_task(p); }

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
namespace {

HWY_EXPORT(panel_lanes_f32);
HWY_EXPORT(task_f16);
HWY_EXPORT(task_bf16);
HWY_EXPORT(task_f32);
HWY_EXPORT(task_f64);

template <class T>
auto task_of() {
  if constexpr (std::is_same_v<T, float16>) return HWY_DYNAMIC_DISPATCH(task_f16);
  else if constexpr (std::is_same_v<T, bfloat16>) return HWY_DYNAMIC_DISPATCH(task_bf16);
  else if constexpr (std::is_same_v<T, float>) return HWY_DYNAMIC_DISPATCH(task_f32);
  else return HWY_DYNAMIC_DISPATCH(task_f64);
}

template <class T>
void run(const SpmmTransposedArgs& args, const Stream& stream) {
  using A = Compute<T>;
  const CsrView& a = args.a;
  if (args.n == 0 || a.cols == 0) return;
  // Not below the width of a cache line of floats: the scalar target has panels of four single columns.
  const int64_t width = HWY_DYNAMIC_DISPATCH(panel_lanes_f32)() * kTransposedVectors *
                        static_cast<int64_t>(sizeof(float)) / static_cast<int64_t>(sizeof(A));
  const int64_t panel_width = std::max<int64_t>(width, kTransposedVectors);
  const int64_t tiles = (args.n + panel_width - 1) / panel_width;
  const int64_t wanted = (num_threads() + tiles - 1) / tiles;
  const int64_t parts = std::min(tiles >= num_threads() ? 1 : wanted, a.cols);
  const Output<T> out{
      static_cast<T*>(args.c), args.column_major ? 1 : args.n, args.column_major ? a.cols : 1, nullptr, nullptr, {}};
  const auto task = task_of<T>();
  parallel_for(tiles * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const int64_t part = at % parts;
      const int64_t c0 = a.cols * part / parts;
      const int64_t c1 = a.cols * (part + 1) / parts;
      const int64_t size = (c1 - c0) * panel_width;
      const int64_t panel_size = kPiece * panel_width;
      const Buffer memory(static_cast<std::size_t>(panel_size + 2 * size) * sizeof(A), stream);
      auto* const panel = static_cast<A*>(memory.data());
      task({a, args.n, static_cast<const T*>(args.b), args.column_major, out, c0, c1, at / parts * panel_width, panel,
            panel + panel_size, panel + panel_size + size});
    }
  });
}

}  // namespace

void spmm_transposed(const SpmmTransposedArgs& args, const Stream& stream) {
  dispatch_any_float("spmm_transposed", args.a.dtype, [&]<class T>() { run<T>(args, stream); });
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
