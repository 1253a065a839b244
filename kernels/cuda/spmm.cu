// kernels/cuda/spmm.cu — CSR times dense: a few lanes for a row of A, each with a vector of columns of C.
//
// The lanes of a row stage its entries in shared memory, a batch at a time, and every lane then walks the batch: an
// entry's row of B is read in whole vectors, adjacent lanes side by side (Gale et al., "Sparse GPU kernels for deep
// learning", 2020). A plan sorts the rows by length, so that rows that run side by side take equally long. Pieces and
// totals of the canonical order stay in registers. B is read once per entry and tile, C written once.
// A column-major product goes by way of a transposed B and transposed sums.
#include <thrust/functional.h>
#include <thrust/sort.h>

#include <algorithm>

#include "device/intrinsics.cuh"
#include "device/kernel.cuh"
#include "device/thrust.cuh"
#include "kernels/contract/spmm.hpp"
#include "kernels/cuda/bias.cuh"
#include "kernels/cuda/vendor.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/products.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

constexpr int kThreads = 128;
constexpr int kLeastBlocks = 8;  // on a multiprocessor: leaves 64 registers a thread, so that none is spilled
constexpr int kTransposeTile = 32;
constexpr std::int64_t kMostTiles = 65535;  // of a grid's second dimension; more are looped over

/// kLanes lanes walk one row of A, kN columns of C in each.
template <int kLanes_, int kN_>
struct SpmmConfig {
  static constexpr int kLanes = kLanes_;
  static constexpr int kN = kN_;
  static constexpr int kRows = kThreads / kLanes;  // of A, in a block
  static constexpr int kColumns = kLanes * kN;     // of C, in a tile
  static constexpr int kBatch = kLanes;            // entries staged at a time
  static_assert(32 % kLanes == 0 && kThreads % 32 == 0, "the lanes of a row are of one warp");
};

template <class Config, class A, class I>
struct Staged {
  SharedArray<A, Config::kRows * Config::kBatch> values;
  SharedArray<I, Config::kRows * Config::kBatch> columns;
};

template <class T, class I>
struct SpmmParameters {
  std::int64_t m;
  std::int64_t n;
  Global<const I> row_order;  // null: rows as they come
  Global<const I> row_offsets;
  Global<const I> columns;
  Global<const T> values;
  Global<const T> b;     // (k x n)
  Global<T> c;           // (m x n)
  Global<const T> bias;  // null: none; m of them
  Epilogue<Compute<T>> epilogue;
};

/// Where a lane is: its row of A, and the lanes that share it.
template <class Config>
struct Place {
  int slot = static_cast<int>(threadIdx.x) / Config::kLanes;
  int lane = static_cast<int>(threadIdx.x) % Config::kLanes;
  unsigned mask =
      Config::kLanes == 32 ? 0xffffffffu : ((1u << (Config::kLanes % 32)) - 1u) << (slot * Config::kLanes % 32);
};

/// The sums of one row of A and kN columns from j on. The lanes of the row call it together.
template <class Config, class T, class I>
__device__ __forceinline__ void sum_row(const SpmmParameters<T, I>& p, const Place<Config>& place,
                                        Staged<Config, Compute<T>, I>& staged, std::int64_t row, std::int64_t j,
                                        Compute<T> (&total)[Config::kN]) {
  using A = Compute<T>;
  constexpr int kN = Config::kN;
  A piece[kN];
  for (int v = 0; v < kN; ++v) piece[v] = total[v] = 0;
  std::int64_t piece_end = kPiece;
  const int stage = place.slot * Config::kBatch;
  const std::int64_t first = p.row_offsets[row];
  const std::int64_t last = p.row_offsets[row + 1];
  for (std::int64_t e = first; e < last; e += Config::kBatch) {
    __syncwarp(place.mask);  // the batch before has been read
    if (e + place.lane < last) {
      staged.values[stage + place.lane] = widen(static_cast<T>(p.values[e + place.lane]));
      staged.columns[stage + place.lane] = static_cast<I>(p.columns[e + place.lane]);
    }
    __syncwarp(place.mask);
    const int count = static_cast<int>(min(last - e, std::int64_t{Config::kBatch}));
    if (j >= p.n) continue;
    for (int s = 0; s < count; ++s) {
      const std::int64_t k = static_cast<I>(staged.columns[stage + s]);
      const A value = staged.values[stage + s];
      if (k >= piece_end) {
        for (int v = 0; v < kN; ++v) {
          total[v] = total[v] + piece[v];
          piece[v] = 0;
        }
        piece_end = (k / kPiece + 1) * kPiece;
      }
      const Vec<T, kN> x = load_vec<kN>(p.b, k * p.n + j);
      for (int v = 0; v < kN; ++v) piece[v] = fma(value, widen(x[v]), piece[v]);
    }
  }
  for (int v = 0; v < kN; ++v) total[v] = total[v] + piece[v];
}

// grid: (m / kRows, rounded up; tiles of kColumns columns, at most kMostTiles)
// block: kThreads, kLanes of them for a row
// shared: Staged
// requires: n a multiple of kN; b and c aligned to kN elements; row_order a permutation of the rows, or null
template <class Config, class T, class I>
__global__ __launch_bounds__(kThreads, kLeastBlocks) void spmm_kernel(SpmmParameters<T, I> p) {
  using A = Compute<T>;
  constexpr int kN = Config::kN;
  auto& staged = shared<Staged<Config, A, I>>();
  const Place<Config> place;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * Config::kRows + place.slot;
  if (at >= p.m) return;  // all lanes of the row together; the others do not wait for them
  const std::int64_t row = p.row_order != nullptr ? static_cast<I>(p.row_order[at]) : static_cast<I>(at);
  const bool has_bias = p.bias != nullptr;
  const A bias = has_bias ? widen(static_cast<T>(p.bias[row])) : A{0};
  for (std::int64_t tile = blockIdx.y; tile * Config::kColumns < p.n; tile += gridDim.y) {
    const std::int64_t j = tile * Config::kColumns + place.lane * kN;
    A total[kN] = {};
    if (p.epilogue.alpha != 0) sum_row<Config>(p, place, staged, row, j, total);
    if (j >= p.n) continue;
    Vec<T, kN> old{};
    if (p.epilogue.beta != 0) old = load_vec<kN>(p.c, row * p.n + j);
    Vec<T, kN> result;
    for (int v = 0; v < kN; ++v) {
      result[v] = narrow<T>(finish(p.epilogue, total[v], widen(old[v]), has_bias, bias));
    }
    store_vec<kN>(p.c, row * p.n + j, result);
  }
}

template <class T>
struct TransposeTile {
  SharedArray<T, kTransposeTile*(kTransposeTile + 1)> elements;  // one more: columns fall into different banks
};

// grid: tiles of 32 x 32 of the source, first dimension over its columns
// block: (32, 8)
// shared: TransposeTile
// requires: nothing
template <class T>
__global__ __launch_bounds__(256) void transpose_kernel(std::int64_t rows, std::int64_t cols, Global<const T> from,
                                                        Global<T> to) {
  auto& tile = shared<TransposeTile<T>>().elements;
  for (std::int64_t row0 = std::int64_t{blockIdx.y} * kTransposeTile; row0 < rows;
       row0 += std::int64_t{gridDim.y} * kTransposeTile) {
    const std::int64_t col0 = std::int64_t{blockIdx.x} * kTransposeTile;
    const int x = static_cast<int>(threadIdx.x);
    for (int y = static_cast<int>(threadIdx.y); y < kTransposeTile; y += 8) {
      if (row0 + y < rows && col0 + x < cols) {
        tile[y * (kTransposeTile + 1) + x] = static_cast<T>(from[(row0 + y) * cols + col0 + x]);
      }
    }
    __syncthreads();
    for (int y = static_cast<int>(threadIdx.y); y < kTransposeTile; y += 8) {
      if (col0 + y < cols && row0 + x < rows) {
        to[(col0 + y) * rows + row0 + x] = static_cast<T>(tile[x * (kTransposeTile + 1) + y]);
      }
    }
    __syncthreads();
  }
}

// grid: (m / 256, rounded up)
// block: 256
// shared: none
// requires: nothing
template <class I>
__global__ __launch_bounds__(256) void row_lengths_kernel(std::int64_t m, Global<const I> row_offsets,
                                                          Global<I> lengths, Global<I> rows) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= m) return;
  lengths[i] = static_cast<I>(static_cast<I>(row_offsets[i + 1]) - static_cast<I>(row_offsets[i]));
  rows[i] = static_cast<I>(i);
}

/// The rows by falling length; the pattern alone decides it, so new values change nothing.
struct RowOrder final : SpmmPlan {
  RowOrder(std::int64_t rows, std::size_t index_bytes, const Stream& stream)
      : order(static_cast<std::size_t>(rows) * index_bytes, stream) {}
  void update_values(const void*, const Stream&) override {}
  std::int64_t bytes() const noexcept override { return static_cast<std::int64_t>(order.bytes()); }

  Buffer order;
};

template <class Config, class T, class I>
void run_spmm(const SpmmParameters<T, I>& p, const Stream& stream) {
  const std::int64_t tiles = (p.n + Config::kColumns - 1) / Config::kColumns;
  launch(stream, {.grid = {(p.m + Config::kRows - 1) / Config::kRows, std::min(tiles, kMostTiles)}, .block = kThreads},
         &spmm_kernel<Config, T, I>, p);
}

/// The unsigned integer of as many bytes: what a copy moves.
template <class T>
using Bits =
    std::conditional_t<sizeof(T) == 2, std::uint16_t, std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>;

/// to (cols x rows) = from (rows x cols), transposed.
template <class T>
void run_transpose(std::int64_t rows, std::int64_t cols, const void* from, void* to, const Stream& stream) {
  const auto tiles = [](std::int64_t size) { return (size + kTransposeTile - 1) / kTransposeTile; };
  launch(stream, {.grid = {tiles(cols), std::min(tiles(rows), kMostTiles)}, .block = {kTransposeTile, 8}},
         &transpose_kernel<Bits<T>>, rows, cols, static_cast<const Bits<T>*>(from), static_cast<Bits<T>*>(to));
}

/// The only place with heuristics: whole vectors where the rows of B and C are aligned to them, and no more lanes than
/// have columns.
template <class T, class I>
void choose(const SpmmParameters<T, I>& p, const T* b, const T* c, const Stream& stream) {
  constexpr int kN = std::min<int>(4, 16 / sizeof(T));
  if (p.n % kN == 0 && is_aligned<kN>(b) && is_aligned<kN>(c)) {
    if (p.n <= 8 * kN) return run_spmm<SpmmConfig<8, kN>>(p, stream);
    return run_spmm<SpmmConfig<32, kN>>(p, stream);
  }
  if (p.n <= 8) return run_spmm<SpmmConfig<8, 1>>(p, stream);
  run_spmm<SpmmConfig<32, 1>>(p, stream);
}

template <class T, class I>
void multiply(const SpmmArgs& args, const Stream& stream) {
  const std::int64_t m = args.a.rows;
  const std::int64_t k = args.a.cols;
  const std::int64_t n = args.n;
  const auto* b = static_cast<const T*>(args.b);
  auto* c = static_cast<T*>(args.c);
  const auto* plan = static_cast<const RowOrder*>(args.plan);
  const bool transposed = args.column_major && n > 1 && m > 0;
  Buffer b_rows;
  Buffer c_rows;
  if (transposed) {
    c_rows = Buffer(static_cast<std::size_t>(m * n) * sizeof(T), stream);
    if (args.alpha != 0) {
      b_rows = Buffer(static_cast<std::size_t>(k * n) * sizeof(T), stream);
      run_transpose<T>(n, k, b, b_rows.data(), stream);
    }
    if (args.beta != 0) run_transpose<T>(n, m, c, c_rows.data(), stream);
    b = static_cast<const T*>(b_rows.data());
    c = static_cast<T*>(c_rows.data());
  }
  using A = Compute<T>;
  const SpmmParameters<T, I> p{m,
                               n,
                               plan != nullptr ? static_cast<const I*>(plan->order.data()) : nullptr,
                               static_cast<const I*>(args.a.row_offsets),
                               static_cast<const I*>(args.a.columns),
                               static_cast<const T*>(args.a.values),
                               b,
                               c,
                               static_cast<const T*>(args.bias),
                               {static_cast<A>(args.alpha), static_cast<A>(args.beta), args.relu}};
  choose(p, b, static_cast<const T*>(c), stream);
  if (transposed) run_transpose<T>(m, n, c, args.c, stream);
}

/// order=fast by cuSPARSE, and bias and ReLU afterwards. False where our own kernel is to serve.
bool multiply_by_library(const SpmmArgs& args, const Stream& stream) {
  if (args.order != Order::fast || !takes_bias_afterwards(args.a.dtype, args.bias, args.relu)) return false;
  if (!cusparse_spmm(args, stream)) return false;
  if (args.bias == nullptr && !args.relu) return true;
  // Bias is of A's rows, which a column-major C has as the columns of what lies in memory.
  const std::int64_t m = args.a.rows;
  dispatch_float("spmm", args.a.dtype, [&]<class T>() {
    if (args.column_major) add_bias<T>(args.n, m, BiasOf::columns, args.bias, args.relu, args.c, stream);
    else add_bias<T>(m, args.n, BiasOf::rows, args.bias, args.relu, args.c, stream);
  });
  return true;
}

}  // namespace

void spmm_plan(const SpmmPlanArgs& args, const Stream& stream) {
  args.plan->reset();
  const std::int64_t m = args.a.rows;
  if (m == 0) return;
  dispatch_index("spmm_plan", args.a.index, [&]<class I>() {
    auto plan = std::make_unique<RowOrder>(m, sizeof(I), stream);
    const Buffer lengths(static_cast<std::size_t>(m) * sizeof(I), stream);
    auto* const length = static_cast<I*>(lengths.data());
    auto* const order = static_cast<I*>(plan->order.data());
    launch(stream, {.grid = (m + 255) / 256, .block = 256}, &row_lengths_kernel<I>, m,
           static_cast<const I*>(args.a.row_offsets), length, order);
    thrust::stable_sort_by_key(thrust_policy(stream), length, length + m, order, thrust::greater<I>());
    *args.plan = std::move(plan);
  });
}

void spmm(const SpmmArgs& args, const Stream& stream) {
  if (multiply_by_library(args, stream)) return;
  dispatch_any_float("spmm", args.a.dtype, [&]<class T>() {
    dispatch_index("spmm", args.a.index, [&]<class I>() { multiply<T, I>(args, stream); });
  });
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
