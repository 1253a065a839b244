// kernels/cpu/spmm_panel.hpp — one block of a packed matrix times one panel, the sums in registers.
//
// Every entry costs an offset, a value and a row of the panel; the loads of the row are the wall. So values come four
// at a time and are spread from a register, and a group's rows run interleaved to keep enough sums in flight.
// Include after <hwy/foreach_target.h>. The include guard is Highway's per-target toggle.
#if defined(SPARSERT_KERNELS_CPU_SPMM_PANEL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARSERT_KERNELS_CPU_SPMM_PANEL_HPP
#undef SPARSERT_KERNELS_CPU_SPMM_PANEL_HPP
#else
#define SPARSERT_KERNELS_CPU_SPMM_PANEL_HPP
#endif

#include "kernels/cpu/panels.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/spmm_plan.hpp"

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

/// A block's groups and entries, as the kernel walks them.
template <class A>
struct Walk {
  const std::uint16_t* rows;
  const std::uint16_t* counts;
  int64_t groups;
  const std::uint16_t* offsets;
  const A* values;
};

/// Where the sums of a block of rows are: begun pieces, totals of finished ones, and the part of C that they end in.
template <class A>
struct Sums {
  A* pieces;
  A* totals;
  Output<A> out;  // at the block's first row and the panel's first column
  int64_t rows;   // of C in the block
};

/// What becomes of a block's sums: the piece goes on, is added to the total, or is the last and goes to C.
enum class Then { piece, total, output };

/// finish() of whole vectors of one row of C.
template <int kVectors, class V, class A>
HWY_INLINE void finish_row(const Output<A>& out, int64_t row, const V* sums) {
  const hn::ScalableTag<A> d;
  constexpr int kLanes = hn::MaxLanes(d);
  const auto zero = hn::Zero(d);
  const Epilogue<A>& e = out.epilogue;
  A* const c = out.c + row * out.row_stride;
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    V x = sums[v];
    if (e.alpha != 1) x = hn::Mul(hn::Set(d, e.alpha), x);
    if (e.beta != 0) x = fused_multiply_add(hn::Set(d, e.beta), hn::LoadU(d, c + v * kLanes), x);
    if (out.row_bias != nullptr) x = hn::Add(x, hn::Set(d, out.row_bias[row]));
    x = hn::Add(x, zero);
    if (e.relu) x = hn::IfThenZeroElse(hn::Le(x, zero), x);
    hn::StoreU(x, d, c + v * kLanes);
  }
}

/// For each row of the block: piece = (kBegins ? 0 : piece) + entries · panel, and then as kThen says.
/// `kTotals` is whether there are totals from earlier pieces.
template <class A, int kVectors, int kRows, bool kBegins, Then kThen, bool kTotals>
HWY_NOINLINE void multiply_block(Walk<A> w, const A* HWY_RESTRICT panel, const Sums<A>& to) {
  const hn::ScalableTag<A> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int kLanes = hn::MaxLanes(d);
  constexpr int kWidth = kVectors * kLanes;
  const auto* const base = reinterpret_cast<const char*>(panel);
#if HWY_TARGET != HWY_SCALAR
  constexpr int kBlock = static_cast<int>(16 / sizeof(A));
  constexpr int kChunk = kRows > kBlock ? kRows : kBlock;  // entries taken at a time
  constexpr int kSteps = kChunk / kRows;
#endif
  for (int64_t g = 0; g < w.groups; ++g) {
    V sums[kRows][kVectors];
    int64_t at[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      at[r] = static_cast<int64_t>(w.rows[r]) * kWidth;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
        sums[r][v] = kBegins ? hn::Zero(d) : hn::Load(d, to.pieces + at[r] + v * kLanes);
      if (kThen == Then::output) {
        for (int v = 0; v < kWidth; v += 64 / static_cast<int>(sizeof(A))) {
          hwy::Prefetch(to.out.c + w.rows[r] * to.out.row_stride + v);
        }
      }
    }
    int64_t count = *w.counts++;
#if HWY_TARGET != HWY_SCALAR
    for (; count >= kSteps; count -= kSteps) {
#pragma GCC unroll 8
      for (int q = 0; q < kChunk; q += kBlock) {
        const V four = hn::LoadDup128(d, w.values + q);
        const auto entry = [&](int e, V value) HWY_ATTR {
          const auto* const x = reinterpret_cast<const A*>(base + static_cast<size_t>(w.offsets[e]) * 8);
          const int r = e % kRows;
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v)
            sums[r][v] = fused_multiply_add(value, hn::Load(d, x + v * kLanes), sums[r][v]);
        };
        entry(q, hn::Broadcast<0>(four));
        entry(q + 1, hn::Broadcast<1>(four));
        if constexpr (kBlock == 4) {
          entry(q + 2, hn::Broadcast<2>(four));
          entry(q + 3, hn::Broadcast<3>(four));
        }
      }
      w.values += kChunk;
      w.offsets += kChunk;
    }
#endif
    for (; count > 0; --count) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const auto* const x = reinterpret_cast<const A*>(base + static_cast<size_t>(w.offsets[r]) * 8);
        const V value = hn::Set(d, w.values[r]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v)
          sums[r][v] = fused_multiply_add(value, hn::Load(d, x + v * kLanes), sums[r][v]);
      }
      w.values += kRows;
      w.offsets += kRows;
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      if (kThen != Then::piece && kTotals) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v)
          sums[r][v] = hn::Add(hn::Load(d, to.totals + at[r] + v * kLanes), sums[r][v]);
      }
      if (kThen == Then::output) {
        if (w.rows[r] < to.rows) finish_row<kVectors>(to.out, w.rows[r], sums[r]);
      } else {
        A* const sum = (kThen == Then::total ? to.totals : to.pieces) + at[r];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) hn::Store(sums[r][v], d, sum + v * kLanes);
      }
    }
    w.rows += kRows;
  }
}

template <class A, int kVectors, int kRows>
void multiply_block(const Walk<A>& w, bool begins, Then then, bool has_totals, const A* panel, const Sums<A>& to) {
  const auto choose = [&]<bool kBegins>() {
    if (then == Then::piece) return multiply_block<A, kVectors, kRows, kBegins, Then::piece, false>(w, panel, to);
    if (then == Then::total) {
      if (has_totals) return multiply_block<A, kVectors, kRows, kBegins, Then::total, true>(w, panel, to);
      return multiply_block<A, kVectors, kRows, kBegins, Then::total, false>(w, panel, to);
    }
    if (has_totals) return multiply_block<A, kVectors, kRows, kBegins, Then::output, true>(w, panel, to);
    return multiply_block<A, kVectors, kRows, kBegins, Then::output, false>(w, panel, to);
  };
  if (begins) return choose.template operator()<true>();
  choose.template operator()<false>();
}

/// One block of rows times one packed panel (all of k); the results go to C where `to_output`, else to the totals.
template <class A>
void multiply_panel(const PackedCsr<A>& plan, int64_t bm, const A* panel, const Sums<A>& to, bool to_output) {
  const PanelShape& shape = plan.shape();
  const hn::ScalableTag<A> d;
  const int64_t vectors = shape.width / static_cast<int64_t>(hn::Lanes(d));
  for (int64_t bk = 0; bk < plan.blocks_k(); ++bk) {
    const PackedBlock& block = plan.block(bm, bk);
    const Walk<A> w{plan.rows() + block.group * shape.rows, plan.counts() + block.group, block.groups,
                    plan.offsets() + block.entry, plan.values() + block.entry};
    const int64_t k0 = bk * shape.block_k;
    const bool begins = k0 % kPiece == 0;
    const bool last = bk + 1 == plan.blocks_k();
    const bool ends = last || (k0 + shape.block_k) % kPiece == 0;
    const Then then = last && to_output ? Then::output : ends ? Then::total : Then::piece;
    const A* const rows = panel + bk * (shape.block_k + 1) * shape.width;
    switch (vectors) {
      case 4: multiply_block<A, 4, 2>(w, begins, then, k0 >= kPiece, rows, to); break;
      case 2: multiply_block<A, 2, 4>(w, begins, then, k0 >= kPiece, rows, to); break;
      default: multiply_block<A, 1, 8>(w, begins, then, k0 >= kPiece, rows, to); break;
    }
  }
}

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
