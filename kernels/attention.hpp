// kernels/attention.hpp — the rules of attention for one query, on host and device alike (docs/numerics.md).
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/contract/attention.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/exp.hpp"
#include "kernels/log.hpp"

namespace sparsert::backend {

/// Keys of a step of the online softmax, and queries of a piece of the gradients of keys and values: both at absolute
/// multiples of it.
inline constexpr std::int64_t kAttentionTile = 64;
/// Sums over the keys of a tile: lane l takes keys l, l + 16, ... of it; then a tree that halves the lanes.
inline constexpr int kAttentionLanes = 16;

template <class A>
inline constexpr A kInfinity = std::numeric_limits<A>::infinity();

/// What the exponents are taken from: the largest score so far, or 0 where every one is -Inf.
template <class A>
constexpr A exponent_origin(A largest) {
  return largest == -kInfinity<A> ? A{0} : largest;
}

/// What was accumulated over the sum of exponentials, or 0 for a query that saw nothing.
template <class A>
constexpr A quotient_of(A accumulated, A sum) {
  return sum == 0 ? A{0} : accumulated / sum;
}

/// log(sum of exp(score)), -Inf for a query that saw nothing.
template <class A>
constexpr A log_sum_exp_of(A largest, A sum) {
  return sum == 0 ? -kInfinity<A> : largest + log_of(sum);
}

/// What the gradient's exponents are taken from: exp(score - this) is the weight. +Inf makes every weight 0.
template <class A>
constexpr A weight_origin(A largest, A sum) {
  return sum == 0 ? kInfinity<A> : largest + log_of(sum);
}

/// The sum over 16 lanes.
template <class A>
constexpr A lane_sum(A (&lanes)[kAttentionLanes]) {
  for (int half = kAttentionLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lanes[l] = lanes[l] + lanes[l + half];
  }
  return lanes[0];
}

constexpr std::int64_t attention_tiles(std::int64_t n) { return (n + kAttentionTile - 1) / kAttentionTile; }

/// Calls f(tile, place in bits or -1) for the tiles of runs [begin, end).
template <class F>
void for_each_tile(const std::int32_t* runs, std::int64_t begin, std::int64_t end, F&& f) {
  for (std::int64_t run = begin; run < end; ++run) {
    const std::int32_t* const r = runs + 3 * run;
    for (std::int64_t tile = r[0]; tile < r[1]; ++tile) f(tile, std::int64_t{r[2]});
  }
}

/// Calls f(key tile, place in bits or -1) for what a tile of queries of a head sees.
template <class F>
void for_each_key_tile(const AttentionInputs& in, std::int64_t head, std::int64_t query_tile, F&& f) {
  const std::int64_t row = (in.mask.heads == 1 ? 0 : head) * attention_tiles(in.queries) + query_tile;
  for_each_tile(in.mask.runs, in.mask.offsets[row], in.mask.offsets[row + 1], f);
}

/// Word c of the tile at a place: the queries that see key c.
inline std::uint64_t seen_by(const MaskView& mask, std::int64_t place, std::int64_t key) {
  return place < 0 ? ~std::uint64_t{0} : static_cast<std::uint64_t>(mask.bits[place * kAttentionTile + key]);
}

}  // namespace sparsert::backend
