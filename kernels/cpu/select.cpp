// kernels/cpu/select.cpp — finding entries by magnitude, with Highway.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/select.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/select.hpp"
#include "kernels/cpu/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

/// The bits of a vector of floats, as signed lanes: keys have the top bit clear, so that signed comparisons order them.
template <class K>
struct Bits {
  using S = std::make_signed_t<K>;
  using D = hn::ScalableTag<S>;
  using V = hn::Vec<D>;
  using M = hn::Mask<D>;

  D d;
  V magnitude;

  // Not by a default member initialiser: GCC compiles implicit constructors without the target's instructions.
  Bits() : magnitude(hn::Set(d, std::numeric_limits<S>::max())) {}

  static HWY_INLINE int64_t lanes() { return static_cast<int64_t>(hn::Lanes(D())); }

  V load(const K* p) const { return hn::LoadU(d, reinterpret_cast<const S*>(p)); }
  V key(V bits) const { return hn::And(bits, magnitude); }
};

template <class K>
constexpr K kMagnitude = static_cast<K>(std::numeric_limits<std::make_signed_t<K>>::max());

constexpr int64_t kWordBits = 64;
[[maybe_unused]] constexpr int64_t kPrefetch =
    2048;  // bytes ahead: further than the hardware looks, over the page's end too
constexpr int64_t kWords = kBlock / kWordBits;

/// Calls vector(v, i) for each whole vector, whose mask goes to bit i and on of `words`, and scalar(i) for the rest.
/// Returns how many bits are set.
template <class K, class Vector, class Scalar>
HWY_INLINE int64_t mark(const Bits<K>& b, const K* x, int64_t n, uint64_t* words, const Vector& vector,
                        const Scalar& scalar) {
  auto* const bytes = reinterpret_cast<uint8_t*>(words);
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  for (; i + kWordBits <= n; i += kWordBits) {
    for (int64_t j = 0; j < kWordBits / 16; ++j) hwy::Prefetch(x + i + kPrefetch / sizeof(K) + 16 * j);
    if constexpr (hn::MaxLanes(typename Bits<K>::D()) >= 8) {
      for (int64_t v = 0; v < kWordBits / b.lanes(); ++v) {
        const int64_t j = i + v * b.lanes();
        hn::StoreMaskBits(b.d, vector(b.load(x + j), j), bytes + j / 8);
      }
    } else {
      for (int64_t part = 0; part < 8; ++part) {
        uint8_t byte = 0;
        for (int64_t l = 0; l < 8; l += b.lanes()) {
          uint8_t bits[8];
          const int64_t j = i + part * 8 + l;
          hn::StoreMaskBits(b.d, vector(b.load(x + j), j), bits);
          byte = static_cast<uint8_t>(byte | bits[0] << l);
        }
        bytes[i / 8 + part] = byte;
      }
    }
  }
#else
  (void)b;  // one lane at a time is what scalar() does
  (void)x;
  (void)vector;
  (void)bytes;
#endif
  const int64_t whole = i / kWordBits;
  for (int64_t w = whole; w < (n + kWordBits - 1) / kWordBits; ++w) words[w] = 0;
  for (; i < n; ++i) words[i / kWordBits] |= uint64_t{scalar(i)} << (i % kWordBits);
  int64_t count = 0;
  for (int64_t w = 0; w < (n + kWordBits - 1) / kWordBits; ++w) count += static_cast<int64_t>(hwy::PopCount(words[w]));
  return count;
}

/// Calls emit(count, i) for each set bit i, in order, and for a few more than there are: two a word are taken without
/// asking, since a branch that sees one or two hits in 64 is mispredicted more often than not.
template <class Emit>
HWY_INLINE void for_each_bit(const uint64_t* words, int64_t n, const Emit& emit) {
  int64_t count = 0;
  for (int64_t w = 0; w < (n + kWordBits - 1) / kWordBits; ++w) {
    uint64_t word = words[w];
    if (word == 0) continue;
    const auto set = static_cast<int64_t>(hwy::PopCount(word));
    const int64_t base = w * kWordBits;
    for (int64_t taken = 0; taken < set; taken += 2) {
      emit(count + taken, base + static_cast<int64_t>(hwy::Num0BitsBelowLS1Bit_Nonzero64(word)));
      const uint64_t rest = word & (word - 1);
      const uint64_t next = rest == 0 ? word : rest;
      emit(count + taken + 1, base + static_cast<int64_t>(hwy::Num0BitsBelowLS1Bit_Nonzero64(next)));
      word = next & (next - 1);
    }
    count += set;
  }
}

/// The masks of 64 entries from x on: bit i says whether entry i's key is above `limit`.
template <class K>
HWY_INLINE uint64_t word_above(const Bits<K>& b, const K* x, typename Bits<K>::V limit) {
  uint64_t word = 0;
#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  for (int64_t j = 0; j < kWordBits / 16; ++j) hwy::Prefetch(x + kPrefetch / sizeof(K) + 16 * j);
#endif
  for (int64_t l = 0; l < kWordBits; l += b.lanes()) {
    uint8_t bits[8] = {};
    hn::StoreMaskBits(b.d, hn::Gt(b.key(b.load(x + l)), limit), bits);
    uint64_t part;
    std::memcpy(&part, bits, sizeof part);
    word |= part << l;
  }
  return word;
}

template <class K>
int64_t collect_block(const K* x, int64_t n, K lo, K nan, K* bits, uint16_t* positions) {
  constexpr int64_t kStretch = 16;  // words for which one guess holds
  constexpr int64_t kOften = 4;     // words a hit, from where on a branch on each word is mispredicted too often
  constexpr uint64_t kLast = uint64_t{1} << (kWordBits - 1);
  const Bits<K> b;
  using S = typename Bits<K>::S;
  const typename Bits<K>::V limit = hn::Set(b.d, static_cast<S>(static_cast<S>(lo) - 1));
  const int64_t words = n / kWordBits;
  int64_t count = 0;
  const auto emit = [&](int64_t at, int64_t i) {
    const K sign = static_cast<K>(x[i] & ~kMagnitude<K>);
    bits[at] = static_cast<K>(sign | std::min<K>(x[i] & kMagnitude<K>, nan));
    positions[at] = static_cast<uint16_t>(i);
  };
  int64_t found = 0;  // in the stretch before
  for (int64_t first = 0; first < words; first += kStretch) {
    const int64_t last = std::min(words, first + kStretch);
    const int64_t before = count;
    const bool often = found * kOften > kStretch;
    for (int64_t w = first; w < last; ++w) {
      uint64_t word = word_above(b, x + w * kWordBits, limit);
      const auto set = static_cast<int64_t>(hwy::PopCount(word));
      if (often) {
        // The first two are emitted, hits or not: what is not is written over by the next.
        const uint64_t second = word & (word - 1);
        emit(count, w * kWordBits + static_cast<int64_t>(hwy::Num0BitsBelowLS1Bit_Nonzero64(word | kLast)));
        emit(count + 1, w * kWordBits + static_cast<int64_t>(hwy::Num0BitsBelowLS1Bit_Nonzero64(second | kLast)));
        word = second & (second - 1);
      }
      for (int64_t at = count + set - static_cast<int64_t>(hwy::PopCount(word)); word != 0; word &= word - 1) {
        emit(at++, w * kWordBits + static_cast<int64_t>(hwy::Num0BitsBelowLS1Bit_Nonzero64(word)));
      }
      count += set;
    }
    found = count - before;
  }
  for (int64_t i = words * kWordBits; i < n; ++i) {
    emit(count, i);
    count += (x[i] & kMagnitude<K>) >= lo ? 1 : 0;
  }
  return count;
}

template <class K, bool kWrite, bool kPastCache>
void split_block(Split<K>& s) {
  const Bits<K> b;
  using V = typename Bits<K>::V;
  using M = typename Bits<K>::M;
  using S = typename Bits<K>::S;
  const K top = s.hi >= s.nan ? kMagnitude<K> : s.hi;  // raw bits of a NaN are above its canonical key
  const V lo = hn::Set(b.d, static_cast<S>(s.lo));
  const V hi = hn::Set(b.d, static_cast<S>(top));
  K* const out = s.out;
  V below = hn::Zero(b.d);
  s.below = 0;
  uint64_t words[kWords];
  s.inside = mark(
      b, s.x, s.n, words,
      [&](V v, int64_t i) {
        const V key = b.key(v);
        const M is_below = hn::Gt(lo, key);
        below = hn::Sub(below, hn::VecFromMask(b.d, is_below));  // a true lane is -1
        if constexpr (kWrite) {
          auto* const to = reinterpret_cast<S*>(out + i);
          const V kept = hn::IfThenZeroElse(is_below, v);
          if constexpr (kPastCache) hn::Stream(kept, b.d, to);
          else hn::StoreU(kept, b.d, to);
        }
        return hn::Not(hn::Or(is_below, hn::Gt(key, hi)));
      },
      [&](int64_t i) {
        const K key = static_cast<K>(s.x[i] & kMagnitude<K>);
        const bool is_below = key < s.lo;
        s.below += is_below ? 1 : 0;
        if constexpr (kWrite) out[i] = is_below ? K{0} : s.x[i];
        return !is_below && key <= top;
      });
  if (kPastCache) hwy::FlushStream();
  S lanes[hn::MaxLanes(b.d)];
  hn::StoreU(below, b.d, lanes);
  for (int64_t l = 0; l < b.lanes(); ++l) s.below += lanes[l];
  if (s.keys == nullptr) return;
  for_each_bit(words, s.n, [&](int64_t at, int64_t i) {
    s.keys[at] = std::min<K>(s.x[i] & kMagnitude<K>, s.nan);
    if (s.positions != nullptr) s.positions[at] = static_cast<uint16_t>(i);
  });
}

template <class K>
void split_any(Split<K>& block) {
  if (block.out == nullptr) split_block<K, false, false>(block);
  else if (block.past_cache) split_block<K, true, true>(block);
  else split_block<K, true, false>(block);
}

template <class K>
void keep_block(const K* x, K* out, int64_t n, int64_t limit, bool past_cache) {
  const Bits<K> b;
  using V = typename Bits<K>::V;
  using S = typename Bits<K>::S;
  const V least = hn::Set(b.d, static_cast<S>(limit));
  const auto kept = [&](int64_t at) {
    const V v = b.load(x + at);
    return hn::IfThenElseZero(hn::Gt(b.key(v), least), v);
  };
  int64_t i = 0;
  for (; i + 4 * b.lanes() <= n; i += 4 * b.lanes()) {
    const V v0 = kept(i);
    const V v1 = kept(i + b.lanes());
    const V v2 = kept(i + 2 * b.lanes());
    const V v3 = kept(i + 3 * b.lanes());
    auto* const to = reinterpret_cast<S*>(out + i);
    if (past_cache) {
      hn::Stream(v0, b.d, to);
      hn::Stream(v1, b.d, to + b.lanes());
      hn::Stream(v2, b.d, to + 2 * b.lanes());
      hn::Stream(v3, b.d, to + 3 * b.lanes());
    } else {
      hn::StoreU(v0, b.d, to);
      hn::StoreU(v1, b.d, to + b.lanes());
      hn::StoreU(v2, b.d, to + 2 * b.lanes());
      hn::StoreU(v3, b.d, to + 3 * b.lanes());
    }
  }
  for (; i < n; ++i) out[i] = static_cast<int64_t>(x[i] & kMagnitude<K>) > limit ? x[i] : K{0};
  if (past_cache) hwy::FlushStream();
}

// Highway's dispatch tables hold plain functions: one of each per width.
int64_t collect_from_16(const uint16_t* x, int64_t n, uint16_t lo, uint16_t nan, uint16_t* bits, uint16_t* positions) {
  return collect_block(x, n, lo, nan, bits, positions);
}
int64_t collect_from_32(const uint32_t* x, int64_t n, uint32_t lo, uint32_t nan, uint32_t* bits, uint16_t* positions) {
  return collect_block(x, n, lo, nan, bits, positions);
}
int64_t collect_from_64(const uint64_t* x, int64_t n, uint64_t lo, uint64_t nan, uint64_t* bits, uint16_t* positions) {
  return collect_block(x, n, lo, nan, bits, positions);
}
void split_16(Split<uint16_t>& block) { split_any(block); }
void split_32(Split<uint32_t>& block) { split_any(block); }
void split_64(Split<uint64_t>& block) { split_any(block); }
void keep_above_16(const uint16_t* x, uint16_t* out, int64_t n, int64_t limit, bool past_cache) {
  keep_block(x, out, n, limit, past_cache);
}
void keep_above_32(const uint32_t* x, uint32_t* out, int64_t n, int64_t limit, bool past_cache) {
  keep_block(x, out, n, limit, past_cache);
}
void keep_above_64(const uint64_t* x, uint64_t* out, int64_t n, int64_t limit, bool past_cache) {
  keep_block(x, out, n, limit, past_cache);
}

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {

HWY_EXPORT(collect_from_16);
HWY_EXPORT(collect_from_32);
HWY_EXPORT(collect_from_64);
HWY_EXPORT(split_16);
HWY_EXPORT(split_32);
HWY_EXPORT(split_64);
HWY_EXPORT(keep_above_16);
HWY_EXPORT(keep_above_32);
HWY_EXPORT(keep_above_64);

template <class K>
int64_t collect_from(const K* x, int64_t n, K lo, K nan, K* bits, uint16_t* positions) {
  if constexpr (sizeof(K) == 2) return HWY_DYNAMIC_DISPATCH(collect_from_16)(x, n, lo, nan, bits, positions);
  else if constexpr (sizeof(K) == 4) return HWY_DYNAMIC_DISPATCH(collect_from_32)(x, n, lo, nan, bits, positions);
  else return HWY_DYNAMIC_DISPATCH(collect_from_64)(x, n, lo, nan, bits, positions);
}

template <class K>
void split(Split<K>& block) {
  if constexpr (sizeof(K) == 2) HWY_DYNAMIC_DISPATCH(split_16)(block);
  else if constexpr (sizeof(K) == 4) HWY_DYNAMIC_DISPATCH(split_32)(block);
  else HWY_DYNAMIC_DISPATCH(split_64)(block);
}

template <class K>
void keep_above(const K* x, K* out, int64_t n, int64_t limit, bool past_cache) {
  if constexpr (sizeof(K) == 2) HWY_DYNAMIC_DISPATCH(keep_above_16)(x, out, n, limit, past_cache);
  else if constexpr (sizeof(K) == 4) HWY_DYNAMIC_DISPATCH(keep_above_32)(x, out, n, limit, past_cache);
  else HWY_DYNAMIC_DISPATCH(keep_above_64)(x, out, n, limit, past_cache);
}

template <class K>
K estimate_key(std::span<const K> sample, int64_t rank, int64_t n, double deviations, K nan, const Stream& stream) {
  const auto count = static_cast<int64_t>(sample.size());
  const double share = (static_cast<double>(rank) - 0.5) / static_cast<double>(n);
  const double expected = share * static_cast<double>(count);
  const double margin = std::abs(deviations) * std::sqrt(expected * (1 - share)) + 1;
  const auto at = static_cast<int64_t>(deviations < 0 ? std::floor(expected - margin) : std::ceil(expected + margin));
  if (at < 0) return K{0};
  if (at >= count) return nan;
  Scratch<K> keys(count + kSelectRoom, stream);
  std::copy(sample.begin(), sample.end(), keys.data());
  return select_key(std::span(keys.data(), sample.size()), at + 1, nan, stream);
}

template <class K>
K select_key(std::span<K> keys, int64_t rank, K nan, const Stream& stream) {
  constexpr int64_t kSmall = 4096;
  constexpr int64_t kSample = 1024;
  auto n = static_cast<int64_t>(keys.size());
  K* const key = keys.data();
  while (n > kSmall) {
    K sample[kSample];
    const int64_t step = n / kSample;
    for (int64_t i = 0; i < kSample; ++i) sample[i] = key[i * step + (i * 40503) % step];
    const std::span<const K> drawn(sample);
    const Bracket<K> bracket{estimate_key(drawn, rank, n, -4.0, nan, stream),
                             estimate_key(drawn, rank, n, 4.0, nan, stream)};
    const auto for_each_part = [&](const auto& body) {
      for (int64_t i = 0; i < n; i += kBlock) {
        Split<K> part{key + i, std::min(kBlock, n - i), bracket.lo, bracket.hi, nan};
        body(part);
      }
    };
    int64_t below = 0;
    int64_t inside = 0;
    for_each_part([&](Split<K>& part) {
      split(part);
      below += part.below;
      inside += part.inside;
    });
    if (rank <= below || rank > below + inside || inside > n / 2) break;  // the sample misled
    if (bracket.lo == bracket.hi) return bracket.lo;
    int64_t kept = 0;
    for_each_part([&](Split<K>& part) {
      part.keys = key + kept;
      split(part);
      kept += part.inside;
    });
    rank -= below;
    n = kept;
  }
  std::nth_element(key, key + (rank - 1), key + n);
  return key[rank - 1];
}

template int64_t collect_from(const uint16_t*, int64_t, uint16_t, uint16_t, uint16_t*, uint16_t*);
template int64_t collect_from(const uint32_t*, int64_t, uint32_t, uint32_t, uint32_t*, uint16_t*);
template int64_t collect_from(const uint64_t*, int64_t, uint64_t, uint64_t, uint64_t*, uint16_t*);
template void split(Split<uint16_t>&);
template void split(Split<uint32_t>&);
template void split(Split<uint64_t>&);
template void keep_above(const uint16_t*, uint16_t*, int64_t, int64_t, bool);
template void keep_above(const uint32_t*, uint32_t*, int64_t, int64_t, bool);
template void keep_above(const uint64_t*, uint64_t*, int64_t, int64_t, bool);
template uint16_t estimate_key(std::span<const uint16_t>, int64_t, int64_t, double, uint16_t, const Stream&);
template uint32_t estimate_key(std::span<const uint32_t>, int64_t, int64_t, double, uint32_t, const Stream&);
template uint64_t estimate_key(std::span<const uint64_t>, int64_t, int64_t, double, uint64_t, const Stream&);
template uint16_t select_key(std::span<uint16_t>, int64_t, uint16_t, const Stream&);
template uint32_t select_key(std::span<uint32_t>, int64_t, uint32_t, const Stream&);
template uint64_t select_key(std::span<uint64_t>, int64_t, uint64_t, const Stream&);

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
