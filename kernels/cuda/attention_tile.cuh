// kernels/cuda/attention_tile.cuh — the steps of attention on 64 own rows and a tile of 64 rows of the other side.
//
// A block of 256 threads owns 64 rows, of queries or of keys; a thread holds 4 x 4 results. Operands go through shared
// memory a slice of the contraction at a time, and the weights of a tile once, other side outermost.
#pragma once

#include "device/kernel.cuh"
#include "kernels/attention.hpp"
#include "kernels/cuda/primitives.cuh"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace attention_tile {

inline constexpr int kTile = static_cast<int>(kAttentionTile);
inline constexpr int kStride = kTile + 2;  // of a row of 64 in shared memory: columns fall into different banks
inline constexpr int kThreads = 256;
inline constexpr int kSide = 16;                   // threads along a side of the tile, 4 x 4 results each
inline constexpr std::int64_t kMostHeads = 65535;  // of a grid's second dimension; more are looped over
static_assert(kThreads == kSide * kSide && kSide * 4 == kTile && kSide == kAttentionLanes);

/// Of the contraction, in a step: what keeps the shared memory of doubles below 48 KB.
template <class A>
inline constexpr int kDepth = sizeof(A) == 4 ? 16 : 8;

template <class A>
struct Slices {
  SharedArray<A, kDepth<A> * kStride> own;
  SharedArray<A, kDepth<A> * kStride> other;
};

/// A tile of weights or scores: (other side x own side), at `tile_index`.
template <class A>
using TileOf = SharedArray<A, kTile * kStride>;

/// Every other sixteen rows have the elements of a pair exchanged: threads that write a column fall into different
/// banks.
__device__ __forceinline__ bool is_exchanged(int other) { return (other / kSide & 1) != 0; }
__device__ __forceinline__ int tile_index(int other, int own) {
  return other * kStride + (is_exchanged(other) ? own ^ 1 : own);
}

template <class T>
struct Parameters {
  std::int64_t batch_heads;
  std::int64_t heads;
  std::int64_t key_heads;
  std::int64_t queries;
  std::int64_t keys;
  std::int64_t depth;
  std::int64_t value_depth;
  Global<const T> query;
  Global<const T> key;
  Global<const T> value;
  Global<const T> bias;  // null: none
  std::int64_t bias_batch_stride;
  std::int64_t bias_head_stride;
  Compute<T> scale;
  std::int64_t mask_heads;
  Global<const std::int64_t> offsets;
  Global<const std::int32_t> runs;
  Global<const std::int64_t> key_offsets;
  Global<const std::int32_t> key_runs;
  Global<const std::int64_t> bits;
};

/// `rows` rows of 64 of a matrix, from the first one that this block or step deals with.
template <class T>
struct Rows {
  Global<const T> at;
  int count;
  std::int64_t depth;
};

template <class T>
__device__ __forceinline__ Rows<T> rows_of(Global<const T> x, std::int64_t plane, std::int64_t n, std::int64_t depth,
                                           std::int64_t tile) {
  const std::int64_t first = tile * kTile;
  return {x + (plane * n + first) * depth, static_cast<int>(min(std::int64_t{kTile}, n - first)), depth};
}

__device__ __forceinline__ int thread_y() { return static_cast<int>(threadIdx.x) / kSide; }
__device__ __forceinline__ int thread_x() { return static_cast<int>(threadIdx.x) % kSide; }

/// Row or column q of a thread's four: two adjacent, and two adjacent half a tile on.
__device__ __forceinline__ int place(int thread, int q) { return thread * 2 + q % 2 + q / 2 * (kTile / 2); }

/// The four elements of a row of 64 that belong to `thread`.
template <class A, std::int64_t kSize>
__device__ __forceinline__ void load_four(SharedArray<A, kSize>& rows, int row, int thread, A (&out)[4]) {
  for (int half = 0; half < 2; ++half) {
    const Vec<A, 2> pair = load_vec<2>(rows.data(), row * kStride + place(thread, half * 2));
    out[half * 2] = pair[0];
    out[half * 2 + 1] = pair[1];
  }
}

/// slice[c][row] = x[row][c0 + c], zeros beyond.
template <class T, class A>
__device__ __forceinline__ void load_slice(const Rows<T>& x, std::int64_t c0,
                                           SharedArray<A, kDepth<A> * kStride>& slice) {
  const int c = static_cast<int>(threadIdx.x) % kDepth<A>;
  for (int row = static_cast<int>(threadIdx.x) / kDepth<A>; row < kTile; row += kThreads / kDepth<A>) {
    A value = 0;
    if (row < x.count && c0 + c < x.depth) value = widen(static_cast<T>(x.at[row * x.depth + c0 + c]));
    slice[c * kStride + row] = value;
  }
}

/// out = own · otherᵀ for the thread's 4 x 4, summed over the depth from the left.
template <class T, class A>
__device__ __forceinline__ void dot_rows(const Rows<T>& own, const Rows<T>& other, Slices<A>& slices, A (&out)[4][4]) {
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) out[i][j] = 0;
  }
  for (std::int64_t c0 = 0; c0 < own.depth; c0 += kDepth<A>) {
    load_slice(own, c0, slices.own);
    load_slice(other, c0, slices.other);
    __syncthreads();
    const int count = static_cast<int>(min(std::int64_t{kDepth<A>}, own.depth - c0));
    for (int c = 0; c < count; ++c) {
      A a[4];
      A b[4];
      load_four(slices.own, c, thread_y(), a);
      load_four(slices.other, c, thread_x(), b);
      for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 4; ++j) out[i][j] = fma(a[i], b[j], out[i][j]);
      }
    }
    __syncthreads();
  }
}

/// The pairs of a tile that are seen: word c holds the queries that see key c.
struct SeenPairs {
  SharedArray<std::uint64_t, kTile> words;
};

/// Reads the words of the tile at `at` of the mask's bits; needs a barrier before they are used. False where every pair
/// is seen.
template <class T>
__device__ __forceinline__ bool load_seen(const Parameters<T>& p, std::int64_t at, SeenPairs& seen) {
  if (at < 0) return false;
  if (threadIdx.x < kTile) {
    seen.words[threadIdx.x] = static_cast<std::uint64_t>(static_cast<std::int64_t>(p.bits[at * kTile + threadIdx.x]));
  }
  return true;
}

/// Whether an own row and one of the other side are a pair that is seen. kByQuery: queries are the own side.
template <bool kByQuery>
__device__ __forceinline__ bool is_seen(SeenPairs& seen, int own, int other) {
  const std::uint64_t word = seen.words[kByQuery ? other : own];
  return (word >> (kByQuery ? own : other) & 1) != 0;
}

/// sums += the other side's `weights` (other x own) times columns [column0, column0 + 64) of `x`, over the pairs seen,
/// from the first row on.
template <bool kByQuery, class T, class A>
__device__ __forceinline__ void add_products(TileOf<A>& weights, const Rows<T>& x, std::int64_t column0, bool partial,
                                             SeenPairs& seen, Slices<A>& slices, A (&sums)[4][4]) {
  for (int o0 = 0; o0 < x.count; o0 += kDepth<A>) {
    const int column = static_cast<int>(threadIdx.x) % kTile;
    for (int o = static_cast<int>(threadIdx.x) / kTile; o < kDepth<A>; o += kThreads / kTile) {
      A value = 0;
      if (o0 + o < x.count && column0 + column < x.depth) {
        value = widen(static_cast<T>(x.at[(o0 + o) * x.depth + column0 + column]));
      }
      slices.other[o * kStride + column] = value;
    }
    __syncthreads();
    const int count = min(kDepth<A>, x.count - o0);
    for (int o = 0; o < count; ++o) {
      A a[4];
      A b[4];
      load_four(weights, o0 + o, thread_y(), a);
      if (is_exchanged(o0 + o)) {
        for (int half = 0; half < 4; half += 2) {
          const A first = a[half];
          a[half] = a[half + 1];
          a[half + 1] = first;
        }
      }
      load_four(slices.other, o, thread_x(), b);
      for (int i = 0; i < 4; ++i) {
        if (partial && !is_seen<kByQuery>(seen, place(thread_y(), i), o0 + o)) continue;
        for (int j = 0; j < 4; ++j) sums[i][j] = fma(a[i], b[j], sums[i][j]);
      }
    }
    __syncthreads();
  }
}

/// Makes dot products scores: times the scale, plus the bias. `bias` is at (query tile, key tile) of the head's plane.
template <bool kByQuery, class T, class A = Compute<T>>
__device__ __forceinline__ void finish_scores(const Parameters<T>& p, std::int64_t bh, std::int64_t query_tile,
                                              std::int64_t key_tile, A (&scores)[4][4]) {
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) {
      scores[i][j] = p.scale * scores[i][j];
      if (p.bias == nullptr) continue;
      const std::int64_t own = place(thread_y(), i);
      const std::int64_t other = place(thread_x(), j);
      const std::int64_t query = query_tile * kTile + (kByQuery ? own : other);
      const std::int64_t key = key_tile * kTile + (kByQuery ? other : own);
      if (query >= p.queries || key >= p.keys) continue;
      const std::int64_t plane = bh / p.heads * p.bias_batch_stride + bh % p.heads * p.bias_head_stride;
      scores[i][j] = scores[i][j] + widen(static_cast<T>(p.bias[plane + query * p.keys + key]));
    }
  }
}

/// Puts a thread's 4 x 4 into the tile, `otherwise` where a pair is not seen or not there.
template <bool kByQuery, class A>
__device__ __forceinline__ void put_tile(const A (&values)[4][4], int others, bool partial, SeenPairs& seen,
                                         A otherwise, TileOf<A>& tile) {
  for (int j = 0; j < 4; ++j) {
    const int other = place(thread_x(), j);
    for (int i = 0; i < 4; ++i) {
      const int own = place(thread_y(), i);
      const bool keep = other < others && !(partial && !is_seen<kByQuery>(seen, own, other));
      tile[tile_index(other, own)] = keep ? values[i][j] : otherwise;
    }
  }
}

/// The running softmax of 64 queries.
template <class A>
struct SoftmaxState {
  SharedArray<A, kTile> largest;
  SharedArray<A, kTile> sum;
  SharedArray<A, kTile> rescale;
  SharedArray<A, kTile> average;  // of the gradients of weights; the backward pass's
};

template <class A>
__device__ __forceinline__ void begin_softmax(SoftmaxState<A>& state) {
  if (threadIdx.x < kTile) {
    state.largest[threadIdx.x] = -kInfinity<A>;
    state.sum[threadIdx.x] = 0;
    state.average[threadIdx.x] = 0;
  }
  __syncthreads();
}

/// The sum over the 16 threads of a query, in each of them: the tree over lanes.
template <class A>
__device__ __forceinline__ A sum_of_lanes(A value) {
  for (int half = kAttentionLanes / 2; half > 0; half /= 2) value = value + __shfl_xor_sync(kAllLanes, value, half);
  return value;
}

/// Query of a thread's pass of four: 16 threads, the lanes, share one.
__device__ __forceinline__ int query_of(int pass) { return thread_y() + pass * kSide; }

/// Takes a tile of scores (keys x queries) into the softmax. The thread gets the exponentials of its query's keys
/// lane, lane + 16, ...
template <class A>
__device__ __forceinline__ void add_to_softmax(TileOf<A>& scores, SoftmaxState<A>& state, A (&exponentials)[4][4]) {
  const int lane = thread_x();
  for (int pass = 0; pass < 4; ++pass) {
    const int query = query_of(pass);
    const A before = state.largest[query];
    const A sum_before = state.sum[query];
    A most = before;
    for (int t = 0; t < 4; ++t) {
      const A score = scores[tile_index(lane + t * kAttentionLanes, query)];
      exponentials[pass][t] = score;
      most = score > most ? score : most;
    }
    for (int half = kAttentionLanes / 2; half > 0; half /= 2) {
      const A other = __shfl_xor_sync(kAllLanes, most, half);
      most = other > most ? other : most;
    }
    const A origin = exponent_origin(most);
    A total = 0;
    for (int t = 0; t < 4; ++t) {
      exponentials[pass][t] = exp_of(exponentials[pass][t] - origin);
      total = total + exponentials[pass][t];
    }
    total = sum_of_lanes(total);
    __syncwarp(kAllLanes);
    if (lane == 0) {
      const A rescale = exp_of(before - origin);
      state.largest[query] = most;
      state.sum[query] = fma(sum_before, rescale, total);
      state.rescale[query] = rescale;
    }
  }
}

/// Calls f(tile of the other side, place of its bits or -1) for the runs of a list.
template <class F>
__device__ __forceinline__ void for_each_run_tile(Global<const std::int64_t> offsets, Global<const std::int32_t> runs,
                                                  std::int64_t list, F&& f) {
  const std::int64_t begin = offsets[list];
  const std::int64_t end = offsets[list + 1];
  for (std::int64_t run = begin; run < end; ++run) {
    const std::int32_t last = runs[3 * run + 1];
    const std::int32_t at = runs[3 * run + 2];
    for (std::int64_t tile = static_cast<std::int32_t>(runs[3 * run]); tile < last; ++tile) {
      f(tile, std::int64_t{at});
    }
  }
}

template <class T>
__device__ __forceinline__ std::int64_t key_plane(const Parameters<T>& p, std::int64_t bh) {
  return bh / p.heads * p.key_heads + bh % p.heads / (p.heads / p.key_heads);
}

}  // namespace attention_tile
}  // namespace sparsert::backend::SPARSERT_BACKEND
