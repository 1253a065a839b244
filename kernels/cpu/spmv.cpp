// kernels/cpu/spmv.cpp — sparse times a vector, with TBB.
//
// The canonical order makes the sum of a piece serial, so rows run side by side to keep the multiplier busy. Without a
// plan there is nothing to vectorize: an entry is an index, a value and one element of x, and four rows are taken at a
// time. With one (spmv_plan.hpp) the rows are lanes. Compiled once for each instruction set in both cases, since only
// there std::fma is one instruction.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/spmv.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "device/parallel.hpp"
#include "kernels/contract/spmv.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/spmv_plan.hpp"
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

#if !HWY_ARCH_X86 || HWY_MAX_BYTES < 32  // no permutation of eight floats
/// The words of a step.
struct Words {
  const uint32_t* words;

  explicit Words(const uint32_t* from) : words(from) {}
};

/// The sums of a slab, a lane at a time.
struct Slab {
  float sums[kSlab] = {};
  float totals[kSlab] = {};

  template <int kWord>
  void step(const Words& step, const float* window, const float* values) {
    for (int64_t l = 0; l < kSlab; ++l) {
      const uint32_t place = step.words[kWord] >> (kSlabIndexBits * l) & (kSlab - 1);
      sums[l] = std::fma(values[l], window[place], sums[l]);
    }
  }
  void end_piece() {
    for (int64_t l = 0; l < kSlab; ++l) totals[l] = totals[l] + std::exchange(sums[l], 0.0F);
  }
  void write(float* to) const {
    for (int64_t l = 0; l < kSlab; ++l) to[l] = totals[l] + 0.0F;
  }
};
#else
using SlabTag = hn::CappedTag<float, kSlab>;
using WordTag = hn::RebindToUnsigned<SlabTag>;

/// The words of a step, in each half of a vector.
struct Words {
  hn::Vec<WordTag> words;
  hn::Vec<WordTag> shifts;

  // Not by default member initialisers: GCC compiles implicit constructors without the target's instructions.
  HWY_INLINE explicit Words(const uint32_t* from) : words(hn::LoadDup128(WordTag(), from)) {
    HWY_ALIGN static constexpr uint32_t kShifts[kSlab] = {0, 3, 6, 9, 12, 15, 18, 21};
    shifts = hn::Load(WordTag(), kShifts);
  }

  /// Where each lane of a slab finds its element in the window. The permutation looks at the lowest three bits alone,
  /// so the rest are left there; IndicesFromVec would refuse them in debug builds.
  template <int kWord>
  HWY_INLINE hn::Indices256<float> places() const {
    return {hn::Shr(hn::Broadcast<kWord>(words), shifts).raw};
  }
};

/// The sums of a slab, in one vector.
struct Slab {
  hn::Vec<SlabTag> sums;
  hn::Vec<SlabTag> totals;

  HWY_INLINE Slab() : sums(hn::Zero(SlabTag())), totals(hn::Zero(SlabTag())) {}

  template <int kWord>
  HWY_INLINE void step(const Words& step, const float* window, const float* values) {
    const SlabTag d;
    const auto x = hn::TableLookupLanes(hn::LoadU(d, window), step.places<kWord>());
    sums = fused_multiply_add(hn::LoadU(d, values), x, sums);
  }
  HWY_INLINE void end_piece() {
    totals = hn::Add(totals, sums);
    sums = hn::Zero(SlabTag());
  }
  HWY_INLINE void write(float* to) const {
    const SlabTag d;
    hn::StoreU(hn::Add(totals, hn::Zero(d)), d, to);
  }
};
#endif

/// Groups [begin, end) of a plan; x is finite, and kSlab - 1 zeros follow it.
void spmv_packed(const PackedSlabs& plan, const float* x, float* y, int64_t begin, int64_t end) {
  for (int64_t group = begin; group < end; ++group) {
    const uint32_t* words = plan.words(group);
    const float* values = plan.values(group);
    Slab a, b, c, e;
    for (int64_t piece = 0; piece < plan.pieces(); ++piece) {
      const float* at[kSlabs];
      std::fill_n(at, kSlabs, x + piece * kPiece);
      for (int32_t left = plan.counts(group)[piece]; left > 0; --left) {
        const Words step(words);
        a.step<0>(step, at[0] += words[0] >> kAdvanceShift, values);
        b.step<1>(step, at[1] += words[1] >> kAdvanceShift, values + kSlab);
        c.step<2>(step, at[2] += words[2] >> kAdvanceShift, values + 2 * kSlab);
        e.step<3>(step, at[3] += words[3] >> kAdvanceShift, values + 3 * kSlab);
        words += kSlabs;
        values += kGroup;
      }
      for (Slab* slab : {&a, &b, &c, &e}) slab->end_piece();
    }
    float sums[kGroup];
    a.write(sums);
    b.write(sums + kSlab);
    c.write(sums + 2 * kSlab);
    e.write(sums + 3 * kSlab);
    const int64_t* const rows = plan.rows(group);
    for (int64_t lane = 0; lane < kGroup; ++lane) {
      if (rows[lane] >= 0) y[rows[lane]] = sums[lane];
    }
  }
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
HWY_EXPORT(spmv_packed);

constexpr int64_t kEntriesOfTask = 1 << 15;

/// Copies x and zeros behind it. False where an element is not finite.
bool copy_finite(const float* x, int64_t n, float* out) {
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) {
    out[i] = x[i];
    finite &= std::abs(x[i]) <= std::numeric_limits<float>::max();
  }
  std::fill_n(out + n, kSlab - 1, 0.0F);
  return finite;
}

/// By the plan. False where x is not finite: a filled-in zero must not meet such an element.
bool multiply_packed(const PackedSlabs& plan, const float* x, int64_t cols, float* y, const Stream& stream) {
  Scratch<float> padded(cols + kSlab - 1, stream);
  if (!copy_finite(x, cols, padded.data())) return false;
  const auto run = HWY_DYNAMIC_DISPATCH(spmv_packed);
  const int64_t grain = kEntriesOfTask / (plan.steps() * kGroup / plan.groups() + 1) + 1;
  parallel_for(plan.groups(), grain, [&](int64_t begin, int64_t end) { run(plan, padded.data(), y, begin, end); });
  return true;
}

}  // namespace

void spmv_plan(const SpmvPlanArgs& args, const Stream&) { *args.plan = PackedSlabs::make(args.a); }

void spmv(const SpmvArgs& args, const Stream& stream) {
  const CsrView& a = args.a;
  dispatch_any_float("spmv", a.dtype, [&]<class T>() {
    using A = Compute<T>;
    const Widened<T> values(a.values, a.nnz, stream);
    const Widened<T> x(args.x, a.cols, stream);
    Narrowed<T> y(args.y, a.rows, stream);
    const VectorProduct<A> p{a, values.data(), x.data(), y.data()};
    if constexpr (sizeof(A) == 4) {
      const auto* const plan = static_cast<const PackedSlabs*>(args.plan);
      if (plan != nullptr && multiply_packed(*plan, x.data(), a.cols, y.data(), stream)) return y.finish();
    }
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
