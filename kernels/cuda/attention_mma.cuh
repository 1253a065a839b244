// kernels/cuda/attention_mma.cuh — attention by tensor cores, for 16-bit floats and order=fast: forward.
//
// A block of four warps owns 64 queries, a warp 16 of them; it walks the tiles of 64 keys that the mask pairs with them
// (FlashAttention-2: Dao 2023). Scores stay in the registers of the warp that made them: what mma gives as a result is
// laid out as it wants its next left operand, so weights never pass through shared memory. Keys and values do, 64
// columns at a time.
#pragma once

#include "device/mma.cuh"
#include "kernels/cuda/attention_tile.cuh"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace attention_mma {

using attention_tile::for_each_run_tile;
using attention_tile::key_plane;
using attention_tile::kTile;
using attention_tile::load_seen;
using attention_tile::Parameters;
using attention_tile::Rows;
using attention_tile::rows_of;
using attention_tile::SeenPairs;

inline constexpr int kWarps = kTile / kMmaRows;
inline constexpr int kThreads = kWarps * 32;
inline constexpr int kKeyTiles = kTile / kMmaColumns;  // of a tile's scores in a warp's registers

/// Of a row in shared memory, two elements each; the padding makes lanes of a fragment fall into different banks.
template <int kColumns>
inline constexpr int kRowWords = (kColumns + 8) / 2;

template <int kDepth>
struct alignas(16) Shared {
  SharedArray<std::uint32_t, kTile * kRowWords<kDepth>> query;
  SharedArray<std::uint32_t, kTile * kRowWords<kTile>> other;  // 64 columns of keys or of values
  SeenPairs seen;
};

__device__ __forceinline__ int lane_group() { return static_cast<int>(threadIdx.x) % 32 / 4; }
__device__ __forceinline__ int lane_in_group() { return static_cast<int>(threadIdx.x) % 4; }
__device__ __forceinline__ int warp_row() { return static_cast<int>(threadIdx.x) / 32 * kMmaRows; }

/// Calls f(0), f(1), ... to f(kCount - 1) with constants: what they index stays in registers.
template <int kCount, class F>
__device__ __forceinline__ void for_each_constant(F&& f) {
  [&]<int... kValues>(std::integer_sequence<int, kValues...>) { (f(std::integral_constant<int, kValues>{}), ...); }
  (std::make_integer_sequence<int, kCount>{});
}

/// The pair as it is, or with 0 for what is not finite, which `found` then says.
template <class T>
__device__ __forceinline__ std::uint32_t only_finite(std::uint32_t pair, bool& found) {
  const bool first = unpack<T>(pair, false) * 0.0f == 0;
  const bool second = unpack<T>(pair, true) * 0.0f == 0;
  found |= !first || !second;
  return (first ? pair & 0xffffu : 0u) | (second ? pair & 0xffff0000u : 0u);
}

/// words[row][...] = columns [c0, c0 + kColumns) of x, zeros beyond. With kFinite, 0 for what is not finite; the result
/// then says whether this thread met any. `wide`: rows are whole vectors of eight elements.
template <int kColumns, bool kFinite, class T, std::int64_t kSize>
__device__ __forceinline__ bool load_rows(const Rows<T>& x, std::int64_t c0, bool wide,
                                          SharedArray<std::uint32_t, kSize>& words) {
  constexpr int kVectors = kColumns / 8;
  bool found = false;
  for (int v = static_cast<int>(threadIdx.x); v < kTile * kVectors; v += kThreads) {
    const int row = v / kVectors;
    const int column = v % kVectors * 8;
    Vec<std::uint32_t, 4> four{};
    if (row < x.count && c0 + column < x.depth) {
      const std::int64_t at = row * x.depth + c0 + column;
      if (wide) {
        const Vec<T, 8> eight = load_vec<8>(x.at, at);
        for (int w = 0; w < 4; ++w) four[w] = pack_pair(eight[2 * w], eight[2 * w + 1]);
      } else {
        for (int w = 0; w < 4; ++w) {
          T pair[2] = {};
          for (int e = 0; e < 2; ++e) {
            if (c0 + column + 2 * w + e < x.depth) pair[e] = x.at[at + 2 * w + e];
          }
          four[w] = pack_pair(pair[0], pair[1]);
        }
      }
    }
    if constexpr (kFinite) {
      for (int w = 0; w < 4; ++w) four[w] = only_finite<T>(four[w], found);
    }
    store_vec<4>(words.data(), row * kRowWords<kColumns> + column / 2, four);
  }
  return found;
}

/// A left operand: 16 rows from `row` on, 16 columns from `column` on.
template <int kColumns, std::int64_t kSize>
__device__ __forceinline__ void left_fragment(SharedArray<std::uint32_t, kSize>& words, int row, int column,
                                              std::uint32_t (&a)[4]) {
  for (int i = 0; i < 4; ++i) {
    a[i] = words[(row + lane_group() + i % 2 * 8) * kRowWords<kColumns> + column / 2 + lane_in_group() + i / 2 * 4];
  }
}

/// A right operand whose columns are rows of shared memory: keys.
template <std::int64_t kSize>
__device__ __forceinline__ void right_fragment_of_rows(SharedArray<std::uint32_t, kSize>& words, int row, int column,
                                                       std::uint32_t (&b)[2]) {
  for (int i = 0; i < 2; ++i) {
    b[i] = words[(row + lane_group()) * kRowWords<kTile> + column / 2 + lane_in_group() + i * 4];
  }
}

/// A right operand as it lies in shared memory: values. A pair is of two rows, so it is put together here.
template <std::int64_t kSize>
__device__ __forceinline__ void right_fragment(SharedArray<std::uint32_t, kSize>& words, int row, int column,
                                               std::uint32_t (&b)[2]) {
  const int word = (column + lane_group()) / 2;
  const bool second = lane_group() % 2 != 0;
  for (int i = 0; i < 2; ++i) {
    const int first_row = row + lane_in_group() * 2 + i * 8;
    const std::uint32_t upper = words[first_row * kRowWords<kTile> + word];
    const std::uint32_t lower = words[(first_row + 1) * kRowWords<kTile> + word];
    b[i] = second ? upper >> 16 | (lower & 0xffff0000u) : (upper & 0xffffu) | lower << 16;
  }
}

/// The query that element i of a result belongs to, in the tile; the key or column in its eight.
__device__ __forceinline__ int row_of(int i) { return warp_row() + lane_group() + i / 2 * 8; }
__device__ __forceinline__ int column_of(int i) { return lane_in_group() * 2 + i % 2; }

/// The maximum, or the sum, over the four lanes that share a row; a comparison with NaN is false.
__device__ __forceinline__ float row_maximum(float value) {
  for (int distance = 1; distance < 4; distance *= 2) {
    const float other = __shfl_xor_sync(kAllLanes, value, distance);
    value = other > value ? other : value;
  }
  return value;
}
__device__ __forceinline__ float row_sum(float value) {
  for (int distance = 1; distance < 4; distance *= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

/// scores[n] = query · keysᵀ for 8 keys each.
template <int kDepth, class T>
__device__ __forceinline__ void score(const Rows<T>& keys, bool wide, Shared<kDepth>& memory,
                                      float (&scores)[kKeyTiles][4]) {
  for (int n = 0; n < kKeyTiles; ++n) {
    for (int i = 0; i < 4; ++i) scores[n][i] = 0;
  }
  for (std::int64_t c0 = 0; c0 < keys.depth; c0 += kTile) {
    __syncthreads();
    load_rows<kTile, false>(keys, c0, wide, memory.other);
    __syncthreads();
    const int columns = static_cast<int>(min(std::int64_t{kTile}, keys.depth - c0));
    for (int column = 0; column < columns; column += kMmaDepth) {
      std::uint32_t a[4];
      left_fragment<kDepth>(memory.query, warp_row(), static_cast<int>(c0) + column, a);
      for (int n = 0; n < kKeyTiles; ++n) {
        std::uint32_t b[2];
        right_fragment_of_rows(memory.other, n * kMmaColumns, column, b);
        mma<T>(scores[n], a, b);
      }
    }
  }
}

/// Whether a query sees a key of the tile.
__device__ __forceinline__ bool sees(bool partial, SeenPairs& seen, int query, int key) {
  if (!partial) return true;
  const std::uint64_t word = seen.words[key];
  return (word >> query & 1) != 0;
}

/// Makes dot products scores, bias included; -Inf where a pair is not seen or not there.
template <class T>
__device__ __forceinline__ void finish(const Parameters<T>& p, std::int64_t bh, std::int64_t tile,
                                       std::int64_t key_tile, bool partial, SeenPairs& seen,
                                       float (&scores)[kKeyTiles][4]) {
  const std::int64_t plane = bh / p.heads * p.bias_batch_stride + bh % p.heads * p.bias_head_stride;
  for (int n = 0; n < kKeyTiles; ++n) {
    for (int i = 0; i < 4; ++i) {
      const int row = row_of(i);
      const int column = n * kMmaColumns + column_of(i);
      const std::int64_t query = tile * kTile + row;
      const std::int64_t key = key_tile * kTile + column;
      float s = p.scale * scores[n][i];
      const bool there = query < p.queries && key < p.keys;
      if (p.bias != nullptr && there) s = s + widen(static_cast<T>(p.bias[plane + query * p.keys + key]));
      scores[n][i] = key < p.keys && sees(partial, seen, row, column) ? s : -kInfinity<float>;
    }
  }
}

/// The running softmax of a lane's two queries, the same in the four lanes that share them.
struct State {
  float largest[2];
  float sum[2];
};

/// Takes a tile's scores in: they become exp(score - origin). What was accumulated before is to be multiplied by
/// `rescale`.
__device__ __forceinline__ void add_to_softmax(State& state, float (&scores)[kKeyTiles][4], float (&rescale)[2]) {
  for (int half = 0; half < 2; ++half) {
    float most = state.largest[half];
    for (int n = 0; n < kKeyTiles; ++n) {
      for (int i = 2 * half; i < 2 * half + 2; ++i) most = scores[n][i] > most ? scores[n][i] : most;
    }
    most = row_maximum(most);
    const float origin = exponent_origin(most);
    rescale[half] = exp_of(state.largest[half] - origin);
    float total = 0;
    for (int n = 0; n < kKeyTiles; ++n) {
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        scores[n][i] = exp_of(scores[n][i] - origin);
        total += scores[n][i];
      }
    }
    state.sum[half] = fma(state.sum[half], rescale[half], row_sum(total));
    state.largest[half] = most;
  }
}

/// Two neighboring eights of weights as a left operand.
template <class T>
__device__ __forceinline__ void left_fragment(const float (&first)[4], const float (&second)[4],
                                              std::uint32_t (&a)[4]) {
  for (int half = 0; half < 2; ++half) {
    a[half] = pack_pair(narrow<T>(first[2 * half]), narrow<T>(first[2 * half + 1]));
    a[half + 2] = pack_pair(narrow<T>(second[2 * half]), narrow<T>(second[2 * half + 1]));
  }
}

/// sums[n] += weights · 64 columns of the values in shared memory.
template <class T, std::int64_t kSize>
__device__ __forceinline__ void add_values(const float (&weights)[kKeyTiles][4],
                                           SharedArray<std::uint32_t, kSize>& values, float (&sums)[kKeyTiles][4]) {
  for_each_constant<kKeyTiles / 2>([&](auto k) {
    std::uint32_t a[4];
    left_fragment<T>(weights[2 * k], weights[2 * k + 1], a);
    for_each_constant<kKeyTiles>([&](auto n) {
      std::uint32_t b[2];
      right_fragment(values, k * kMmaDepth, n * kMmaColumns, b);
      mma<T>(sums[n], a, b);
    });
  });
}

/// The values that were left out because they are not finite, for those that see them. Takes `memory` for the weights.
template <class T, std::int64_t kSize>
__device__ __forceinline__ void add_other_values(const Rows<T>& values, std::int64_t column0, SeenPairs& seen,
                                                 const float (&weights)[kKeyTiles][4],
                                                 SharedArray<std::uint32_t, kSize>& memory,
                                                 float (&sums)[kKeyTiles][4]) {
  __syncthreads();
  for_each_constant<kKeyTiles / 2>([&](auto k) {
    std::uint32_t a[4];
    left_fragment<T>(weights[2 * k], weights[2 * k + 1], a);
    for (int i = 0; i < 4; ++i) {
      const int row = warp_row() + lane_group() + i % 2 * 8;
      memory[row * kRowWords<kTile> + k * kMmaDepth / 2 + lane_in_group() + i / 2 * 4] = a[i];
    }
  });
  __syncthreads();
  for (int key = 0; key < values.count; ++key) {
    for_each_constant<kKeyTiles>([&](auto n) {
      for (int i = 0; i < 4; ++i) {
        const std::int64_t column = column0 + n * kMmaColumns + column_of(i);
        if (column >= values.depth || !sees(true, seen, row_of(i), key)) continue;
        const float value = widen(static_cast<T>(values.at[key * values.depth + column]));
        if (value * 0.0f == 0) continue;
        const float weight = unpack<T>(memory[row_of(i) * kRowWords<kTile> + key / 2], key % 2 != 0);
        sums[n][i] = fma(weight, value, sums[n][i]);
      }
    });
  }
}

// grid: (tiles of 64 queries; batch · heads, at most kMostHeads; pieces of 64 columns of the result)
// block: kThreads
// shared: Shared<kDepth>
// requires: the lists of key tiles by query tiles; depth <= kDepth; `wide`: operands aligned to 16 bytes and depths
//           multiples of 8
template <int kDepth, class T>
__global__ __launch_bounds__(kThreads) void attend_mma_kernel(Parameters<T> p, bool wide, Global<T> out,
                                                              Global<float> log_sum_exp) {
  auto& memory = shared<Shared<kDepth>>();
  const std::int64_t tile = blockIdx.x;
  const std::int64_t column0 = std::int64_t{blockIdx.z} * kTile;
  for (std::int64_t bh = blockIdx.y; bh < p.batch_heads; bh += gridDim.y) {
    float sums[kKeyTiles][4] = {};
    State state{{-kInfinity<float>, -kInfinity<float>}, {0, 0}};
    __syncthreads();
    load_rows<kDepth, false>(rows_of(p.query, bh, p.queries, p.depth, tile), 0, wide, memory.query);
    const std::int64_t list = (p.mask_heads == 1 ? 0 : bh % p.heads) * attention_tiles(p.queries) + tile;
    for_each_run_tile(p.offsets, p.runs, list, [&](std::int64_t key_tile, std::int64_t at) {
      __syncthreads();
      const bool partial = load_seen(p, at, memory.seen);
      const Rows<T> keys = rows_of(p.key, key_plane(p, bh), p.keys, p.depth, key_tile);
      const Rows<T> values = rows_of(p.value, key_plane(p, bh), p.keys, p.value_depth, key_tile);
      float weights[kKeyTiles][4];
      float rescale[2];
      score<kDepth>(keys, wide, memory, weights);
      finish(p, bh, tile, key_tile, partial, memory.seen, weights);
      add_to_softmax(state, weights, rescale);
      __syncthreads();
      bool found = false;
      if (partial) found = load_rows<kTile, true>(values, column0, wide, memory.other);
      else load_rows<kTile, false>(values, column0, wide, memory.other);
      found = __syncthreads_or(found) != 0;
      for (int n = 0; n < kKeyTiles; ++n) {
        for (int i = 0; i < 4; ++i) sums[n][i] = rescale[i / 2] * sums[n][i];
      }
      add_values<T>(weights, memory.other, sums);
      if (found) add_other_values(values, column0, memory.seen, weights, memory.other, sums);
    });
    for_each_constant<4>([&](auto i) {
      const std::int64_t row = tile * kTile + row_of(i);
      if (row >= p.queries) return;
      const std::int64_t query = bh * p.queries + row;
      const float sum = state.sum[i / 2];
      for (int n = 0; n < kKeyTiles; ++n) {
        const std::int64_t column = column0 + n * kMmaColumns + column_of(i);
        if (column >= p.value_depth) continue;
        out[query * p.value_depth + column] = narrow<T>(quotient_of(sums[n][i], sum) + 0.0f);
      }
      if (log_sum_exp != nullptr && lane_in_group() == 0 && i % 2 == 0 && blockIdx.z == 0) {
        log_sum_exp[query] = log_sum_exp_of(state.largest[i / 2], sum);
      }
    });
  }
}

/// Calls f.operator()<kDepth>() for the smallest kernel that holds the depth. More than 64 columns of the result at a
/// time do not fit the registers beside the scores.
template <class F>
void choose(std::int64_t depth, F&& f) {
  if (depth <= 64) f.template operator()<64>();
  else if (depth <= 128) f.template operator()<128>();
  else f.template operator()<256>();
}

/// Whether rows of every operand are whole vectors of eight elements.
template <class T>
bool is_wide(const AttentionInputs& in) {
  const auto aligned = [](const void* x) { return is_aligned<8>(static_cast<const T*>(x)); };
  return in.depth % 8 == 0 && in.value_depth % 8 == 0 && aligned(in.query) && aligned(in.key) && aligned(in.value);
}

}  // namespace attention_mma
}  // namespace sparsert::backend::SPARSERT_BACKEND
