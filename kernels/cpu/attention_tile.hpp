// kernels/cpu/attention_tile.hpp — the steps of attention on one strip of queries and one tile of keys.
//
// A strip is two vectors of queries side by side: every step of the softmax is then a step of whole vectors, no lane
// ever meets another, and the order of a query's sums does not depend on the vectors' width. Query, scores and result
// of a strip are kept with the queries innermost ("transposed"); keys and values are read as they are, an element at a
// time. Include after <hwy/foreach_target.h>. The include guard is Highway's per-target toggle.
#if defined(SPARSERT_KERNELS_CPU_ATTENTION_TILE_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARSERT_KERNELS_CPU_ATTENTION_TILE_HPP
#undef SPARSERT_KERNELS_CPU_ATTENTION_TILE_HPP
#else
#define SPARSERT_KERNELS_CPU_ATTENTION_TILE_HPP
#endif

#include <algorithm>
#include <type_traits>

#include "kernels/attention.hpp"
#include "kernels/cpu/exp.hpp"
#include "kernels/cpu/half.hpp"
#include "kernels/cpu/panels.hpp"
#include "kernels/cpu/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

constexpr int64_t kStripVectors = 2;

template <class A>
using Lane = hn::ScalableTag<A>;
template <class A>
using LaneVector = hn::Vec<Lane<A>>;

template <class A>
constexpr int64_t lanes_of() {
  return static_cast<int64_t>(hn::MaxLanes(Lane<A>()));
}
/// Queries of a strip; a divisor of 64.
template <class A>
constexpr int64_t strip_width() {
  return kStripVectors * lanes_of<A>();
}

// ---- Products. out[r] (+)= sum over p of a(r, p) · x[p], each out[r] and x[p] two vectors, p ascending.

/// What a product starts from and ends with.
enum class Into { replace, add_piece, go_on };

/// a(r, p) = a[r · row_step + p · step].
template <class A>
struct Factors {
  const A* a;
  int64_t row_step;
  int64_t step;
};

/// `rescale`, two vectors, is multiplied to what `go_on` starts from; null for 1.
template <int kRows, Into kInto, bool kUnitStep, class A>
HWY_INLINE void product_rows(Factors<A> f, const A* HWY_RESTRICT x, int64_t x_stride, int64_t count,
                             A* HWY_RESTRICT out, int64_t out_stride, const A* HWY_RESTRICT rescale) {
  const Lane<A> d;
  using V = LaneVector<A>;
  constexpr int64_t kLanes = lanes_of<A>();
  V sums[kRows][kStripVectors];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kStripVectors; ++v) {
      sums[r][v] = kInto == Into::go_on ? hn::LoadU(d, out + r * out_stride + v * kLanes) : hn::Zero(d);
    }
  }
  if (kInto == Into::go_on && rescale != nullptr) {
    const V by[kStripVectors] = {hn::LoadU(d, rescale), hn::LoadU(d, rescale + kLanes)};
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kStripVectors; ++v) sums[r][v] = hn::Mul(by[v], sums[r][v]);
    }
  }
  const A* HWY_RESTRICT a = f.a;
  const int64_t step = kUnitStep ? 1 : f.step;
  for (int64_t p = 0; p < count; ++p) {
    const V x0 = hn::LoadU(d, x);
    const V x1 = hn::LoadU(d, x + kLanes);
    x += x_stride;
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const V factor = hn::Set(d, kUnitStep ? a[r * f.row_step] : a[r]);
      sums[r][0] = fused_multiply_add(factor, x0, sums[r][0]);
      sums[r][1] = fused_multiply_add(factor, x1, sums[r][1]);
    }
    a += step;
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kStripVectors; ++v) {
      A* const to = out + r * out_stride + v * kLanes;
      hn::StoreU(kInto == Into::add_piece ? hn::Add(hn::LoadU(d, to), sums[r][v]) : sums[r][v], d, to);
    }
  }
}

// Rows at a time: with two vectors each, their sums fill the registers that the operands leave.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kProductRows = 12;
#else
constexpr int kProductRows = 6;
#endif

/// The product for any number of rows. Either step or row_step is 1: kUnitStep says that step is.
template <Into kInto, bool kUnitStep, class A>
HWY_NOINLINE void product(Factors<A> f, int64_t rows, const A* x, int64_t x_stride, int64_t count, A* out,
                          int64_t out_stride, const A* rescale = nullptr) {
  const auto go = [&]<int kRows>() {
    product_rows<kRows, kInto, kUnitStep>(f, x, x_stride, count, out, out_stride, rescale);
    f.a += kRows * (kUnitStep ? f.row_step : 1);
    out += kRows * out_stride;
    rows -= kRows;
  };
  while (rows >= kProductRows) go.template operator()<kProductRows>();
  if constexpr (kProductRows > 6) {
    if (rows >= 6) go.template operator()<6>();
  }
  switch (rows) {
    case 5: return go.template operator()<5>();
    case 4: return go.template operator()<4>();
    case 3: return go.template operator()<3>();
    case 2: return go.template operator()<2>();
    case 1: return go.template operator()<1>();
    default: return;
  }
}

// ---- Which queries of a strip see a key.

/// Bit q of `word`, as a mask of lane q.
template <class A>
HWY_INLINE hn::Mask<Lane<A>> lane_mask(uint64_t word) {
  const hn::RebindToUnsigned<Lane<A>> bits;
  const auto bit = hn::Shl(hn::Set(bits, 1), hn::Iota(bits, 0));
  using Word = hn::TFromD<decltype(bits)>;
  return hn::RebindMask(Lane<A>(), hn::TestBit(hn::Set(bits, static_cast<Word>(word)), bit));
}

/// What a strip sees of a tile.
struct Seen {
  const int64_t* words;  // of the tile; null: all of it
  int64_t first_query;   // of the strip, in the tile
  int64_t begin;         // keys [begin, end) hold everything that is seen
  int64_t end;

  /// The strip's queries that see key j, from bit 0 on.
  uint64_t of(int64_t j) const { return static_cast<uint64_t>(words[j]) >> first_query; }
};

/// `queries` of the strip are there, `keys` of the tile.
template <class A>
HWY_INLINE Seen seen_of(const MaskView& mask, int64_t place, int64_t first_query, int64_t queries, int64_t keys) {
  Seen seen{nullptr, first_query, 0, keys};
  if (place < 0) return seen;
  seen.words = mask.bits + place * kAttentionTile;
  const uint64_t all = queries >= 64 ? ~uint64_t{0} : (uint64_t{1} << queries) - 1;
  while (seen.begin < seen.end && (seen.of(seen.begin) & all) == 0) ++seen.begin;
  while (seen.end > seen.begin && (seen.of(seen.end - 1) & all) == 0) --seen.end;
  uint64_t every = all;
  for (int64_t j = seen.begin; j < seen.end; ++j) every &= seen.of(j);
  if (every == all) seen.words = nullptr;
  return seen;
}

/// product() of a strip for which what a query does not see is selected away: for operands that are not finite.
template <Into kInto, class A>
HWY_NOINLINE void product_of_seen(const Seen& seen, Factors<A> f, int64_t rows, const A* x, int64_t x_stride, A* out,
                                  int64_t out_stride, const A* rescale = nullptr) {
  const Lane<A> d;
  constexpr int64_t kLanes = lanes_of<A>();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t v = 0; v < kStripVectors; ++v) {
      A* const to = out + r * out_stride + v * kLanes;
      auto sum = kInto == Into::go_on ? hn::LoadU(d, to) : hn::Zero(d);
      if (kInto == Into::go_on && rescale != nullptr) sum = hn::Mul(hn::LoadU(d, rescale + v * kLanes), sum);
      for (int64_t j = seen.begin; j < seen.end; ++j) {
        const auto factor = hn::Set(d, f.a[r * f.row_step + j * f.step]);
        const auto next = fused_multiply_add(factor, hn::LoadU(d, x + j * x_stride + v * kLanes), sum);
        sum = hn::IfThenElse(lane_mask<A>(seen.of(j) >> (v * kLanes)), next, sum);
      }
      hn::StoreU(kInto == Into::add_piece ? hn::Add(hn::LoadU(d, to), sum) : sum, d, to);
    }
  }
}

template <class A>
HWY_INLINE bool all_finite(const A* x, int64_t n) {
  const Lane<A> d;
  constexpr int64_t kLanes = lanes_of<A>();
  const auto zero = hn::Zero(d);
  auto sum = zero;  // x · 0 is 0 for what is finite, else NaN
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum = fused_multiply_add(hn::LoadU(d, x + i), zero, sum);
  bool finite = hn::AllTrue(d, hn::Eq(sum, zero));
  for (; i < n; ++i) finite &= x[i] * A{0} == A{0};
  return finite;
}

// ---- The softmax of a strip.

template <class A>
struct alignas(64) StripState {
  A largest[strip_width<A>()];
  A sum[strip_width<A>()];
  A rescale[strip_width<A>()];       // of what was accumulated before the last tile
  A next_largest[strip_width<A>()];  // the largest score, those of a tile that is being taken in included
  bool is_rescaled;                  // whether any of `rescale` is not 1
  bool is_plain;                     // whether every exponential of the tile being taken in is a normal number
};

template <class A>
HWY_INLINE void begin_strip(StripState<A>& state) {
  std::fill_n(state.largest, strip_width<A>(), -kInfinity<A>);
  std::fill_n(state.sum, strip_width<A>(), A{0});
}

/// x > y ? x : y.
template <class V>
HWY_INLINE V larger_of(V x, V y) {
#if HWY_ARCH_X86
  return hn::Max(x, y);  // the instruction is that comparison, NaN included
#else
  return hn::IfThenElse(hn::Gt(x, y), x, y);
#endif
}

/// exponent_origin() of every lane.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V origin_of(D d, V largest) {
  return hn::IfThenElse(hn::Eq(largest, hn::Set(d, -kInfinity<hn::TFromD<D>>)), hn::Zero(d), largest);
}

/// The least x for which exp_of_plain() is exp.
template <class A>
constexpr A kLeastPlain = sizeof(A) == 4 ? A{-87} : A{-708};

/// exp_vector() for lanes within [kLeastPlain, 0], whose results are normal: 2^n is then a change of the exponent.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_of_plain(D d, V x) {
  using C = ExpConstants<hn::TFromD<D>>;
  const hn::RebindToUnsigned<D> bits;
  const auto round = hn::Set(d, C::kRound);
  const auto shifted = fused_multiply_add(x, hn::Set(d, C::kLog2e), round);
  const auto minus_n = hn::Sub(round, shifted);
  auto r = fused_multiply_add(minus_n, hn::Set(d, C::kLn2), x);
  r = fused_multiply_add(minus_n, hn::Set(d, C::kLn2Rest), r);
  auto sum = hn::Set(d, C::kTerms[C::kCount - 1]);
#pragma GCC unroll 16
  for (int i = C::kCount - 2; i >= 0; --i) sum = fused_multiply_add(sum, r, hn::Set(d, C::kTerms[i]));
  const auto value = hn::Add(fused_multiply_add(sum, hn::Mul(r, r), r), hn::Set(d, hn::TFromD<D>{1}));
  const auto n = hn::ShiftLeft<C::kMantissa>(hn::BitCast(bits, shifted));  // what kRound adds is shifted out
  return hn::BitCast(d, hn::Add(hn::BitCast(bits, value), n));
}

/// exp_vector(), the shorter way where every lane is within [kLeastPlain, 0] or -Inf.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_of_mostly_plain(D d, V x) {
  using A = hn::TFromD<D>;
  const auto least = hn::Set(d, kLeastPlain<A>);
  const auto is_plain = hn::And(hn::Ge(x, least), hn::Le(x, hn::Zero(d)));
  if (HWY_LIKELY(hn::AllTrue(d, hn::Or(is_plain, hn::Eq(x, hn::Set(d, -kInfinity<A>)))))) {
    return hn::IfThenElseZero(is_plain, exp_of_plain(d, hn::Max(x, least)));
  }
  return exp_vector(d, x);
}

/// Lane sums of both vectors in `lanes`, by the tree.
template <class A>
HWY_INLINE void add_lanes(A* lanes) {
  const Lane<A> d;
  constexpr int64_t kWidth = strip_width<A>();
  for (int64_t half = kAttentionLanes / 2; half > 0; half /= 2) {
    for (int64_t e = 0; e < half * kWidth; e += lanes_of<A>()) {
      hn::Store(hn::Add(hn::Load(d, lanes + e), hn::Load(d, lanes + half * kWidth + e)), d, lanes + e);
    }
  }
}

/// scores[j] = scale · scores[j] for the keys in sight, -Inf where a query does not see one; with what the softmax
/// wants to know of them.
template <bool kSelect, class A>
HWY_INLINE void scale_scores(const Seen& seen, A scale, A* scores, int64_t stride, StripState<A>& state) {
  const Lane<A> d;
  using V = LaneVector<A>;
  constexpr int64_t kLanes = lanes_of<A>();
  const V by = hn::Set(d, scale);
  const V zero = hn::Zero(d);
  const V nothing = hn::Set(d, -kInfinity<A>);
  V most[kStripVectors] = {hn::Load(d, state.largest), hn::Load(d, state.largest + kLanes)};
  V least[kStripVectors] = {hn::Set(d, kInfinity<A>), hn::Set(d, kInfinity<A>)};
  V finite[kStripVectors] = {zero, zero};  // x · 0 is 0 for what is finite, else NaN
  for (int64_t j = seen.begin; j < seen.end; ++j) {
    for (int64_t v = 0; v < kStripVectors; ++v) {
      A* const at = scores + j * stride + v * kLanes;
      V s = hn::Mul(by, hn::LoadU(d, at));
      if constexpr (kSelect) s = hn::IfThenElse(lane_mask<A>(seen.of(j) >> (v * kLanes)), s, nothing);
      hn::StoreU(s, d, at);
      most[v] = larger_of(s, most[v]);
      if constexpr (!kSelect) {
        least[v] = hn::Min(s, least[v]);
        finite[v] = fused_multiply_add(s, zero, finite[v]);
      }
    }
  }
  auto is_plain = hn::Eq(zero, zero);
  for (int64_t v = 0; v < kStripVectors; ++v) {
    hn::Store(most[v], d, state.next_largest + v * kLanes);
    const V lowest = hn::Sub(least[v], origin_of(d, most[v]));
    is_plain = hn::And(is_plain, hn::And(hn::Ge(lowest, hn::Set(d, kLeastPlain<A>)), hn::Eq(finite[v], zero)));
  }
  state.is_plain = !kSelect && hn::AllTrue(d, is_plain);
}

/// Makes dot products scores, bias included. `bias` has a row of `bias_stride` for each query of the strip; null: none.
template <class T, class A = Compute<T>>
HWY_NOINLINE void finish_scores(const Seen& seen, int64_t queries, A scale, const T* bias, int64_t bias_stride,
                                A* scores, int64_t stride, StripState<A>& state) {
  if (bias != nullptr) {
    for (int64_t j = seen.begin; j < seen.end; ++j) {
      A* const s = scores + j * stride;
      for (int64_t q = 0; q < queries; ++q) s[q] = scale * s[q] + widen(bias[q * bias_stride + j]);
    }
    scale = 1;
  }
  if (seen.words == nullptr) scale_scores<false>(seen, scale, scores, stride, state);
  else scale_scores<true>(seen, scale, scores, stride, state);
}

/// weights[j] = exp(score - origin) for the keys in sight, and their sums by lane.
template <bool kPlain, class A>
HWY_INLINE void exponentiate(const Seen& seen, const A* scores, int64_t stride, A* weights, int64_t weight_stride,
                             const A* origins, A* lanes) {
  const Lane<A> d;
  using V = LaneVector<A>;
  constexpr int64_t kLanes = lanes_of<A>();
  const V origin[kStripVectors] = {hn::Load(d, origins), hn::Load(d, origins + kLanes)};
  for (int64_t l = 0; l < kAttentionLanes; ++l) {
    V sums[kStripVectors] = {hn::Zero(d), hn::Zero(d)};
    int64_t j = l;
    while (j < seen.begin) j += kAttentionLanes;
    for (; j < seen.end; j += kAttentionLanes) {
      for (int64_t v = 0; v < kStripVectors; ++v) {
        const V x = hn::Sub(hn::LoadU(d, scores + j * stride + v * kLanes), origin[v]);
        V w;
        if constexpr (kPlain) w = exp_of_plain(d, x);
        else w = exp_of_mostly_plain(d, x);
        hn::StoreU(w, d, weights + j * weight_stride + v * kLanes);
        sums[v] = hn::Add(sums[v], w);
      }
    }
    for (int64_t v = 0; v < kStripVectors; ++v) hn::Store(sums[v], d, lanes + (l * kStripVectors + v) * kLanes);
  }
}

/// Takes a tile's finished scores into the running softmax; `weights` gets exp(score - largest), and may be `scores`.
template <class A>
HWY_NOINLINE void add_to_softmax(const Seen& seen, const A* scores, int64_t stride, A* weights, int64_t weight_stride,
                                 StripState<A>& state) {
  const Lane<A> d;
  using V = LaneVector<A>;
  constexpr int64_t kLanes = lanes_of<A>();
  constexpr int64_t kWidth = strip_width<A>();
  HWY_ALIGN A origins[kWidth];
  auto is_same = hn::Eq(hn::Zero(d), hn::Zero(d));
  for (int64_t v = 0; v < kStripVectors; ++v) {
    const V largest = hn::Load(d, state.next_largest + v * kLanes);
    const V origin = origin_of(d, largest);
    const V rescale = exp_vector(d, hn::Sub(hn::Load(d, state.largest + v * kLanes), origin));
    is_same = hn::And(is_same, hn::Eq(rescale, hn::Set(d, A{1})));
    hn::Store(origin, d, origins + v * kLanes);
    hn::Store(largest, d, state.largest + v * kLanes);
    hn::Store(rescale, d, state.rescale + v * kLanes);
  }
  state.is_rescaled = !hn::AllTrue(d, is_same);
  HWY_ALIGN A lanes[kAttentionLanes * kWidth];
  if (state.is_plain) exponentiate<true>(seen, scores, stride, weights, weight_stride, origins, lanes);
  else exponentiate<false>(seen, scores, stride, weights, weight_stride, origins, lanes);
  add_lanes(lanes);
  for (int64_t v = 0; v < kStripVectors; ++v) {
    A* const sum = state.sum + v * kLanes;
    const V by = hn::Load(d, state.rescale + v * kLanes);
    hn::Store(fused_multiply_add(hn::Load(d, sum), by, hn::Load(d, lanes + v * kLanes)), d, sum);
  }
}

// ---- Strips in and out.

/// out[c][q] = x[q][c] for the strip's queries, 0 for those that are not there. Rows of out are `stride` apart.
template <class T, class A = Compute<T>>
HWY_NOINLINE void load_strip(const T* x, int64_t queries, int64_t depth, A* out, int64_t stride) {
  constexpr int64_t kWidth = strip_width<A>();
  if constexpr (std::is_same_v<T, A> && kWidth % 4 == 0) {
    if (queries == kWidth) return transpose_rows<kWidth>(x, depth, depth, out, stride);
  }
  for (int64_t c = 0; c < depth; ++c) {
    for (int64_t q = 0; q < kWidth; ++q) out[c * stride + q] = q < queries ? widen(x[q * depth + c]) : A{0};
  }
}

/// `rows` rows of `depth` as the accumulator's type: where they lie, or copied to `copy`.
template <class T, class A = Compute<T>>
HWY_INLINE const A* widened_rows(const T* x, int64_t rows, int64_t depth, A* copy) {
  if constexpr (std::is_same_v<T, A>) {
    return x;
  } else {
    widen_all(x, copy, rows * depth);
    return copy;
  }
}

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
