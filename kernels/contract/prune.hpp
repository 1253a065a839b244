// kernels/contract/prune.hpp — which parameters go, by a score or by a pattern: what each operation is given.
//
// A matrix (rows x cols) is cut into units of block_rows x block_cols, the last of a row or column being smaller; units
// are numbered row by row. A unit is one element, a block, or a slice of a tensor seen as a matrix. Magnitude pruning,
// which needs no scores in memory, is the sparsify family's.
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// A matrix and how it is cut.
struct Blocks {
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t block_rows;
  std::int64_t block_cols;

  constexpr std::int64_t down() const { return (rows + block_rows - 1) / block_rows; }
  constexpr std::int64_t across() const { return (cols + block_cols - 1) / block_cols; }
  constexpr std::int64_t units() const { return down() * across(); }
};

/// What an element is ranked by: |x|; |x| times its column's weight; a number drawn for (seed, place).
enum class Score : std::uint8_t { magnitude, weighted, random };

/// scores[i] of each element, in float64. A NaN in x scores NaN.
struct ElementScoresArgs {
  DType dtype;
  Score score;
  std::int64_t rows;
  std::int64_t cols;
  const void* x;
  const double* weights;  // cols; weighted only
  std::uint64_t seed;     // random only
  double* scores;         // rows x cols
};
SPARSERT_OP(element_scores, ElementScoresArgs);

/// `squares` is what `l2` is the root of.
enum class Norm : std::uint8_t { l1, l2, max, squares };

/// norms[u] of each unit, summed in float64 in the order of kernels/prune.hpp. A NaN makes its unit's norm NaN.
struct BlockNormsArgs {
  DType dtype;
  Norm norm;
  Blocks blocks;
  const void* x;
  double* norms;
};
SPARSERT_OP(block_norms, BlockNormsArgs);

/// keep[u] = 0 for exactly `remove` units of each group, lowest score first, 1 for the others. Groups lie one after the
/// other; ties go from the highest index; NaN ranks above Inf; scores are not negative.
/// *nan_reached (host) says that the amount would have reached a NaN; `keep` then means nothing.
struct SelectUnitsArgs {
  std::int64_t groups;
  std::int64_t size;    // of a group
  std::int64_t remove;  // <= size
  const double* scores;
  std::uint8_t* keep;
  bool* nan_reached;
};
SPARSERT_OP(select_units, SelectUnitsArgs);

/// out = x, +0 where the element's unit is not kept; out may be x.
struct MaskBlocksArgs {
  DType dtype;
  Blocks blocks;
  const void* x;
  const std::uint8_t* keep;
  void* out;
};
SPARSERT_OP(mask_blocks, MaskBlocksArgs);

inline constexpr int kMaxGroup = 32;

/// Of each m elements along the middle of (outer, size, inner) the n largest magnitudes stay, ties to the lower index,
/// the others become +0. Where m does not divide size, the last group is smaller. out may be x.
struct PruneNMArgs {
  DType dtype;
  int n;
  int m;  // 1 to kMaxGroup
  std::int64_t outer;
  std::int64_t size;
  std::int64_t inner;
  const void* x;
  void* out;
};
SPARSERT_OP(prune_n_m, PruneNMArgs);

/// +0 where |x| <= lambda; else x (hard), or x moved by lambda toward zero (soft). NaN stays; out may be x.
struct ThresholdArgs {
  DType dtype;
  bool soft;
  double lambda;  // >= 0
  std::int64_t n;
  const void* x;
  void* out;
};
SPARSERT_OP(threshold, ThresholdArgs);

/// out = x · (1 − lambda / norm of its unit), +0 where the norm is at most lambda; out may be x.
struct ShrinkBlocksArgs {
  DType dtype;
  double lambda;  // >= 0
  Blocks blocks;
  const double* norms;
  const void* x;
  void* out;
};
SPARSERT_OP(shrink_blocks, ShrinkBlocksArgs);

/// out (outer, count, inner) = x (outer, size, inner) at `indices` of its middle.
struct TakeArgs {
  DType dtype;
  std::int64_t outer;
  std::int64_t size;
  std::int64_t inner;
  std::int64_t count;
  const std::int64_t* indices;
  const void* x;
  void* out;
};
SPARSERT_OP(take, TakeArgs);

}  // namespace sparsert::backend
