// kernels/cpu/spmv.cpp — sparse times a vector, with TBB.
//
// The canonical order makes the sum of a piece serial, so four rows run side by side to keep the multiplier busy.
// There is nothing to vectorize without a plan: an entry is an index, a value and one element of x. Compiled once for
// each instruction set all the same, since only there std::fma is one instruction.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/spmv.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>
#include <utility>

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

/// A row under way: where it is, where its piece and where the row itself ends.
template <class A>
struct Lane {
  int64_t at;
  int64_t piece_end;
  int64_t last;
  int64_t row;
  A piece;
  A total;
};

/// Rows [begin, end), kLanes of them side by side: a lane whose row has ended takes the next one, so that there are
/// always as many independent sums under way.
template <class A, class I>
void rows_of(const VectorProduct<A>& p, int64_t begin, int64_t end) {
  constexpr int kLanes = 4;
  const auto* const offsets = static_cast<const I*>(p.a.row_offsets);
  const auto* const columns = static_cast<const I*>(p.a.columns);
  const bool one_piece = p.a.cols <= kPiece;
  Lane<A> lanes[kLanes];
  int64_t next = begin;
  const auto end_of_piece = [&](int64_t at, int64_t last) -> int64_t {
    if (one_piece) return last;
    const int64_t stop = (static_cast<int64_t>(columns[at]) / kPiece + 1) * kPiece;
    if (columns[last - 1] < stop) return last;
    return std::lower_bound(columns + at, columns + std::min(last, at + kPiece), static_cast<I>(stop)) - columns;
  };
  // The next row with entries; the others are done at once.
  const auto start = [&](Lane<A>& lane) {
    for (; next < end && offsets[next] == offsets[next + 1]; ++next) p.y[next] = A{0};
    if (next == end) return false;
    lane = {offsets[next], 0, offsets[next + 1], next, A{0}, A{0}};
    lane.piece_end = end_of_piece(lane.at, lane.last);
    ++next;
    return true;
  };
  // A piece has ended: on to the next one, or to another row; false where there is none.
  const auto advance = [&](Lane<A>& lane) {
    lane.total = lane.total + lane.piece;
    lane.piece = 0;
    if (lane.at < lane.last) {
      lane.piece_end = end_of_piece(lane.at, lane.last);
      return true;
    }
    p.y[lane.row] = lane.total + A{0};
    return start(lane);
  };
  int active = 0;
  while (active < kLanes && start(lanes[active])) ++active;
  while (active == kLanes) {
    int64_t count = lanes[0].piece_end - lanes[0].at;
    for (int l = 1; l < kLanes; ++l) count = std::min(count, lanes[l].piece_end - lanes[l].at);
    const A* const v0 = p.values + lanes[0].at;
    const A* const v1 = p.values + lanes[1].at;
    const A* const v2 = p.values + lanes[2].at;
    const A* const v3 = p.values + lanes[3].at;
    const I* const c0 = columns + lanes[0].at;
    const I* const c1 = columns + lanes[1].at;
    const I* const c2 = columns + lanes[2].at;
    const I* const c3 = columns + lanes[3].at;
    A s0 = lanes[0].piece;
    A s1 = lanes[1].piece;
    A s2 = lanes[2].piece;
    A s3 = lanes[3].piece;
    for (int64_t s = 0; s < count; ++s) {
      s0 = std::fma(v0[s], p.x[c0[s]], s0);
      s1 = std::fma(v1[s], p.x[c1[s]], s1);
      s2 = std::fma(v2[s], p.x[c2[s]], s2);
      s3 = std::fma(v3[s], p.x[c3[s]], s3);
    }
    lanes[0].piece = s0;
    lanes[1].piece = s1;
    lanes[2].piece = s2;
    lanes[3].piece = s3;
    for (Lane<A>& lane : lanes) lane.at += count;
    for (int l = 0; l < active;) {
      if (lanes[l].at < lanes[l].piece_end || advance(lanes[l])) ++l;
      else std::swap(lanes[l], lanes[--active]);
    }
  }
  for (int l = 0; l < active; ++l) {
    Lane<A>& lane = lanes[l];
    for (bool more = true; more;) {
      for (; lane.at < lane.piece_end; ++lane.at) {
        lane.piece = std::fma(p.values[lane.at], p.x[columns[lane.at]], lane.piece);
      }
      more = advance(lane);
    }
  }
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
    parallel_for(a.rows, std::max<int64_t>(16, grain), [&](int64_t begin, int64_t end) { run(p, begin, end); });
    y.finish();
  });
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
