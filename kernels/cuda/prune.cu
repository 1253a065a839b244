// kernels/cuda/prune.cu — scores, norms, masks by a score, N:M and thresholds.
//
// Elementwise steps take one element a thread and move the bytes they must. A norm is a half-warp's work for each
// chunk, so that its 16 lanes are those of the contract. Small groups of scores are ranked by one block each, long ones
// by the selection that magnitude pruning uses.
#include "kernels/prune.hpp"

#include <thrust/copy.h>
#include <thrust/iterator/counting_iterator.h>

#include "device/intrinsics.cuh"
#include "device/kernel.cuh"
#include "device/thrust.cuh"
#include "kernels/contract/prune.hpp"
#include "kernels/cuda/primitives.cuh"
#include "kernels/cuda/select.cuh"
#include "kernels/dispatch.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

using Key = MagnitudeKey<double>;

constexpr int kThreads = 256;
constexpr std::int64_t kLongGroup = 1 << 16;  // scores from here on are not one block's work

std::int64_t blocks_for(std::int64_t n, std::int64_t per_block) { return (n + per_block - 1) / per_block; }

__device__ __forceinline__ std::int64_t global_thread() { return first_element(1); }

// grid: (elements / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: reads x once, writes scores once
template <class T>
__global__ __launch_bounds__(kThreads) void element_scores_kernel(Score score, std::int64_t n, std::int64_t cols,
                                                                  Global<const T> x, Global<const double> weights,
                                                                  std::uint64_t seed, Global<double> scores) {
  const std::int64_t i = global_thread();
  if (i >= n) return;
  const double weight = score == Score::weighted ? weights[i % cols] : 1.0;
  scores[i] = score_of<T>(score, x[i], weight, seed, i);
}

// grid: (units * chunks / (kThreads / kNormLanes), rounded up)
// block: kThreads, a half-warp for a chunk of a unit
// shared: none
// requires: parts[unit * chunks + chunk] is the chunk's part at the end. Reads x once
template <class T>
__global__ __launch_bounds__(kThreads) void chunk_norms_kernel(Norm norm, Blocks blocks, std::int64_t chunks,
                                                               Global<const T> x, Global<double> parts) {
  const std::int64_t task = global_thread() / kNormLanes;
  const int lane = static_cast<int>(threadIdx.x) % kNormLanes;
  double sum = 0;
  if (task < blocks.units() * chunks) {
    const Unit unit(blocks, task / chunks);
    const std::int64_t begin = task % chunks * kNormChunk;
    const std::int64_t end = begin + kNormChunk < unit.size() ? begin + kNormChunk : unit.size();
    for (std::int64_t e = begin + lane; e < end; e += kNormLanes) sum = add_to_norm<T>(norm, sum, x[unit.element(e)]);
  }
  for (int distance = kNormLanes / 2; distance > 0; distance /= 2) {
    const double other = __shfl_down_sync(kAllLanes, sum, static_cast<unsigned>(distance));
    sum = join_norms(norm, sum, other);
  }
  if (lane == 0 && task < blocks.units() * chunks) parts[task] = sum;
}

// grid: (units / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: parts as chunk_norms_kernel leaves them; they are overwritten
__global__ __launch_bounds__(kThreads) void finish_norms_kernel(Norm norm, Blocks blocks, std::int64_t chunks,
                                                                Global<double> parts, Global<double> norms) {
  const std::int64_t u = global_thread();
  if (u >= blocks.units()) return;
  const Global<double> part = parts + u * chunks;
  std::int64_t count = (Unit(blocks, u).size() + kNormChunk - 1) / kNormChunk;
  for (; count > 1; count = (count + 1) / 2) {
    for (std::int64_t i = 0; i < count; i += 2) {
      const double a = part[i];
      if (i + 1 < count) {
        const double b = part[i + 1];
        part[i / 2] = join_norms(norm, a, b);
      } else {
        part[i / 2] = a;
      }
    }
  }
  norms[u] = finish_norm(norm, part[0]);
}

struct SelectShared {
  SharedArray<std::uint32_t, kDigits> counts;
  SharedArray<std::int64_t, 2> found;  // the digit, and the keys below it
  BlockScratch<std::int64_t, kThreads> scratch;
};

// grid: one block for a group
// block: kThreads
// shared: 8 KiB of counters
// requires: remove >= 1. Reads the group once for each of six digits and once more; *nan_reached is 0 at the start
__global__ __launch_bounds__(kThreads) void select_group_kernel(std::int64_t size, std::int64_t remove,
                                                                Global<const double> all_scores,
                                                                Global<std::uint8_t> all_keep,
                                                                Global<std::uint32_t> nan_reached) {
  auto& s = shared<SelectShared>();
  const Global<const double> scores = all_scores + static_cast<std::int64_t>(blockIdx.x) * size;
  const Global<std::uint8_t> keep = all_keep + static_cast<std::int64_t>(blockIdx.x) * size;
  Digit<Key> digit;
  std::int64_t below = 0;
  while (!digit.is_whole()) {
    for (int d = static_cast<int>(threadIdx.x); d < kDigits; d += kThreads) s.counts[d] = 0;
    __syncthreads();
    for (std::int64_t i = threadIdx.x; i < size; i += kThreads) {
      const Key key = magnitude_key(static_cast<double>(scores[i]));
      if (digit.matches(key)) atomic_add(s.counts.data(), digit.of(key), 1u);
    }
    __syncthreads();
    // Each thread sums its run of counters; the one in whose run the rank falls finds the digit.
    constexpr int kRun = kDigits / kThreads;
    std::int64_t mine = 0;
    for (int d = 0; d < kRun; ++d) {
      const std::uint32_t count = s.counts[static_cast<int>(threadIdx.x) * kRun + d];
      mine += count;
    }
    const BlockSum<std::int64_t> sum = block_exclusive_sum<kThreads>(mine, s.scratch);
    std::int64_t before = below + sum.before;
    if (before < remove && before + mine >= remove) {
      int d = static_cast<int>(threadIdx.x) * kRun;
      for (;; ++d) {
        const std::uint32_t count = s.counts[d];
        if (before + count >= remove) break;
        before += count;
      }
      s.found[0] = d;
      s.found[1] = before;
    }
    __syncthreads();
    const std::int64_t chosen = s.found[0];
    below = s.found[1];
    digit = digit.next(static_cast<int>(chosen));
    __syncthreads();
  }
  const Key limit = digit.prefix;
  std::int64_t above = 0;
  for (std::int64_t i = threadIdx.x; i < size; i += kThreads) {
    above += magnitude_key(static_cast<double>(scores[i])) > limit ? 1 : 0;
  }
  const std::int64_t stay = size - remove - block_reduce<kThreads>(above, Sum{}, s.scratch);
  std::int64_t tie = 0;  // ties of the tiles before
  for (std::int64_t first = 0; first < size; first += kThreads) {
    const std::int64_t i = first + threadIdx.x;
    const Key key = i < size ? magnitude_key(static_cast<double>(scores[i])) : Key{0};
    const bool tied = i < size && key == limit;
    const BlockSum<std::int64_t> sum = block_exclusive_sum<kThreads>(std::int64_t{tied ? 1 : 0}, s.scratch);
    if (i < size) keep[i] = key > limit || (tied && tie + sum.before < stay) ? 1 : 0;
    tie += sum.total;
  }
  if (threadIdx.x == 0 && limit == kNanKey<double>) atomic_or(nan_reached, 0, 1u);
}

// grid: (n / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: ties before `first_to_go` stay. Reads scores once, writes keep once
__global__ __launch_bounds__(kThreads) void keep_kernel(std::int64_t n, Global<const double> scores, Key limit,
                                                        std::int64_t first_to_go, Global<std::uint8_t> keep) {
  const std::int64_t i = global_thread();
  if (i >= n) return;
  const Key key = magnitude_key(static_cast<double>(scores[i]));
  keep[i] = key > limit || (key == limit && i < first_to_go) ? 1 : 0;
}

/// For Thrust: does the entry tie?
struct Ties {
  const double* scores;
  Key limit;
  __host__ __device__ bool operator()(std::int64_t i) const { return magnitude_key(scores[i]) == limit; }
};

/// One long group. Returns whether a NaN would go.
bool select_long(const double* scores, std::int64_t n, std::int64_t remove, std::uint8_t* keep, const Stream& stream) {
  const Run<double> run{scores, n};
  const Selection<Key> selection = select_key<double>({&run, 1}, n, remove, stream);
  const Key limit = selection.digit.prefix;
  if (limit == kNanKey<double>) return true;
  const std::int64_t stay = selection.below + selection.inside - remove;
  std::int64_t first_to_go = 0;
  if (stay > 0) {
    const Buffer places(static_cast<std::size_t>(selection.inside) * sizeof(std::int64_t), stream);
    auto* const place = static_cast<std::int64_t*>(places.data());
    const thrust::counting_iterator<std::int64_t> first(0);
    thrust::copy_if(thrust_policy(stream), first, first + n, place, Ties{scores, limit});
    copy_bytes(&first_to_go, cpu_device, place + stay, stream.device(), sizeof(first_to_go), stream);
    stream.synchronize();
  }
  launch(stream, {.grid = blocks_for(n, kThreads), .block = kThreads}, &keep_kernel, n, scores, limit, first_to_go,
         keep);
  return false;
}

// grid: (elements / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: out may be x. Reads x once, writes out once
template <class T>
__global__ __launch_bounds__(kThreads) void mask_blocks_kernel(Blocks blocks, Global<const T> x,
                                                               Global<const std::uint8_t> keep, Global<T> out) {
  const std::int64_t i = global_thread();
  if (i >= blocks.rows * blocks.cols) return;
  const T v = x[i];
  out[i] = keep[unit_of(blocks, i)] != 0 ? v : T{};
}

// grid: (groups / kThreads, rounded up)
// block: kThreads, a thread for a group
// shared: none
// requires: x and out aligned to M elements, which lie side by side; out may be x. Reads x once, writes out once
template <int M, class T>
__global__ __launch_bounds__(kThreads) void short_groups_kernel(int n, std::int64_t groups, Global<const T> x,
                                                                Global<T> out) {
  const std::int64_t g = global_thread();
  if (g >= groups) return;
  Vec<T, M> group = load_vec<M>(x, g * M);
  bool goes[M];
  for (int j = 0; j < M; ++j) {
    int ahead = 0;
    for (int k = 0; k < M; ++k) {
      const auto key_j = magnitude_key(group[j]);
      const auto key_k = magnitude_key(group[k]);
      ahead += key_k > key_j || (key_k == key_j && k < j) ? 1 : 0;
    }
    goes[j] = ahead >= n;
  }
  for (int j = 0; j < M; ++j) {
    if (goes[j]) group[j] = T{};
  }
  store_vec<M>(out, g * M, group);
}

// grid: (outer * groups * inner / kThreads, rounded up)
// block: kThreads, a thread for a group
// shared: none
// requires: out may be x. Reads x once, writes out once; neighbours take neighbouring elements where inner > 1
template <class T>
__global__ __launch_bounds__(kThreads) void groups_kernel(int n, int m, std::int64_t outer, std::int64_t size,
                                                          std::int64_t inner, Global<const T> x, Global<T> out) {
  const std::int64_t groups = (size + m - 1) / m;
  const std::int64_t task = global_thread();
  if (task >= outer * groups * inner) return;
  const std::int64_t first = task / inner % groups * m;
  const std::int64_t at = (task / inner / groups * size + first) * inner + task % inner;
  const int count = static_cast<int>(size - first < m ? size - first : m);
  T group[kMaxGroup];
  for (int j = 0; j < count; ++j) group[j] = x[at + j * inner];
  for (int j = 0; j < count; ++j) {
    const auto key_j = magnitude_key(group[j]);
    int ahead = 0;
    for (int k = 0; k < count; ++k) {
      const auto key_k = magnitude_key(group[k]);
      ahead += key_k > key_j || (key_k == key_j && k < j) ? 1 : 0;
    }
    out[at + j * inner] = ahead < n ? group[j] : T{};
  }
}

template <int M, class T>
bool prune_short_groups(const PruneNMArgs& args, const Stream& stream) {
  if constexpr (M * sizeof(T) > 16) {
    return false;
  } else {
    const auto* const x = static_cast<const T*>(args.x);
    auto* const out = static_cast<T*>(args.out);
    if (args.m != M || args.inner != 1 || args.size % M != 0 || !is_aligned<M>(x) || !is_aligned<M>(out)) return false;
    const std::int64_t groups = args.outer * args.size / M;
    launch(stream, {.grid = blocks_for(groups, kThreads), .block = kThreads}, &short_groups_kernel<M, T>, args.n,
           groups, x, out);
    return true;
  }
}

// grid: (n / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: out may be x. Reads x once, writes out once
template <class T>
__global__ __launch_bounds__(kThreads) void threshold_kernel(bool soft, Compute<T> lambda, std::int64_t n,
                                                             Global<const T> x, Global<T> out) {
  const std::int64_t i = global_thread();
  if (i < n) out[i] = threshold_of<T>(soft, x[i], lambda);
}

// grid: (elements / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: out may be x. Reads x once, writes out once
template <class T>
__global__ __launch_bounds__(kThreads) void shrink_blocks_kernel(Blocks blocks, double lambda,
                                                                 Global<const double> norms, Global<const T> x,
                                                                 Global<T> out) {
  const std::int64_t i = global_thread();
  if (i >= blocks.rows * blocks.cols) return;
  out[i] = shrunk<T>(x[i], shrinkage_of(norms[unit_of(blocks, i)], lambda));
}

// grid: (outer * count * inner / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: indices in [0, size). Writes out once
template <class T>
__global__ __launch_bounds__(kThreads) void take_kernel(std::int64_t n, std::int64_t size, std::int64_t inner,
                                                        std::int64_t count, Global<const std::int64_t> indices,
                                                        Global<const T> x, Global<T> out) {
  const std::int64_t i = global_thread();
  if (i >= n) return;
  const std::int64_t from = indices[i / inner % count];
  out[i] = static_cast<T>(x[(i / inner / count * size + from) * inner + i % inner]);
}

}  // namespace

void element_scores(const ElementScoresArgs& args, const Stream& stream) {
  const std::int64_t n = args.rows * args.cols;
  dispatch_any_float("element_scores", args.dtype, [&]<class T>() {
    launch(stream, {.grid = blocks_for(n, kThreads), .block = kThreads}, &element_scores_kernel<T>, args.score, n,
           args.cols, static_cast<const T*>(args.x), args.weights, args.seed, args.scores);
  });
}

void block_norms(const BlockNormsArgs& args, const Stream& stream) {
  const std::int64_t units = args.blocks.units();
  if (units == 0) return;
  const std::int64_t chunks = blocks_for(Unit(args.blocks, 0).size(), kNormChunk);
  const Buffer parts(static_cast<std::size_t>(units * chunks) * sizeof(double), stream);
  auto* const part = static_cast<double*>(parts.data());
  dispatch_any_float("block_norms", args.dtype, [&]<class T>() {
    launch(stream, {.grid = blocks_for(units * chunks, kThreads / kNormLanes), .block = kThreads},
           &chunk_norms_kernel<T>, args.norm, args.blocks, chunks, static_cast<const T*>(args.x), part);
  });
  launch(stream, {.grid = blocks_for(units, kThreads), .block = kThreads}, &finish_norms_kernel, args.norm, args.blocks,
         chunks, part, args.norms);
}

void select_units(const SelectUnitsArgs& args, const Stream& stream) {
  *args.nan_reached = false;
  if (args.groups * args.size == 0) return;
  if (args.remove == 0) {
    launch(stream, {.grid = blocks_for(args.groups * args.size, kThreads), .block = kThreads}, &keep_kernel,
           args.groups * args.size, args.scores, Key{0}, args.groups * args.size, args.keep);
    return;
  }
  if (args.size >= kLongGroup) {
    for (std::int64_t g = 0; g < args.groups && !*args.nan_reached; ++g) {
      const std::int64_t first = g * args.size;
      *args.nan_reached = select_long(args.scores + first, args.size, args.remove, args.keep + first, stream);
    }
    return;
  }
  const Buffer flag(sizeof(std::uint32_t), stream);
  zero_bytes(flag.data(), flag.bytes(), stream);
  launch(stream, {.grid = args.groups, .block = kThreads}, &select_group_kernel, args.size, args.remove, args.scores,
         args.keep, static_cast<std::uint32_t*>(flag.data()));
  std::uint32_t reached = 0;
  copy_bytes(&reached, cpu_device, flag.data(), stream.device(), sizeof(reached), stream);
  stream.synchronize();
  *args.nan_reached = reached != 0;
}

void mask_blocks(const MaskBlocksArgs& args, const Stream& stream) {
  dispatch_any_float("mask_blocks", args.dtype, [&]<class T>() {
    launch(stream, {.grid = blocks_for(args.blocks.rows * args.blocks.cols, kThreads), .block = kThreads},
           &mask_blocks_kernel<T>, args.blocks, static_cast<const T*>(args.x), args.keep, static_cast<T*>(args.out));
  });
}

void prune_n_m(const PruneNMArgs& args, const Stream& stream) {
  dispatch_any_float("prune_n_m", args.dtype, [&]<class T>() {
    if (prune_short_groups<2, T>(args, stream) || prune_short_groups<4, T>(args, stream) ||
        prune_short_groups<8, T>(args, stream)) {
      return;
    }
    const std::int64_t tasks = args.outer * ((args.size + args.m - 1) / args.m) * args.inner;
    launch(stream, {.grid = blocks_for(tasks, kThreads), .block = kThreads}, &groups_kernel<T>, args.n, args.m,
           args.outer, args.size, args.inner, static_cast<const T*>(args.x), static_cast<T*>(args.out));
  });
}

void threshold(const ThresholdArgs& args, const Stream& stream) {
  dispatch_any_float("threshold", args.dtype, [&]<class T>() {
    launch(stream, {.grid = blocks_for(args.n, kThreads), .block = kThreads}, &threshold_kernel<T>, args.soft,
           static_cast<Compute<T>>(args.lambda), args.n, static_cast<const T*>(args.x), static_cast<T*>(args.out));
  });
}

void shrink_blocks(const ShrinkBlocksArgs& args, const Stream& stream) {
  dispatch_any_float("shrink_blocks", args.dtype, [&]<class T>() {
    launch(stream, {.grid = blocks_for(args.blocks.rows * args.blocks.cols, kThreads), .block = kThreads},
           &shrink_blocks_kernel<T>, args.blocks, args.lambda, args.norms, static_cast<const T*>(args.x),
           static_cast<T*>(args.out));
  });
}

void take(const TakeArgs& args, const Stream& stream) {
  const std::int64_t n = args.outer * args.count * args.inner;
  dispatch_any("take", args.dtype, [&]<class T>() {
    launch(stream, {.grid = blocks_for(n, kThreads), .block = kThreads}, &take_kernel<T>, n, args.size, args.inner,
           args.count, args.indices, static_cast<const T*>(args.x), static_cast<T*>(args.out));
  });
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
