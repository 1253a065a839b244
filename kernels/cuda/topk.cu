// kernels/cuda/topk.cu — the k largest magnitudes of each row, in order.
//
// One long row: histograms until few entries are left above the known prefix, one pass that collects those with their
// indices, and Thrust's stable sorts. Many rows: a block selects and collects one of them, and the sorts are of all
// rows together.
#include <thrust/gather.h>
#include <thrust/scan.h>
#include <thrust/sort.h>

#include <type_traits>

#include "device/thrust.cuh"
#include "kernels/contract/topk.hpp"
#include "kernels/cuda/primitives.cuh"
#include "kernels/cuda/select.cuh"
#include "kernels/dispatch.hpp"
#include "kernels/numerics.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

constexpr int kThreads = kSelectThreads;
constexpr std::int64_t kLongRow = 1 << 16;  // rows from here on are worth a grid each

/// Sorts ascending as magnitudes descend.
template <class K>
__host__ __device__ constexpr K inverted(K key) {
  return static_cast<K>(~key);
}

// grid: any; each thread takes N elements at a time
// block: kThreads
// shared: none
// requires: x aligned to N elements; *count is 0 at the start. Reads x once; the order of what is collected is any
template <int N, class T>
__global__ __launch_bounds__(kThreads) void collect_kernel(Global<const T> x, std::int64_t n, KeyOf<T> least,
                                                           Global<KeyOf<T>> keys, Global<std::int64_t> indices,
                                                           Global<std::int64_t> count) {
  for_each_element<N, T>(x, n, [&](std::int64_t i, T v) {
    const auto key = magnitude_key(v);
    if (key < least) return;
    const std::int64_t at = atomic_add(count, 0, std::int64_t{1});
    keys[at] = inverted(key);
    indices[at] = i;
  });
}

/// Elements of a tile of `some_ties_kernel`.
constexpr std::int64_t kTile = std::int64_t{kThreads} * 4;

// grid: (n / kTile, rounded up)
// block: kThreads
// shared: a counter per warp
// requires: ties[b] is the number of keys equal to `tie` in tile b at the end. Reads x once
template <class T>
__global__ __launch_bounds__(kThreads) void tile_ties_kernel(Global<const T> x, std::int64_t n, KeyOf<T> tie,
                                                             Global<std::int64_t> ties) {
  auto& scratch = shared<BlockScratch<std::int64_t, kThreads>>();
  std::int64_t count = 0;
  for (std::int64_t i = blockIdx.x * kTile + threadIdx.x; i < n && i < (blockIdx.x + 1) * kTile; i += kThreads) {
    count += magnitude_key(static_cast<T>(x[i])) == tie ? 1 : 0;
  }
  const std::int64_t total = block_reduce<kThreads>(count, Sum{}, scratch);
  if (threadIdx.x == 0) ties[blockIdx.x] = total;
}

// grid: (n / kTile, rounded up)
// block: kThreads
// shared: a counter per warp
// requires: ties_up_to[b] counts the ties of all tiles up to b, itself included. Writes the first `wanted` ties, in
//           order; a tile after those reads nothing
template <class T>
__global__ __launch_bounds__(kThreads) void first_ties_kernel(Global<const T> x, std::int64_t n, KeyOf<T> tie,
                                                              Global<const std::int64_t> ties_up_to,
                                                              std::int64_t wanted, Global<KeyOf<T>> keys,
                                                              Global<std::int64_t> indices) {
  auto& scratch = shared<BlockScratch<std::int64_t, kThreads>>();
  std::int64_t before = blockIdx.x == 0 ? std::int64_t{0} : static_cast<std::int64_t>(ties_up_to[blockIdx.x - 1]);
  for (std::int64_t first = blockIdx.x * kTile; first < (blockIdx.x + 1) * kTile && before < wanted;
       first += kThreads) {
    const std::int64_t i = first + threadIdx.x;
    const bool is_tie = i < n && magnitude_key(static_cast<T>(x[i])) == tie;
    const BlockSum<std::int64_t> sum = block_exclusive_sum<kThreads>(std::int64_t{is_tie ? 1 : 0}, scratch);
    const std::int64_t at = before + sum.before;
    if (is_tie && at < wanted) {
      keys[at] = inverted(tie);
      indices[at] = i;
    }
    before += sum.total;
  }
}

// grid: (k / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: order as sorted; reads k elements of x, in the order of their magnitude
template <class T>
__global__ __launch_bounds__(kThreads) void gather_kernel(Global<const T> x, std::int64_t n, std::int64_t k,
                                                          std::int64_t total, Global<const std::int64_t> order,
                                                          Global<T> values, Global<std::int64_t> indices) {
  const std::int64_t i = first_element(1);
  if (i >= total) return;
  const std::int64_t index = order[i];
  indices[i] = index;
  values[i] = static_cast<T>(x[i / k * n + index]);
}

struct RowShared {
  SharedArray<std::uint32_t, kDigits> counts;
  SharedArray<std::int64_t, 2> chosen;  // the digit, and the entries below it
  BlockScratch<std::int64_t, kThreads> scratch;
};

/// Narrows the selection of the `rank`-th smallest key of a row by one digit. Called by the whole block.
template <class T>
__device__ __forceinline__ void narrow_row(RowShared& s, Global<const T> x, std::int64_t n, std::int64_t rank,
                                           Selection<KeyOf<T>>& selection) {
  constexpr int kPerThread = kDigits / kThreads;
  for (int d = static_cast<int>(threadIdx.x); d < kDigits; d += kThreads) s.counts[d] = 0;
  __syncthreads();
  for (std::int64_t i = threadIdx.x; i < n; i += kThreads) {
    const auto key = magnitude_key(static_cast<T>(x[i]));
    if (selection.digit.matches(key)) atomic_add(s.counts.data(), selection.digit.of(key), 1u);
  }
  __syncthreads();
  // Each thread sums its share of the digits; the one whose share has the rank finds the digit.
  const int first = static_cast<int>(threadIdx.x) * kPerThread;
  std::int64_t share = 0;
  for (int d = first; d < first + kPerThread; ++d) share += s.counts[d];
  const BlockSum<std::int64_t> sum = block_exclusive_sum<kThreads>(share, s.scratch);
  std::int64_t below = selection.below + sum.before;
  if (below < rank && rank <= below + share) {
    int digit = first;
    while (below + s.counts[digit] < rank) below += s.counts[digit++];
    s.chosen[0] = digit;
    s.chosen[1] = below;
  }
  __syncthreads();
  const int digit = static_cast<int>(s.chosen[0]);
  selection.below = s.chosen[1];
  selection.inside = s.counts[digit];
  selection.digit = selection.digit.next(digit);
  __syncthreads();
}

// grid: (rows)
// block: kThreads, for a row
// shared: 8 KiB of counters
// requires: 0 < k <= n < 2^31. Reads x once per digit and once to collect; writes k keys and indices of each row, in
//           the order of the index
template <class T>
__global__ __launch_bounds__(kThreads) void topk_row_kernel(Global<const T> all, std::int64_t n, std::int64_t k,
                                                            Global<KeyOf<T>> keys, Global<std::int64_t> indices) {
  auto& s = shared<RowShared>();
  const std::int64_t row = blockIdx.x;
  const Global<const T> x = all + row * n;
  const std::int64_t rank = n - k + 1;
  Selection<KeyOf<T>> selection;
  while (!selection.digit.is_whole()) narrow_row<T>(s, x, n, rank, selection);
  const KeyOf<T> threshold = selection.digit.prefix;
  const std::int64_t wanted = k - (n - selection.below - selection.inside);  // of the entries at the threshold

  std::int64_t above_before = 0;
  std::int64_t ties_before = 0;
  for (std::int64_t first = 0; first < n; first += kThreads) {
    const std::int64_t i = first + threadIdx.x;
    const KeyOf<T> key = i < n ? magnitude_key(static_cast<T>(x[i])) : KeyOf<T>{0};
    const bool is_above = i < n && key > threshold;
    const bool is_tie = i < n && key == threshold;
    // Both counts in one sum: those above in the upper half.
    const std::int64_t both = (std::int64_t{is_above ? 1 : 0} << 32) + (is_tie ? 1 : 0);
    const BlockSum<std::int64_t> sum = block_exclusive_sum<kThreads>(both, s.scratch);
    const std::int64_t above = above_before + (sum.before >> 32);
    const std::int64_t ties = ties_before + (sum.before & 0xffffffff);
    if (is_above || (is_tie && ties < wanted)) {
      const std::int64_t at = row * k + above + min(ties, wanted);
      keys[at] = inverted(key);
      indices[at] = i;
    }
    above_before += sum.total >> 32;
    ties_before += sum.total & 0xffffffff;
  }
}

// grid: (n / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: nothing
__global__ __launch_bounds__(kThreads) void row_numbers_kernel(std::int64_t n, std::int64_t k,
                                                               Global<std::int64_t> rows, Global<std::int64_t> places) {
  const std::int64_t i = first_element(1);
  if (i >= n) return;
  rows[i] = i / k;
  places[i] = i;
}

std::int64_t blocks_for(std::int64_t n, std::int64_t per_block) { return (n + per_block - 1) / per_block; }

/// Memory for `n` elements that lives as long as the call.
template <class T>
struct Scratch {
  Scratch(std::int64_t n, const Stream& stream) : buffer(static_cast<std::size_t>(n) * sizeof(T), stream) {}
  T* data() const { return static_cast<T*>(buffer.data()); }
  Buffer buffer;
};

/// Entries of a row that are sure to hold the k largest, in any order.
template <class K>
struct Collected {
  std::int64_t count;
  Scratch<K> keys;
  Scratch<std::int64_t> indices;
};

/// Appends the entries with at least the key `least`, of which there are as many as `collected` still has room for.
template <class T>
void collect(const Run<T>& row, KeyOf<T> least, std::int64_t at, const Collected<KeyOf<T>>& to, const Stream& stream) {
  const Scratch<std::int64_t> count(1, stream);
  zero_bytes(count.data(), sizeof(std::int64_t), stream);
  constexpr int kN = kVector<T>;
  const auto run = [&](int per_thread, auto* kernel) {
    launch(stream, {.grid = grid_for(row.n, per_thread, stream), .block = kThreads}, kernel, row.x, row.n, least,
           to.keys.data() + at, to.indices.data() + at, count.data());
  };
  if (is_aligned<kN>(row.x)) run(kN, &collect_kernel<kN, T>);
  else run(1, &collect_kernel<1, T>);
}

/// The first `wanted` entries with the key `tie`.
template <class T>
void collect_ties(const Run<T>& row, KeyOf<T> tie, std::int64_t wanted, const Collected<KeyOf<T>>& to,
                  const Stream& stream) {
  const std::int64_t tiles = blocks_for(row.n, kTile);
  const Scratch<std::int64_t> ties(tiles, stream);
  const LaunchConfig config{.grid = tiles, .block = kThreads};
  launch(stream, config, &tile_ties_kernel<T>, row.x, row.n, tie, ties.data());
  thrust::inclusive_scan(thrust_policy(stream), ties.data(), ties.data() + tiles, ties.data());
  launch(stream, config, &first_ties_kernel<T>, row.x, row.n, tie, ties.data(), wanted, to.keys.data(),
         to.indices.data());
}

template <class T>
Collected<KeyOf<T>> collect_largest(const Run<T>& row, std::int64_t k, const Stream& stream) {
  using K = KeyOf<T>;
  const std::int64_t rank = row.n - k + 1;
  const std::int64_t few = std::max(2 * k, row.n / 8);
  Selection<K> selection;
  selection.inside = row.n;
  while (!selection.digit.is_whole() && row.n - selection.below > few) {
    narrow_selection<T>(selection, {&row, 1}, rank, stream);
  }
  const std::int64_t above = row.n - selection.below - selection.inside;
  const bool many_ties = row.n - selection.below > few;
  const std::int64_t count = many_ties ? k : above + selection.inside;
  Collected<K> collected{count, {count, stream}, {count, stream}};
  // The smallest key with the prefix: the bits below it are zero.
  const K least = selection.digit.prefix;
  if (many_ties) {
    collect_ties(row, least, k - above, collected, stream);
    collect(row, static_cast<K>(least + 1), k - above, collected, stream);
  } else {
    collect(row, least, 0, collected, stream);
  }
  return collected;
}

template <class T>
void topk_long_row(const Run<T>& row, std::int64_t k, T* values, std::int64_t* indices, const Stream& stream) {
  const Collected<KeyOf<T>> found = collect_largest(row, k, stream);
  auto* const key = found.keys.data();
  auto* const index = found.indices.data();
  // By index, then stably by magnitude: ties end in the order of their index.
  thrust::stable_sort_by_key(thrust_policy(stream), index, index + found.count, key);
  thrust::stable_sort_by_key(thrust_policy(stream), key, key + found.count, index);
  launch(stream, {.grid = blocks_for(k, kThreads), .block = kThreads}, &gather_kernel<T>, row.x, row.n, k, k, index,
         values, indices);
}

template <class T>
void topk_rows(const TopkArgs& args, const Stream& stream) {
  const std::int64_t total = args.rows * args.k;
  const Scratch<KeyOf<T>> keys(total, stream);
  const Scratch<std::int64_t> index(total, stream);
  const auto* const x = static_cast<const T*>(args.x);
  launch(stream, {.grid = args.rows, .block = kThreads}, &topk_row_kernel<T>, x, args.n, args.k, keys.data(),
         index.data());
  // Stably by magnitude, then by row: `order` says where each result is now.
  const Scratch<std::int64_t> rows(total, stream);
  const Scratch<std::int64_t> order(total, stream);
  launch(stream, {.grid = blocks_for(total, kThreads), .block = kThreads}, &row_numbers_kernel, total, args.k,
         rows.data(), order.data());
  thrust::stable_sort_by_key(thrust_policy(stream), keys.data(), keys.data() + total, order.data());
  const Scratch<std::int64_t> row_of(total, stream);
  thrust::gather(thrust_policy(stream), order.data(), order.data() + total, rows.data(), row_of.data());
  thrust::stable_sort_by_key(thrust_policy(stream), row_of.data(), row_of.data() + total, order.data());
  thrust::gather(thrust_policy(stream), order.data(), order.data() + total, index.data(), rows.data());
  launch(stream, {.grid = blocks_for(total, kThreads), .block = kThreads}, &gather_kernel<T>, x, args.n, args.k, total,
         rows.data(), static_cast<T*>(args.values), args.indices);
}

}  // namespace

void topk(const TopkArgs& args, const Stream& stream) {
  if (args.rows == 0 || args.k == 0) return;
  dispatch_any_float("topk", args.dtype, [&]<class T>() {
    if (args.n < kLongRow) return topk_rows<T>(args, stream);
    for (std::int64_t r = 0; r < args.rows; ++r) {
      topk_long_row<T>({static_cast<const T*>(args.x) + r * args.n, args.n}, args.k,
                       static_cast<T*>(args.values) + r * args.k, args.indices + r * args.k, stream);
    }
  });
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
