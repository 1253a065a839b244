// kernels/cpu/spmm.cpp — CSR times dense with Highway and TBB.
//
// With a plan: columns of B are packed into panels that a block of the packed matrix meets in the first-level cache
// (spmm_plan.hpp, spmm_panel.hpp). Without one the matrix is used as it is: a row at a time, a tile of columns of C in
// registers; B is first copied to rows of accumulators where it is not stored so already.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/spmm.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "device/parallel.hpp"
#include "kernels/contract/spmm.hpp"
#include "kernels/cpu/panels.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/spmm_panel.hpp"
#include "kernels/cpu/spmm_plan.hpp"
#include "kernels/dispatch.hpp"
#include "sparsert/buffer.hpp"

#ifndef SPARSERT_KERNELS_CPU_SPMM_CPP
#define SPARSERT_KERNELS_CPU_SPMM_CPP
namespace sparsert::backend::cpu {

/// A product of the matrix as it is; B is rows of accumulators.
template <class T>
struct DirectSpmm {
  CsrView a;
  int64_t n;
  const Compute<T>* b;  // (k x n)
  Output<T> out;
};

/// A product of the packed matrix.
template <class T>
struct PlannedSpmm {
  const PackedCsr<Compute<T>>* plan;
  int64_t m;
  int64_t k;
  int64_t n;
  const T* b;
  bool column_major;
  Output<T> out;
};

}  // namespace sparsert::backend::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

/// Rows [begin, end) of C, kVectors vectors of columns from j on; the last vector has `tail` columns if not 0.
template <int kVectors, class T, class I>
void rows_of_tile(const DirectSpmm<T>& p, int64_t begin, int64_t end, int64_t j, int64_t tail) {
  using A = Compute<T>;
  const hn::ScalableTag<A> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto* offsets = static_cast<const I*>(p.a.row_offsets);
  const auto* columns = static_cast<const I*>(p.a.columns);
  const auto* values = static_cast<const T*>(p.a.values);
  const auto mask = hn::FirstN(d, static_cast<size_t>(tail == 0 ? lanes : tail));
  const int64_t width = (kVectors - 1) * lanes + (tail == 0 ? lanes : tail);
  using V = hn::Vec<decltype(d)>;
  HWY_ALIGN A sums[kVectors * hn::MaxLanes(d)];
  for (int64_t i = begin; i < end; ++i) {
    V total[kVectors];
    for (int v = 0; v < kVectors; ++v) total[v] = hn::Zero(d);
    const int64_t last = offsets[i + 1];
    int64_t e = p.out.epilogue.alpha != 0 ? offsets[i] : last;
    while (e < last) {
      const int64_t piece_end = (columns[e] / kPiece + 1) * kPiece;
      V piece[kVectors];
      for (int v = 0; v < kVectors; ++v) piece[v] = hn::Zero(d);
      for (; e < last && columns[e] < piece_end; ++e) {
        const A* b = p.b + static_cast<int64_t>(columns[e]) * p.n + j;
        const auto value = hn::Set(d, widen(values[e]));
        for (int v = 0; v < kVectors - 1; ++v)
          piece[v] = fused_multiply_add(value, hn::LoadU(d, b + v * lanes), piece[v]);
        const A* const b_last = b + (kVectors - 1) * lanes;
        const auto x = tail == 0 ? hn::LoadU(d, b_last) : hn::MaskedLoad(mask, d, b_last);
        piece[kVectors - 1] = fused_multiply_add(value, x, piece[kVectors - 1]);
      }
      for (int v = 0; v < kVectors; ++v) total[v] = hn::Add(total[v], piece[v]);
    }
    for (int v = 0; v < kVectors; ++v) hn::Store(total[v], d, sums + v * lanes);
    store_tile(p.out, i, 1, j, width, sums, width);
  }
}

/// Rows [begin, end) of C, all columns.
template <class T, class I>
void rows_of(const DirectSpmm<T>& p, int64_t begin, int64_t end) {
  const hn::ScalableTag<Compute<T>> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t j = 0;
  for (; j + 8 * lanes <= p.n; j += 8 * lanes) rows_of_tile<8, T, I>(p, begin, end, j, 0);
  if (j + 4 * lanes <= p.n) {
    rows_of_tile<4, T, I>(p, begin, end, j, 0);
    j += 4 * lanes;
  }
  for (; j < p.n; j += lanes) rows_of_tile<1, T, I>(p, begin, end, j, p.n - j >= lanes ? 0 : p.n - j);
}

template <class T>
void direct_rows(const DirectSpmm<T>& p, int64_t begin, int64_t end) {
  if (p.a.index == DType::int32) {
    rows_of<T, std::int32_t>(p, begin, end);
  } else {
    rows_of<T, std::int64_t>(p, begin, end);
  }
}

/// Blocks [begin, end) of k of one panel, each followed by its row of zeros.
template <class T>
void pack_blocks(const PlannedSpmm<T>& p, int64_t tile, int64_t begin, int64_t end, Compute<T>* panel) {
  const PanelShape& shape = p.plan->shape();
  const int64_t j0 = tile * shape.width;
  for (int64_t bk = begin; bk < end; ++bk) {
    const int64_t k0 = bk * shape.block_k;
    const int64_t count = HWY_MIN(shape.block_k, p.k - k0);
    Compute<T>* const block = panel + bk * (shape.block_k + 1) * shape.width;
    pack_panel(p.b, p.k, p.n, p.column_major, k0, count, j0, HWY_MIN(shape.width, p.n - j0), shape.width, block);
    std::fill_n(block + shape.block_k * shape.width, shape.width, Compute<T>{0});
  }
}

/// Blocks [begin, end) of rows of C, the columns of one panel. `scratch` holds two rows of sums more than block_m has.
template <class T>
void planned_rows(const PlannedSpmm<T>& p, int64_t tile, int64_t begin, int64_t end, const Compute<T>* panel,
                  Compute<T>* scratch) {
  const PanelShape& shape = p.plan->shape();
  using A = Compute<T>;
  const int64_t j0 = tile * shape.width;
  const int64_t used = HWY_MIN(shape.width, p.n - j0);
  const bool to_output = std::is_same_v<A, T> && p.out.column_stride == 1 && used == shape.width;
  for (int64_t bm = begin; bm < end; ++bm) {
    const int64_t i0 = bm * shape.block_m;
    const int64_t rows = HWY_MIN(shape.block_m, p.m - i0);
    Sums<A> to{scratch, scratch + (shape.block_m + 1) * shape.width, {}, rows};
    if constexpr (std::is_same_v<A, T>) {
      if (to_output) {
        to.out = p.out;
        to.out.c += i0 * p.out.row_stride + j0;
        if (p.out.row_bias != nullptr) to.out.row_bias += i0;
      }
    }
    multiply_panel(*p.plan, bm, panel, to, to_output);
    if (!to_output) store_tile(p.out, i0, rows, j0, used, to.totals, shape.width);
  }
}

int64_t lanes_f32() { return static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>())); }

// Highway's tables hold plain functions: one for each storage type.
#define SPARSERT_SPMM_OF(suffix, T)                                                                                 \
  void direct_##suffix(const DirectSpmm<T>& p, int64_t begin, int64_t end) { direct_rows(p, begin, end); }          \
  void pack_##suffix(const PlannedSpmm<T>& p, int64_t tile, int64_t begin, int64_t end, Compute<T>* panel) {        \
    pack_blocks(p, tile, begin, end, panel);                                                                        \
  }                                                                                                                 \
  void planned_##suffix(const PlannedSpmm<T>& p, int64_t tile, int64_t begin, int64_t end, const Compute<T>* panel, \
                        Compute<T>* scratch) {                                                                      \
    planned_rows(p, tile, begin, end, panel, scratch);                                                              \
  }
SPARSERT_SPMM_OF(f16, float16)
SPARSERT_SPMM_OF(bf16, bfloat16)
SPARSERT_SPMM_OF(f32, float)
SPARSERT_SPMM_OF(f64, double)
#undef SPARSERT_SPMM_OF

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
namespace {

HWY_EXPORT(direct_f16);
HWY_EXPORT(direct_bf16);
HWY_EXPORT(direct_f32);
HWY_EXPORT(direct_f64);
HWY_EXPORT(pack_f16);
HWY_EXPORT(pack_bf16);
HWY_EXPORT(pack_f32);
HWY_EXPORT(pack_f64);
HWY_EXPORT(planned_f16);
HWY_EXPORT(planned_bf16);
HWY_EXPORT(planned_f32);
HWY_EXPORT(planned_f64);
HWY_EXPORT(lanes_f32);

constexpr int64_t kProductsOfTask = 1 << 18;  // multiplications that make a task worth its overhead

template <class T>
auto direct() {
  if constexpr (std::is_same_v<T, float16>) return HWY_DYNAMIC_DISPATCH(direct_f16);
  else if constexpr (std::is_same_v<T, bfloat16>) return HWY_DYNAMIC_DISPATCH(direct_bf16);
  else if constexpr (std::is_same_v<T, float>) return HWY_DYNAMIC_DISPATCH(direct_f32);
  else return HWY_DYNAMIC_DISPATCH(direct_f64);
}

template <class T>
auto pack() {
  if constexpr (std::is_same_v<T, float16>) return HWY_DYNAMIC_DISPATCH(pack_f16);
  else if constexpr (std::is_same_v<T, bfloat16>) return HWY_DYNAMIC_DISPATCH(pack_bf16);
  else if constexpr (std::is_same_v<T, float>) return HWY_DYNAMIC_DISPATCH(pack_f32);
  else return HWY_DYNAMIC_DISPATCH(pack_f64);
}

template <class T>
auto planned() {
  if constexpr (std::is_same_v<T, float16>) return HWY_DYNAMIC_DISPATCH(planned_f16);
  else if constexpr (std::is_same_v<T, bfloat16>) return HWY_DYNAMIC_DISPATCH(planned_bf16);
  else if constexpr (std::is_same_v<T, float>) return HWY_DYNAMIC_DISPATCH(planned_f32);
  else return HWY_DYNAMIC_DISPATCH(planned_f64);
}

template <class T>
Output<T> output_of(const SpmmArgs& args) {
  using A = Compute<T>;
  return {static_cast<T*>(args.c),
          args.column_major ? 1 : args.n,
          args.column_major ? args.a.rows : 1,
          static_cast<const T*>(args.bias),
          nullptr,
          {static_cast<A>(args.alpha), static_cast<A>(args.beta), args.relu}};
}

/// B as (k x n) rows of accumulators.
template <class T>
void copy_rows(const SpmmArgs& args, Compute<T>* out) {
  const auto* b = static_cast<const T*>(args.b);
  const int64_t k = args.a.cols;
  const int64_t n = args.n;
  parallel_for(k, std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, n)), [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      for (int64_t j = 0; j < n; ++j) out[p * n + j] = widen(args.column_major ? b[j * k + p] : b[p * n + j]);
    }
  });
}

template <class T>
void multiply_directly(const SpmmArgs& args, const Stream& stream) {
  using A = Compute<T>;
  const int64_t m = args.a.rows;
  DirectSpmm<T> p{args.a, args.n, nullptr, output_of<T>(args)};
  Buffer copy;
  if (p.out.epilogue.alpha != 0) {
    if constexpr (std::is_same_v<A, T>) {
      if (!args.column_major || args.n == 1) p.b = static_cast<const A*>(args.b);
    }
    if (p.b == nullptr) {
      copy = Buffer(static_cast<std::size_t>(args.a.cols * args.n) * sizeof(A), stream);
      copy_rows<T>(args, static_cast<A*>(copy.data()));
      p.b = static_cast<const A*>(copy.data());
    }
  }
  const int64_t entries_of_row = args.a.nnz / std::max<int64_t>(1, m) + 1;
  const int64_t grain = kProductsOfTask / (entries_of_row * std::max<int64_t>(1, args.n));
  const auto run = direct<T>();
  parallel_for(m, std::max<int64_t>(1, grain), [&](int64_t begin, int64_t end) { run(p, begin, end); });
}

template <class T>
void multiply_packed(const SpmmArgs& args, const PackedCsr<Compute<T>>& plan, const Stream& stream) {
  using A = Compute<T>;
  const PanelShape& shape = plan.shape();
  const PlannedSpmm<T> p{
      &plan, args.a.rows, args.a.cols, args.n, static_cast<const T*>(args.b), args.column_major, output_of<T>(args)};
  const int64_t panel_size = plan.blocks_k() * (shape.block_k + 1) * shape.width;
  const int64_t scratch_size = 2 * (shape.block_m + 1) * shape.width;
  const auto bytes = [](int64_t elements) { return static_cast<std::size_t>(elements) * sizeof(A); };
  const int64_t tiles = (args.n + shape.width - 1) / shape.width;
  const int64_t threads = num_threads();
  const auto pack_tile = pack<T>();
  const auto multiply = planned<T>();
  if (threads == 1 || tiles % threads == 0 || tiles >= 4 * threads) {
    // Each task packs a panel and uses it while it is warm.
    parallel_for(tiles, 1, [&](int64_t begin, int64_t end) {
      const Buffer memory(bytes(panel_size + scratch_size), stream);
      A* const panel = static_cast<A*>(memory.data());
      for (int64_t tile = begin; tile < end; ++tile) {
        pack_tile(p, tile, 0, plan.blocks_k(), panel);
        multiply(p, tile, 0, plan.blocks_m(), panel, panel + panel_size);
      }
    });
    return;
  }
  const Buffer panels(bytes(tiles * panel_size), stream);
  A* const first = static_cast<A*>(panels.data());
  parallel_for(tiles * plan.blocks_k(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const int64_t tile = at / plan.blocks_k();
      const int64_t bk = at % plan.blocks_k();
      pack_tile(p, tile, bk, bk + 1, first + tile * panel_size);
    }
  });
  parallel_for(tiles * plan.blocks_m(), 1, [&](int64_t begin, int64_t end) {
    const Buffer scratch(bytes(scratch_size), stream);
    for (int64_t at = begin; at < end; ++at) {
      const int64_t tile = at / plan.blocks_m();
      const int64_t bm = at % plan.blocks_m();
      multiply(p, tile, bm, bm + 1, first + tile * panel_size, static_cast<A*>(scratch.data()));
    }
  });
}

/// Rows of A that the panel kernel interleaves for a panel of `vectors` vectors: eight sums in flight.
constexpr int64_t rows_for(int64_t vectors) { return 8 / vectors; }

/// The only place with heuristics.
PanelShape choose_shape(const CsrView& a, int64_t n, int64_t lanes, int64_t item_bytes) {
  // Four vectors wide, unless so many columns would be padding that the dearer entries of a narrow panel pay.
  int64_t vectors = 4;
  double least = 0;
  for (const auto& [candidate, cost_of_entry] : {std::pair{4, 1.0}, std::pair{2, 1.2}, std::pair{1, 1.6}}) {
    const int64_t width = candidate * lanes;
    const double cost = static_cast<double>((std::max<int64_t>(1, n) + width - 1) / width * width) * cost_of_entry;
    if (least == 0 || cost < least) {
      least = cost;
      vectors = candidate;
    }
  }
  // Few entries in a row of a block do not pay for fetching and storing its sums: then the panel grows beyond the
  // first-level cache (measured at 50 to 98 % zeros).
  const double density = static_cast<double>(a.nnz) / (static_cast<double>(a.rows) * static_cast<double>(a.cols));
  const int64_t panel_bytes = density >= 0.25 ? 16 << 10 : density >= 0.06 ? 32 << 10 : 64 << 10;
  int64_t block_k = kPiece;
  while (block_k > 64 && (block_k * vectors * lanes * item_bytes > panel_bytes || block_k >= 2 * a.cols)) block_k /= 2;
  return {vectors * lanes, rows_for(vectors), block_k, std::min<int64_t>(256, a.rows)};
}

template <class A>
int64_t lanes_of() {
  return HWY_DYNAMIC_DISPATCH(lanes_f32)() * static_cast<int64_t>(sizeof(float)) / static_cast<int64_t>(sizeof(A));
}

}  // namespace

void spmm_plan(const SpmmPlanArgs& args, const Stream&) {
  args.plan->reset();
  // The scalar target has no vectors to fill: it multiplies the matrix as it is.
  if (HWY_DYNAMIC_DISPATCH(lanes_f32)() == 1 || args.a.rows == 0 || args.a.cols == 0) return;
  try {
    dispatch_any_float("spmm_plan", args.a.dtype, [&]<class T>() {
      using A = Compute<T>;
      *args.plan = std::make_unique<PackedCsr<A>>(args.a, choose_shape(args.a, args.n, lanes_of<A>(), sizeof(A)));
    });
  } catch (const std::bad_alloc&) {
    throw OutOfMemory("spmm_plan: packing " + std::to_string(args.a.nnz) + " entries");
  }
}

void spmm(const SpmmArgs& args, const Stream& stream) {
  dispatch_any_float("spmm", args.a.dtype, [&]<class T>() {
    using A = Compute<T>;
    const auto* plan = static_cast<const PackedCsr<A>*>(args.plan);
    // A plan made for another instruction set has panels of another width.
    const bool fits = plan != nullptr && plan->shape().width * plan->shape().rows == 8 * lanes_of<A>();
    if (fits && args.alpha != 0) {
      multiply_packed<T>(args, *plan, stream);
    } else {
      multiply_directly<T>(args, stream);
    }
  });
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
