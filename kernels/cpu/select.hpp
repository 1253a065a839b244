// kernels/cpu/select.hpp — finding entries by magnitude: vector passes over blocks, and the key of a rank.
//
// Sample -> bracket -> one exact pass that emits the few entries inside the bracket -> select among them. The sample
// only decides how long it takes: a result is taken where the exact counts prove it, and else found by radix_select.
//
// Everything here works on the bits of any float format: K is uint16_t, uint32_t or uint64_t, `nan` the key of NaN.
#pragma once

#include <cstdint>
#include <span>

#include "sparsert/stream.hpp"

namespace sparsert::backend::cpu {

/// Entries of a block: positions in it fit in 16 bits, what is made of it in the caches.
inline constexpr std::int64_t kBlock = 1 << 14;
/// Room for the candidates of a block: a little is written past the last one.
inline constexpr std::int64_t kBlockRoom = kBlock + 8;

/// The entries of a block (n <= kBlock) with key >= lo (which is <= nan), in order: their bits (NaNs made one) and
/// positions, each with kBlockRoom. Returns how many.
template <class K>
std::int64_t collect_from(const K* x, std::int64_t n, K lo, K nan, K* bits, std::uint16_t* positions);

/// What `split` does with a block.
template <class K>
struct Split {
  const K* x;
  std::int64_t n;  // <= kBlock
  K lo;            // keys below are counted,
  K hi;            // keys in [lo, hi] counted and emitted
  K nan;
  K* keys = nullptr;                   // emitted, in order; null: not wanted; may be x where it holds keys
  std::uint16_t* positions = nullptr;  // of what is emitted; null: not wanted
  K* out = nullptr;                    // x, zero where the key is below `lo`; null: not written
  bool past_cache = false;             // how out is written
  std::int64_t below = 0;
  std::int64_t inside = 0;
};

/// Fills in `below`, `inside` and what the pointers ask for. Emitted arrays have kBlockRoom, or are select_key's.
template <class K>
void split(Split<K>& block);

/// out[i] = x[i] where its key is above `limit` (-1: all), else +0; out may be x.
template <class K>
void keep_above(const K* x, K* out, std::int64_t n, std::int64_t limit, bool past_cache);

/// About the `rank`-th smallest (from 1) of n keys, from a random sample of them: `deviations` of the sample's own
/// error above it, or below where negative. Beyond the sample's ends it is 0 or `nan`.
template <class K>
K estimate_key(std::span<const K> sample, std::int64_t rank, std::int64_t n, double deviations, K nan,
               const Stream& stream);

/// Keys between which the one of a rank is expected, both included.
template <class K>
struct Bracket {
  K lo;
  K hi;
};

/// Elements that may be written past the end of select_key's keys.
inline constexpr std::int64_t kSelectRoom = 8;

/// The `rank`-th smallest (from 1) of canonical keys, which are overwritten, and kSelectRoom after them too.
template <class K>
K select_key(std::span<K> keys, std::int64_t rank, K nan, const Stream& stream);

}  // namespace sparsert::backend::cpu
