// kernels/cpu/spmv.cpp — sparse times a vector, with TBB.
//
// The canonical order makes the sum of a piece serial, so several rows run side by side to keep the multiplier busy.
// There is nothing to vectorize without a plan: an entry is an index, a value and one element of x. Compiled once for
// each instruction set all the same, since only there std::fma is one instruction.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/spmv.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>

#include "device/parallel.hpp"
#include "kernels/contract/spmv.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/widened.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/numerics.hpp"

#ifndef SPARSERT_KERNELS_CPU_SPMV_CPP
#define SPARSERT_KERNELS_CPU_SPMV_CPP
namespace sparsert::backend::cpu {

template <class A>
struct VectorProduct {
  CsrView a;
  const A* values;
  const A* x;
  A* y;
};

}  // namespace sparsert::backend::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

/// kRows rows from i on. A step takes from each row what is left of the piece it is in.
template <int kRows, class A, class I>
HWY_INLINE void sum_rows(const VectorProduct<A>& p, int64_t i) {
  const auto* offsets = static_cast<const I*>(p.a.row_offsets);
  const auto* columns = static_cast<const I*>(p.a.columns);
  A totals[kRows];
  int64_t at[kRows];
  for (int r = 0; r < kRows; ++r) totals[r] = 0;
  for (int r = 0; r < kRows; ++r) at[r] = offsets[i + r];
  for (bool more = true; more;) {
    int64_t count[kRows];
    int64_t least = INT64_MAX;
    more = false;
    for (int r = 0; r < kRows; ++r) {
      const int64_t last = offsets[i + r + 1];
      count[r] = last - at[r];
      if (count[r] > 0) {
        const int64_t end = (static_cast<int64_t>(columns[at[r]]) / kPiece + 1) * kPiece;
        if (columns[last - 1] >= end) {
          count[r] = std::lower_bound(columns + at[r], columns + last, static_cast<I>(end)) - (columns + at[r]);
          more = true;
        }
      }
      least = std::min(least, count[r]);
    }
    A piece[kRows];
    const A* values[kRows];
    const I* column[kRows];
    for (int r = 0; r < kRows; ++r) {
      piece[r] = 0;
      values[r] = p.values + at[r];
      column[r] = columns + at[r];
    }
    for (int64_t s = 0; s < least; ++s) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) piece[r] = std::fma(values[r][s], p.x[column[r][s]], piece[r]);
    }
    for (int r = 0; r < kRows; ++r) {
      for (int64_t s = least; s < count[r]; ++s) piece[r] = std::fma(values[r][s], p.x[column[r][s]], piece[r]);
      totals[r] = totals[r] + piece[r];
      at[r] += count[r];
    }
  }
  for (int r = 0; r < kRows; ++r) p.y[i + r] = totals[r] + A{0};
}

template <class A, class I>
void rows_of(const VectorProduct<A>& p, int64_t begin, int64_t end) {
  int64_t i = begin;
  for (; i + 8 <= end; i += 8) sum_rows<8, A, I>(p, i);
  for (; i < end; ++i) sum_rows<1, A, I>(p, i);
}

template <class A>
void spmv_rows(const VectorProduct<A>& p, int64_t begin, int64_t end) {
  if (p.a.index == DType::int32) rows_of<A, std::int32_t>(p, begin, end);
  else rows_of<A, std::int64_t>(p, begin, end);
}
void spmv_f32(const VectorProduct<float>& p, int64_t begin, int64_t end) { spmv_rows(p, begin, end); }
void spmv_f64(const VectorProduct<double>& p, int64_t begin, int64_t end) { spmv_rows(p, begin, end); }

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
namespace {

HWY_EXPORT(spmv_f32);
HWY_EXPORT(spmv_f64);

constexpr int64_t kEntriesOfTask = 1 << 15;

}  // namespace

void spmv_plan(const SpmvPlanArgs& args, const Stream&) { args.plan->reset(); }

void spmv(const SpmvArgs& args, const Stream& stream) {
  const CsrView& a = args.a;
  dispatch_any_float("spmv", a.dtype, [&]<class T>() {
    using A = Compute<T>;
    const Widened<T> values(a.values, a.nnz, stream);
    const Widened<T> x(args.x, a.cols, stream);
    Narrowed<T> y(args.y, a.rows, stream);
    const VectorProduct<A> p{a, values.data(), x.data(), y.data()};
    const auto run = [] {
      if constexpr (sizeof(A) == 4) return HWY_DYNAMIC_DISPATCH(spmv_f32);
      else return HWY_DYNAMIC_DISPATCH(spmv_f64);
    }();
    const int64_t grain = kEntriesOfTask / (a.nnz / std::max<int64_t>(1, a.rows) + 1);
    parallel_for(a.rows, std::max<int64_t>(8, grain / 8 * 8), [&](int64_t begin, int64_t end) { run(p, begin, end); });
    y.finish();
  });
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
