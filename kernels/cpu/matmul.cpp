// kernels/cpu/matmul.cpp — dense times dense with Highway and TBB, in the order of the sparse product.
//
// B is packed once into panels two vectors wide. A few rows of A meet one panel over one piece of k: the sums of that
// tile of C stay in registers, the rows of A in the first-level cache, the panels of a column block in the second.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <type_traits>

#include "device/parallel.hpp"
#include "kernels/contract/matmul.hpp"
#include "kernels/cpu/blas.hpp"
#include "kernels/cpu/panels.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/dispatch.hpp"
#include "sparsert/buffer.hpp"

#ifndef SPARSERT_KERNELS_CPU_MATMUL_CPP
#define SPARSERT_KERNELS_CPU_MATMUL_CPP
namespace sparsert::backend::cpu {

/// What the tasks of one product share. Panels are `kPanelVectors` vectors wide, (k x width) each.
template <class T>
struct DenseProduct {
  int64_t m;
  int64_t k;
  int64_t n;
  const T* a;  // (m x k)
  const T* b;  // (k x n), or (n x k) where transposed
  bool b_transposed;
  Compute<T>* panels;
  Output<T> out;
};

inline constexpr int kPanelVectors = 2;
inline constexpr int64_t kPackRows = 128;  // of a panel, packed at a time

}  // namespace sparsert::backend::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

// Rows of a register tile: with two vectors of columns, their sums fill the registers that the operands leave.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 6;
#endif

/// totals (+)= rows of A times one panel, over one piece of k. `totals` has `stride` between rows.
template <bool kFirst, class A>
HWY_NOINLINE void multiply_tile(const A* const (&rows)[kTileRows], const A* HWY_RESTRICT panel, int64_t count,
                                A* HWY_RESTRICT totals, int64_t stride) {
  const hn::ScalableTag<A> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int kLanes = hn::MaxLanes(d);
  V sums[kTileRows][kPanelVectors];
#pragma GCC unroll 12
  for (int r = 0; r < kTileRows; ++r) {
    for (int v = 0; v < kPanelVectors; ++v) sums[r][v] = hn::Zero(d);
  }
  for (int64_t p = 0; p < count; ++p) {
    const V b0 = hn::Load(d, panel);
    const V b1 = hn::Load(d, panel + kLanes);
    panel += kPanelVectors * kLanes;
#pragma GCC unroll 12
    for (int r = 0; r < kTileRows; ++r) {
      const V a = hn::Set(d, rows[r][p]);
      sums[r][0] = fused_multiply_add(a, b0, sums[r][0]);
      sums[r][1] = fused_multiply_add(a, b1, sums[r][1]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kTileRows; ++r) {
    for (int v = 0; v < kPanelVectors; ++v) {
      A* const total = totals + r * stride + v * kLanes;
      hn::Store(kFirst ? sums[r][v] : hn::Add(hn::Load(d, total), sums[r][v]), d, total);
    }
  }
}

template <class A>
constexpr int64_t panel_width() {
  return kPanelVectors * static_cast<int64_t>(hn::MaxLanes(hn::ScalableTag<A>()));
}

/// Packs panels [begin, end) of B.
template <class T>
void pack_panels(const DenseProduct<T>& p, int64_t begin, int64_t end) {
  constexpr int64_t kWidth = panel_width<Compute<T>>();
  for (int64_t at = begin; at < end; ++at) {
    const int64_t j0 = at * kWidth;
    // In parts that stay in the first-level cache while a transposed B fills them a few columns at a time.
    for (int64_t k0 = 0; k0 < p.k; k0 += kPackRows) {
      pack_panel(p.b, p.k, p.n, p.b_transposed, k0, HWY_MIN(kPackRows, p.k - k0), j0, HWY_MIN(kWidth, p.n - j0), kWidth,
                 p.panels + j0 * p.k + k0 * kWidth);
    }
  }
}

/// Rows [i0, i0 + rows) of C, panels [begin, end). `scratch` has room for their totals, and where T is not the
/// accumulator for kTileRows rows of one piece of A.
template <class T>
void multiply_rows(const DenseProduct<T>& p, int64_t i0, int64_t rows, int64_t begin, int64_t end,
                   Compute<T>* scratch) {
  using A = Compute<T>;
  constexpr int64_t kWidth = panel_width<A>();
  const int64_t stride = (end - begin) * kWidth;
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  A* const widened = scratch + tiles * kTileRows * stride;
  if (p.k == 0) std::fill_n(scratch, rows * stride, A{0});
  for (int64_t k0 = 0; k0 < p.k; k0 += kPiece) {
    const int64_t count = HWY_MIN(kPiece, p.k - k0);
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const A* row_of[kTileRows];
      for (int r = 0; r < kTileRows; ++r) {
        // Rows past the end repeat the last one; nobody reads their sums.
        const T* const row = p.a + HWY_MIN(i0 + tile * kTileRows + r, p.m - 1) * p.k + k0;
        if constexpr (std::is_same_v<A, T>) {
          row_of[r] = row;
        } else {
          A* const copy = widened + r * kPiece;
          for (int64_t q = 0; q < count; ++q) copy[q] = widen(row[q]);
          row_of[r] = copy;
        }
      }
      for (int64_t panel = begin; panel < end; ++panel) {
        const A* const b = p.panels + panel * kWidth * p.k + k0 * kWidth;
        A* const totals = scratch + tile * kTileRows * stride + (panel - begin) * kWidth;
        if (k0 == 0) {
          multiply_tile<true>(row_of, b, count, totals, stride);
        } else {
          multiply_tile<false>(row_of, b, count, totals, stride);
        }
      }
    }
  }
  const int64_t j0 = begin * kWidth;
  store_tile(p.out, i0, rows, j0, HWY_MIN(p.n - j0, stride), scratch, stride);
}

int64_t panel_width_f32() { return panel_width<float>(); }
int64_t panel_width_f64() { return panel_width<double>(); }

// Highway's tables hold plain functions: one for each storage type.
#define SPARSERT_MATMUL_OF(suffix, T)                                                                      \
  void pack_##suffix(const DenseProduct<T>& p, int64_t begin, int64_t end) { pack_panels(p, begin, end); } \
  void multiply_##suffix(const DenseProduct<T>& p, int64_t i0, int64_t rows, int64_t begin, int64_t end,   \
                         Compute<T>* scratch) {                                                            \
    multiply_rows(p, i0, rows, begin, end, scratch);                                                       \
  }
SPARSERT_MATMUL_OF(f16, float16)
SPARSERT_MATMUL_OF(bf16, bfloat16)
SPARSERT_MATMUL_OF(f32, float)
SPARSERT_MATMUL_OF(f64, double)
#undef SPARSERT_MATMUL_OF

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
namespace {

HWY_EXPORT(pack_f16);
HWY_EXPORT(pack_bf16);
HWY_EXPORT(pack_f32);
HWY_EXPORT(pack_f64);
HWY_EXPORT(multiply_f16);
HWY_EXPORT(multiply_bf16);
HWY_EXPORT(multiply_f32);
HWY_EXPORT(multiply_f64);
HWY_EXPORT(panel_width_f32);
HWY_EXPORT(panel_width_f64);

constexpr int64_t kRowsOfTask = 48;        // a multiple of every kTileRows
constexpr int64_t kColumnBytes = 128 * 4;  // of C in a task: their panels of one piece fill half a second-level cache

template <class T>
auto pack() {
  if constexpr (std::is_same_v<T, float16>) return HWY_DYNAMIC_DISPATCH(pack_f16);
  else if constexpr (std::is_same_v<T, bfloat16>) return HWY_DYNAMIC_DISPATCH(pack_bf16);
  else if constexpr (std::is_same_v<T, float>) return HWY_DYNAMIC_DISPATCH(pack_f32);
  else return HWY_DYNAMIC_DISPATCH(pack_f64);
}

template <class T>
auto multiply() {
  if constexpr (std::is_same_v<T, float16>) return HWY_DYNAMIC_DISPATCH(multiply_f16);
  else if constexpr (std::is_same_v<T, bfloat16>) return HWY_DYNAMIC_DISPATCH(multiply_bf16);
  else if constexpr (std::is_same_v<T, float>) return HWY_DYNAMIC_DISPATCH(multiply_f32);
  else return HWY_DYNAMIC_DISPATCH(multiply_f64);
}

template <class T>
void run(const MatmulArgs& args, const Stream& stream) {
  using A = Compute<T>;
  if (args.m == 0 || args.n == 0) return;
  const int64_t width =
      std::is_same_v<A, float> ? HWY_DYNAMIC_DISPATCH(panel_width_f32)() : HWY_DYNAMIC_DISPATCH(panel_width_f64)();
  const int64_t panels = (args.n + width - 1) / width;
  const Buffer packed(static_cast<std::size_t>(panels * width * args.k) * sizeof(A), stream);
  const DenseProduct<T> p{
      args.m,
      args.k,
      args.n,
      static_cast<const T*>(args.a),
      static_cast<const T*>(args.b),
      args.b_transposed,
      static_cast<A*>(packed.data()),
      {static_cast<T*>(args.c), args.n, 1, nullptr, static_cast<const T*>(args.bias), {.relu = args.relu}}};
  const int64_t panel_grain = std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, width * args.k));
  const auto pack_panels = pack<T>();
  parallel_for(panels, panel_grain, [&](int64_t begin, int64_t end) { pack_panels(p, begin, end); });

  const int64_t panels_of_task = std::max<int64_t>(1, kColumnBytes / static_cast<int64_t>(sizeof(A)) / width);
  const int64_t column_tasks = (panels + panels_of_task - 1) / panels_of_task;
  const int64_t row_tasks = (args.m + kRowsOfTask - 1) / kRowsOfTask;
  const int64_t scratch_size = kRowsOfTask * panels_of_task * width + (std::is_same_v<A, T> ? 0 : 12 * kPiece);
  const auto multiply_rows = multiply<T>();
  parallel_for(row_tasks * column_tasks, 1, [&](int64_t begin, int64_t end) {
    const Buffer scratch(static_cast<std::size_t>(scratch_size) * sizeof(A), stream);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t i0 = task % row_tasks * kRowsOfTask;
      const int64_t panel = task / row_tasks * panels_of_task;
      multiply_rows(p, i0, std::min(kRowsOfTask, args.m - i0), panel, std::min(panels, panel + panels_of_task),
                    static_cast<A*>(scratch.data()));
    }
  });
}

}  // namespace

void matmul(const MatmulArgs& args, const Stream& stream) {
  if (args.order == Order::fast && blas_matmul(args)) return;
  dispatch_any_float("matmul", args.dtype, [&]<class T>() { run<T>(args, stream); });
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
