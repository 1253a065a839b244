// kernels/cuda/matmul.cu — dense times dense in canonical order: a block for 64 x 64 of C, 4 x 4 of them in a thread.
//
// Tiles of A and B go through shared memory, k running along the tile's rows, so that a thread reads its operands in
// pairs that neighbours share or adjoin. An element of A or B is read from memory once for 64 of C.
#include <algorithm>

#include "device/kernel.cuh"
#include "kernels/contract/matmul.hpp"
#include "kernels/cuda/bias.cuh"
#include "kernels/cuda/vendor.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/products.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

constexpr int kTile = 64;           // rows and columns of C in a block
constexpr int kDepth = 16;          // of k, in a step
constexpr int kStride = kTile + 2;  // of a tile in shared memory: writes along k fall into different banks
constexpr int kThreads = 256;
constexpr std::int64_t kMostTiles = 65535;  // of a grid's second dimension; more are looped over
static_assert(kPiece % kDepth == 0, "a piece ends where a step does");
static_assert(kThreads == (kTile / 4) * (kTile / 4));

template <class A>
struct Tiles {
  SharedArray<A, kDepth * kStride> a;
  SharedArray<A, kDepth * kStride> b;
};

template <class T>
struct MatmulParameters {
  std::int64_t m;
  std::int64_t k;
  std::int64_t n;
  Global<const T> a;     // (m x k)
  Global<const T> b;     // (k x n), or (n x k) where kTransposed
  Global<T> c;           // (m x n)
  Global<const T> bias;  // null: none; n of them
  Epilogue<Compute<T>> epilogue;
};

/// kN elements from p[row · stride + column] on, zeros beyond (rows x columns).
template <int kN, class T>
__device__ __forceinline__ Vec<T, 2> load_pair(const Global<const T>& p, std::int64_t row, std::int64_t rows,
                                               std::int64_t column, std::int64_t columns) {
  Vec<T, 2> pair{};
  if (row >= rows) return pair;
  if constexpr (kN == 2) {
    if (column < columns) pair = load_vec<2>(p, row * columns + column);
  } else {
    for (int q = 0; q < 2; ++q) {
      if (column + q < columns) pair[q] = static_cast<T>(p[row * columns + column + q]);
    }
  }
  return pair;
}

/// Rows of a matrix whose rows run along k: the tile gets them as columns.
template <int kN, class T, class A>
__device__ __forceinline__ void load_along_k(const Global<const T>& p, std::int64_t row0, std::int64_t rows,
                                             std::int64_t k0, std::int64_t k, SharedArray<A, kDepth * kStride>& tile) {
  const int depth = static_cast<int>(threadIdx.x) % (kDepth / 2) * 2;
  for (int row = static_cast<int>(threadIdx.x) / (kDepth / 2); row < kTile; row += kThreads / (kDepth / 2)) {
    const Vec<T, 2> pair = load_pair<kN>(p, row0 + row, rows, k0 + depth, k);
    tile[depth * kStride + row] = widen(pair[0]);
    tile[(depth + 1) * kStride + row] = widen(pair[1]);
  }
}

/// Rows of a matrix whose columns run along k.
template <int kN, class T, class A>
__device__ __forceinline__ void load_across_k(const Global<const T>& p, std::int64_t column0, std::int64_t columns,
                                              std::int64_t k0, std::int64_t k, SharedArray<A, kDepth * kStride>& tile) {
  const int column = static_cast<int>(threadIdx.x) % (kTile / 2) * 2;
  for (int depth = static_cast<int>(threadIdx.x) / (kTile / 2); depth < kDepth; depth += kThreads / (kTile / 2)) {
    const Vec<T, 2> pair = load_pair<kN>(p, k0 + depth, k, column0 + column, columns);
    store_vec<2>(tile.data(), depth * kStride + column, Vec<A, 2>{widen(pair[0]), widen(pair[1])});
  }
}

/// Row or column q of a thread's four: two adjacent, and two adjacent half a tile on.
__device__ __forceinline__ int place(int thread, int q) { return thread * 2 + q % 2 + q / 2 * (kTile / 2); }

/// The four operands at `depth` of a tile that belong to `thread`.
template <class A>
__device__ __forceinline__ void load_four(SharedArray<A, kDepth * kStride>& tile, int depth, int thread, A (&out)[4]) {
  for (int half = 0; half < 2; ++half) {
    const Vec<A, 2> pair = load_vec<2>(tile.data(), depth * kStride + place(thread, half * 2));
    out[half * 2] = pair[0];
    out[half * 2 + 1] = pair[1];
  }
}

// grid: (tiles of 64 rows of C; tiles of 64 columns, at most kMostTiles)
// block: kThreads
// shared: Tiles
// requires: where kN is 2, k and n even and a and b aligned to 2 elements
template <int kN, bool kTransposed, class T>
__global__ __launch_bounds__(kThreads) void matmul_kernel(MatmulParameters<T> p) {
  using A = Compute<T>;
  auto& tiles = shared<Tiles<A>>();
  const int ty = static_cast<int>(threadIdx.x) / (kTile / 4);
  const int tx = static_cast<int>(threadIdx.x) % (kTile / 4);
  const std::int64_t row0 = std::int64_t{blockIdx.x} * kTile;
  for (std::int64_t column0 = std::int64_t{blockIdx.y} * kTile; column0 < p.n;
       column0 += std::int64_t{gridDim.y} * kTile) {
    A total[4][4] = {};
    A piece[4][4] = {};
    for (std::int64_t k0 = 0; k0 < p.k; k0 += kDepth) {
      if (k0 % kPiece == 0) {
        for (int i = 0; i < 4; ++i) {
          for (int j = 0; j < 4; ++j) {
            total[i][j] = total[i][j] + piece[i][j];
            piece[i][j] = 0;
          }
        }
      }
      load_along_k<kN>(p.a, row0, p.m, k0, p.k, tiles.a);
      if constexpr (kTransposed) {
        load_along_k<kN>(p.b, column0, p.n, k0, p.k, tiles.b);
      } else {
        load_across_k<kN>(p.b, column0, p.n, k0, p.k, tiles.b);
      }
      __syncthreads();
      for (int depth = 0; depth < kDepth; ++depth) {
        A a[4];
        A b[4];
        load_four(tiles.a, depth, ty, a);
        load_four(tiles.b, depth, tx, b);
        for (int i = 0; i < 4; ++i) {
          for (int j = 0; j < 4; ++j) piece[i][j] = fma(a[i], b[j], piece[i][j]);
        }
      }
      __syncthreads();
    }
    for (int i = 0; i < 4; ++i) {
      const std::int64_t row = row0 + place(ty, i);
      for (int j = 0; j < 4; ++j) {
        const std::int64_t column = column0 + place(tx, j);
        if (row >= p.m || column >= p.n) continue;
        const bool has_bias = p.bias != nullptr;
        const A bias = has_bias ? widen(static_cast<T>(p.bias[column])) : A{0};
        p.c[row * p.n + column] = narrow<T>(finish(p.epilogue, total[i][j] + piece[i][j], A{0}, has_bias, bias));
      }
    }
  }
}

template <int kN, bool kTransposed, class T>
void run_matmul(const MatmulParameters<T>& p, const Stream& stream) {
  const auto tiles = [](std::int64_t size) { return (size + kTile - 1) / kTile; };
  launch(stream, {.grid = {tiles(p.m), std::min(tiles(p.n), kMostTiles)}, .block = kThreads},
         &matmul_kernel<kN, kTransposed, T>, p);
}

/// The only place with heuristics: pairs where rows of A and B are aligned to them.
template <class T>
void choose(const MatmulArgs& args, const Stream& stream) {
  const auto* a = static_cast<const T*>(args.a);
  const auto* b = static_cast<const T*>(args.b);
  const MatmulParameters<T> p{
      args.m, args.k, args.n, a, b, static_cast<T*>(args.c), static_cast<const T*>(args.bias), {.relu = args.relu}};
  const bool pairs = args.k % 2 == 0 && (args.b_transposed || args.n % 2 == 0) && is_aligned<2>(a) && is_aligned<2>(b);
  if (args.b_transposed) {
    if (pairs) return run_matmul<2, true>(p, stream);
    return run_matmul<1, true>(p, stream);
  }
  if (pairs) return run_matmul<2, false>(p, stream);
  run_matmul<1, false>(p, stream);
}

/// order=fast by cuBLAS, and bias and ReLU afterwards. False where our own kernel is to serve.
bool multiply_by_library(const MatmulArgs& args, const Stream& stream) {
  if (args.order != Order::fast || !takes_bias_afterwards(args.dtype, args.bias, args.relu)) return false;
  if (!cublas_matmul(args, stream)) return false;
  if (args.bias == nullptr && !args.relu) return true;
  dispatch_float("matmul", args.dtype, [&]<class T>() {
    add_bias<T>(args.m, args.n, BiasOf::columns, args.bias, args.relu, args.c, stream);
  });
  return true;
}

}  // namespace

void matmul(const MatmulArgs& args, const Stream& stream) {
  if (multiply_by_library(args, stream)) return;
  dispatch_any_float("matmul", args.dtype, [&]<class T>() { choose<T>(args, stream); });
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
