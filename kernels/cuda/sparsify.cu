// kernels/cuda/sparsify.cu — dense <-> CSR <-> COO, and pruning at an exact amount.
//
// A row belongs to a warp: it reads 32 elements at once, and a ballot tells each lane where its entry goes. Whole-array
// steps on keys and integers are Thrust's; sums of floats are ours, left to right.
#include "kernels/sparsify.hpp"

#include <thrust/gather.h>
#include <thrust/scan.h>
#include <thrust/sequence.h>
#include <thrust/sort.h>

#include <vector>

#include "device/thrust.cuh"
#include "kernels/contract/sparsify.hpp"
#include "kernels/cuda/primitives.cuh"
#include "kernels/cuda/select.cuh"
#include "kernels/dispatch.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

constexpr int kThreads = 256;
constexpr int kWarpsPerBlock = kThreads / kLanes;

std::int64_t blocks_for(std::int64_t n, int per_block) { return (n + per_block - 1) / per_block; }

__device__ __forceinline__ std::int64_t global_thread() { return first_element(1); }

/// The warp's number in the grid.
__device__ __forceinline__ std::int64_t global_warp() { return global_thread() / kLanes; }

// grid: any; each thread takes N elements at a time
// block: kThreads
// shared: a counter per warp
// requires: x aligned to N elements; *count is 0 at the start. Reads x once
template <int N, class T>
__global__ __launch_bounds__(kThreads) void count_nonzero_kernel(Global<const T> x, std::int64_t n,
                                                                 Global<std::int64_t> count) {
  auto& scratch = shared<BlockScratch<std::int64_t, kThreads>>();
  std::int64_t found = 0;
  for_each_element<N, T>(x, n, [&](std::int64_t, T v) { found += is_nonzero(v) ? 1 : 0; });
  const std::int64_t total = block_reduce<kThreads>(found, Sum{}, scratch);
  if (threadIdx.x == 0) atomic_add(count, 0, total);
}

// grid: (rows / kWarpsPerBlock, rounded up)
// block: kThreads, a warp for a row
// shared: none
// requires: reads dense once; row_offsets[r + 1] is row r's count at the end, row_offsets[0] is 0
template <class T, class I>
__global__ __launch_bounds__(kThreads) void row_counts_kernel(Global<const T> dense, std::int64_t rows,
                                                              std::int64_t cols, Global<I> row_offsets) {
  const std::int64_t row = global_warp();
  if (row >= rows) return;
  I count = 0;
  for (std::int64_t c = lane_id(); c < cols; c += kLanes) count += is_nonzero(dense[row * cols + c]) ? 1 : 0;
  count = warp_reduce(count, Sum{});
  if (lane_id() != 0) return;
  row_offsets[row + 1] = count;
  if (row == 0) row_offsets[0] = 0;
}

// grid: (rows / kWarpsPerBlock, rounded up)
// block: kThreads, a warp for a row
// shared: none
// requires: row_offsets of the same dense. Reads dense once, writes each entry once
template <class T, class I>
__global__ __launch_bounds__(kThreads) void dense_to_csr_kernel(Global<const T> dense, std::int64_t rows,
                                                                std::int64_t cols, Global<const I> row_offsets,
                                                                Global<I> columns, Global<T> values) {
  const std::int64_t row = global_warp();
  if (row >= rows) return;
  std::int64_t entry = row_offsets[row];
  for (std::int64_t first = 0; first < cols; first += kLanes) {
    const std::int64_t column = first + lane_id();
    const T x = column < cols ? static_cast<T>(dense[row * cols + column]) : T{};
    const bool nonzero = is_nonzero(x);
    const unsigned found = __ballot_sync(kAllLanes, nonzero);
    if (nonzero) {
      const std::int64_t at = entry + __popc(found & lane_mask_lt());
      columns[at] = static_cast<I>(column);
      values[at] = x;
    }
    entry += __popc(found);
  }
}

// grid: (rows / kWarpsPerBlock, rounded up)
// block: kThreads, a warp for a row
// shared: none
// requires: dense is zero at the start. Reads and writes each entry once
template <class T, class I>
__global__ __launch_bounds__(kThreads) void csr_to_dense_kernel(std::int64_t rows, std::int64_t cols,
                                                                Global<const I> row_offsets, Global<const I> columns,
                                                                Global<const T> values, Global<T> dense) {
  const std::int64_t row = global_warp();
  if (row >= rows) return;
  const std::int64_t end = row_offsets[row + 1];
  for (std::int64_t e = static_cast<std::int64_t>(row_offsets[row]) + lane_id(); e < end; e += kLanes) {
    dense[row * cols + static_cast<std::int64_t>(columns[e])] = static_cast<T>(values[e]);
  }
}

// grid: (rows / kWarpsPerBlock, rounded up)
// block: kThreads, a warp for a row
// shared: none
// requires: writes each entry's row once
template <class I>
__global__ __launch_bounds__(kThreads) void csr_to_coo_kernel(std::int64_t rows, Global<const I> row_offsets,
                                                              Global<I> row_of) {
  const std::int64_t row = global_warp();
  if (row >= rows) return;
  const std::int64_t end = row_offsets[row + 1];
  for (std::int64_t e = static_cast<std::int64_t>(row_offsets[row]) + lane_id(); e < end; e += kLanes) {
    row_of[e] = static_cast<I>(row);
  }
}

// grid: (nnz / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: rows sorted, and columns[order] within a row. is_first[e] says that entry e opens a run of duplicates; its
//           row's counter in row_offsets, zero at the start, goes up by one
template <class I>
__global__ __launch_bounds__(kThreads) void run_starts_kernel(std::int64_t nnz, Global<const I> rows,
                                                              Global<const I> columns, Global<const I> order,
                                                              Global<I> is_first, Global<I> row_offsets) {
  const std::int64_t e = global_thread();
  if (e >= nnz) return;
  const I row = rows[e];
  const I column = columns[order[e]];
  const bool first = e == 0 || row != rows[e - 1] || column != columns[order[e - 1]];
  is_first[e] = first ? 1 : 0;
  if (first) atomic_add(row_offsets, static_cast<std::int64_t>(row) + 1, I{1});
}

// grid: (nnz / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: place[e] counts the runs up to entry e. The thread of a run's first entry sums it, left to right
template <class T, class I>
__global__ __launch_bounds__(kThreads) void sum_runs_kernel(std::int64_t nnz, Global<const I> place,
                                                            Global<const I> order, Global<const I> from_columns,
                                                            Global<const T> from_values, bool boolean,
                                                            Global<I> columns, Global<T> values) {
  const std::int64_t e = global_thread();
  if (e >= nnz) return;
  const I run = place[e];
  if (e > 0 && run == place[e - 1]) return;
  const I first = order[e];
  Compute<T> sum = widen(static_cast<T>(from_values[first]));
  for (std::int64_t next = e + 1; next < nnz && run == place[next]; ++next) {
    sum = add_duplicate(sum, static_cast<T>(from_values[order[next]]), boolean);
  }
  columns[run - 1] = static_cast<I>(from_columns[first]);
  values[run - 1] = narrow<T>(sum);
}

/// A sum of row counts into offsets, in place.
template <class I>
void scan(I* first, std::int64_t n, const Stream& stream) {
  thrust::inclusive_scan(thrust_policy(stream), first, first + n, first);
}

template <class T, class I>
void coo_to_csr_of(const CooToCsrArgs& args, const Stream& stream) {
  const CooView& a = args.a;
  const auto* rows = static_cast<const I*>(a.row_indices);
  const auto* columns = static_cast<const I*>(a.columns);
  auto* row_offsets = static_cast<I*>(args.row_offsets);
  zero_bytes(row_offsets, static_cast<std::size_t>(a.rows + 1) * sizeof(I), stream);
  *args.nnz = 0;
  if (a.nnz == 0) return;

  // Sorted by column, then stably by row: in the end by row, column, and place in the input.
  const std::size_t bytes = static_cast<std::size_t>(a.nnz) * sizeof(I);
  const Buffer order_memory(bytes, stream);
  const Buffer keys_memory(bytes, stream);
  auto* const order = static_cast<I*>(order_memory.data());
  auto* const keys = static_cast<I*>(keys_memory.data());
  thrust::sequence(thrust_policy(stream), order, order + a.nnz);
  copy_bytes(keys, stream.device(), columns, stream.device(), bytes, stream);
  thrust::stable_sort_by_key(thrust_policy(stream), keys, keys + a.nnz, order);
  thrust::gather(thrust_policy(stream), order, order + a.nnz, rows, keys);
  thrust::stable_sort_by_key(thrust_policy(stream), keys, keys + a.nnz, order);

  const Buffer place_memory(bytes, stream);
  auto* const place = static_cast<I*>(place_memory.data());
  const LaunchConfig config{.grid = blocks_for(a.nnz, kThreads), .block = kThreads};
  launch(stream, config, &run_starts_kernel<I>, a.nnz, keys, columns, order, place, row_offsets);
  scan(row_offsets, a.rows + 1, stream);
  scan(place, a.nnz, stream);
  launch(stream, config, &sum_runs_kernel<T, I>, a.nnz, place, order, columns, static_cast<const T*>(a.values),
         a.dtype == DType::boolean, static_cast<I*>(args.columns), static_cast<T*>(args.values));
  I nnz = 0;
  copy_bytes(&nnz, cpu_device, place + (a.nnz - 1), stream.device(), sizeof(I), stream);
  stream.synchronize();
  *args.nnz = nnz;
}

/// Of the entries at the threshold, how many stay: all, none, or as many as `stay` says, tile by tile.
enum class Ties : std::uint8_t { all_stay, all_go, some_stay };

/// Elements of a tile: a vector for each thread of a block.
template <class T>
inline constexpr std::int64_t kTile = std::int64_t{kThreads} * kVector<T>;

/// The thread's elements of its block's tile.
template <class T>
__device__ __forceinline__ Vec<T, kVector<T>> load_tile(Global<const T> x, std::int64_t n, bool aligned) {
  constexpr int kN = kVector<T>;
  const std::int64_t i = first_element(kN);
  if (aligned && i + kN <= n) return load_vec<kN>(x, i);
  Vec<T, kN> v;
  for (int j = 0; j < kN; ++j) v[j] = i + j < n ? static_cast<T>(x[i + j]) : T{};
  return v;
}

// grid: (n / kTile, rounded up)
// block: kThreads
// shared: a counter per warp
// requires: ties[b] is the number of keys equal to the threshold in tile b at the end. Reads x once
template <class T>
__global__ __launch_bounds__(kThreads) void tile_ties_kernel(Global<const T> x, std::int64_t n, bool aligned,
                                                             MagnitudeKey<T> threshold, Global<std::int64_t> ties) {
  auto& scratch = shared<BlockScratch<std::int64_t, kThreads>>();
  const Vec<T, kVector<T>> v = load_tile(x, n, aligned);
  std::int64_t count = 0;
  for (int j = 0; j < kVector<T>; ++j) {
    const bool inside = first_element(kVector<T>) + j < n;
    count += inside && magnitude_key(v[j]) == threshold ? 1 : 0;
  }
  const std::int64_t total = block_reduce<kThreads>(count, Sum{}, scratch);
  if (threadIdx.x == 0) ties[blockIdx.x] = total;
}

// grid: (n / kTile, rounded up)
// block: kThreads
// shared: a counter per warp
// requires: ties_up_to[b] counts the ties of all tiles up to b, itself included, where kTies is some_stay; out may be
//           x. Reads x once, writes out once
template <Ties kTies, class T>
__global__ __launch_bounds__(kThreads) void prune_kernel(Global<const T> x, Global<T> out, std::int64_t n, bool aligned,
                                                         MagnitudeKey<T> threshold, std::int64_t stay,
                                                         Global<const std::int64_t> ties_up_to) {
  constexpr int kN = kVector<T>;
  const std::int64_t i = first_element(kN);
  Vec<T, kN> v = load_tile(x, n, aligned);
  [[maybe_unused]] std::int64_t tie = 0;  // the number of the thread's next tie
  if constexpr (kTies == Ties::some_stay) {
    auto& scratch = shared<BlockScratch<std::int64_t, kThreads>>();
    std::int64_t count = 0;
    for (int j = 0; j < kN; ++j) count += i + j < n && magnitude_key(v[j]) == threshold ? 1 : 0;
    const BlockSum<std::int64_t> sum = block_exclusive_sum<kThreads>(count, scratch);
    tie = ties_up_to[blockIdx.x] - sum.total + sum.before;
  }
  for (int j = 0; j < kN; ++j) {
    const MagnitudeKey<T> key = magnitude_key(v[j]);
    bool stays = key > threshold;
    if constexpr (kTies == Ties::all_stay) stays = key >= threshold;
    if constexpr (kTies == Ties::some_stay) stays = stays || (key == threshold && tie++ < stay);
    if (!stays) v[j] = T{};
  }
  if (aligned && i + kN <= n) {
    store_vec<kN>(out, i, v);
  } else {
    for (int j = 0; j < kN && i + j < n; ++j) out[i + j] = v[j];
  }
}

template <class T>
void prune(const PruneMagnitudeArgs& args, const Stream& stream) {
  using K = MagnitudeKey<T>;
  std::vector<Run<T>> runs;
  std::int64_t n = 0;
  std::int64_t tiles = 0;
  for (const PruneTensor& tensor : args.tensors) {
    runs.push_back({static_cast<const T*>(tensor.x), tensor.n});
    n += tensor.n;
    tiles += blocks_for(tensor.n, static_cast<int>(kTile<T>));
  }
  *args.nan_reached = false;
  K threshold = 0;
  std::int64_t stay = 0;
  Ties ties = Ties::all_stay;
  if (args.remove > 0) {
    const Selection<K> selection = select_key<T>(runs, n, args.remove, stream);
    threshold = selection.digit.prefix;
    *args.nan_reached = threshold == kNanKey<T>;
    if (*args.nan_reached) return;
    stay = selection.below + selection.inside - args.remove;
    ties = stay == 0 ? Ties::all_go : Ties::some_stay;
  }

  // Only where some ties stay and some go does anyone need to know which tile has how many.
  const Buffer ties_memory(ties == Ties::some_stay ? static_cast<std::size_t>(tiles) * sizeof(std::int64_t) : 0,
                           stream);
  auto* const tile_ties = static_cast<std::int64_t*>(ties_memory.data());
  const auto for_each_tensor = [&](const auto& body) {
    std::int64_t first_tile = 0;
    for (const PruneTensor& tensor : args.tensors) {
      const auto* const x = static_cast<const T*>(tensor.x);
      auto* const out = static_cast<T*>(tensor.out);
      const std::int64_t grid = blocks_for(tensor.n, static_cast<int>(kTile<T>));
      body(LaunchConfig{.grid = grid, .block = kThreads}, x, out, tensor.n, tile_ties + first_tile);
      first_tile += ties == Ties::some_stay ? grid : 0;
    }
  };
  if (ties == Ties::some_stay) {
    for_each_tensor([&](const LaunchConfig& config, const T* x, T*, std::int64_t count, std::int64_t* tile) {
      launch(stream, config, &tile_ties_kernel<T>, x, count, is_aligned<kVector<T>>(x), threshold, tile);
    });
    scan(tile_ties, tiles, stream);
  }
  for_each_tensor([&](const LaunchConfig& config, const T* x, T* out, std::int64_t count, const std::int64_t* tile) {
    const bool aligned = is_aligned<kVector<T>>(x) && is_aligned<kVector<T>>(out);
    const auto run = [&](auto* kernel) {
      launch(stream, config, kernel, x, out, count, aligned, threshold, stay, tile);
    };
    switch (ties) {
      case Ties::all_stay: return run(&prune_kernel<Ties::all_stay, T>);
      case Ties::all_go: return run(&prune_kernel<Ties::all_go, T>);
      case Ties::some_stay: return run(&prune_kernel<Ties::some_stay, T>);
    }
  });
}

}  // namespace

void count_nonzero(const CountNonzeroArgs& args, const Stream& stream) {
  const Buffer count(sizeof(std::int64_t), stream);
  zero_bytes(count.data(), count.bytes(), stream);
  auto* const counter = static_cast<std::int64_t*>(count.data());
  dispatch_any("count_nonzero", args.dtype, [&]<class T>() {
    constexpr int kN = kVector<T>;
    const auto* const x = static_cast<const T*>(args.x);
    if (is_aligned<kN>(x)) {
      launch(stream, {.grid = grid_for(args.n, kN, stream), .block = kThreads}, &count_nonzero_kernel<kN, T>, x, args.n,
             counter);
    } else {
      launch(stream, {.grid = grid_for(args.n, 1, stream), .block = kThreads}, &count_nonzero_kernel<1, T>, x, args.n,
             counter);
    }
  });
  copy_bytes(args.result, cpu_device, counter, stream.device(), sizeof(std::int64_t), stream);
  stream.synchronize();
}

void csr_offsets(const CsrOffsetsArgs& args, const Stream& stream) {
  dispatch_any("csr_offsets", args.dtype, [&]<class T>() {
    dispatch_index("csr_offsets", args.index, [&]<class I>() {
      auto* const row_offsets = static_cast<I*>(args.row_offsets);
      if (args.rows == 0) return zero_bytes(row_offsets, sizeof(I), stream);
      launch(stream, {.grid = blocks_for(args.rows, kWarpsPerBlock), .block = kThreads}, &row_counts_kernel<T, I>,
             static_cast<const T*>(args.dense), args.rows, args.cols, row_offsets);
      scan(row_offsets, args.rows + 1, stream);
    });
  });
}

void dense_to_csr(const DenseToCsrArgs& args, const Stream& stream) {
  dispatch_any("dense_to_csr", args.dtype, [&]<class T>() {
    dispatch_index("dense_to_csr", args.index, [&]<class I>() {
      launch(stream, {.grid = blocks_for(args.rows, kWarpsPerBlock), .block = kThreads}, &dense_to_csr_kernel<T, I>,
             static_cast<const T*>(args.dense), args.rows, args.cols, static_cast<const I*>(args.row_offsets),
             static_cast<I*>(args.columns), static_cast<T*>(args.values));
    });
  });
}

void csr_to_dense(const CsrToDenseArgs& args, const Stream& stream) {
  const CsrView& a = args.a;
  zero_bytes(args.dense, static_cast<std::size_t>(a.rows * a.cols) * size_of(a.dtype), stream);
  dispatch_any("csr_to_dense", a.dtype, [&]<class T>() {
    dispatch_index("csr_to_dense", a.index, [&]<class I>() {
      launch(stream, {.grid = blocks_for(a.rows, kWarpsPerBlock), .block = kThreads}, &csr_to_dense_kernel<T, I>,
             a.rows, a.cols, static_cast<const I*>(a.row_offsets), static_cast<const I*>(a.columns),
             static_cast<const T*>(a.values), static_cast<T*>(args.dense));
    });
  });
}

void csr_to_coo(const CsrToCooArgs& args, const Stream& stream) {
  dispatch_index("csr_to_coo", args.a.index, [&]<class I>() {
    launch(stream, {.grid = blocks_for(args.a.rows, kWarpsPerBlock), .block = kThreads}, &csr_to_coo_kernel<I>,
           args.a.rows, static_cast<const I*>(args.a.row_offsets), static_cast<I*>(args.rows));
  });
}

void coo_to_csr(const CooToCsrArgs& args, const Stream& stream) {
  dispatch_any("coo_to_csr", args.a.dtype, [&]<class T>() {
    dispatch_index("coo_to_csr", args.a.index, [&]<class I>() { coo_to_csr_of<T, I>(args, stream); });
  });
}

void prune_magnitude(const PruneMagnitudeArgs& args, const Stream& stream) {
  dispatch_any_float("prune_magnitude", args.dtype, [&]<class T>() { prune<T>(args, stream); });
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
