// kernels/prune.hpp — what an element scores, how norms add up, what a threshold leaves: on host and device alike.
//
// The order of a norm: the unit's elements, row by row, are cut into chunks of kNormChunk. Within a chunk lane l of 16
// takes elements l, l + 16, ...; lanes meet in a tree (l with l + 8, + 4, + 2, + 1), chunks pairwise (2i with 2i + 1,
// again and again). All of it in float64: a square of a float32 is exact there, and neither over- nor underflows.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/contract/prune.hpp"
#include "kernels/contract/random.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/numerics.hpp"

namespace sparsert::backend {

inline constexpr std::int64_t kNormChunk = 4096;
inline constexpr int kNormLanes = 16;

template <class T>
constexpr double magnitude_of(T x) {
  const double wide = static_cast<double>(widen(x));
  return wide < 0 ? -wide : (wide == 0 ? 0.0 : wide);
}

template <class T>
constexpr double score_of(Score score, T x, double weight, std::uint64_t seed, std::int64_t i) {
  const double magnitude = magnitude_of(x);
  if (score == Score::magnitude || !(magnitude == magnitude)) return magnitude;
  return score == Score::weighted ? magnitude * weight : static_cast<double>(random_number(seed, 0, i));
}

/// Two parts of a norm together.
constexpr double join_norms(Norm norm, double a, double b) {
  if (norm != Norm::max) return a + b;
  if (!(a == a)) return a;
  return !(b <= a) ? b : a;
}

/// One element more of a lane.
template <class T>
constexpr double add_to_norm(Norm norm, double lane, T x) {
  const double magnitude = magnitude_of(x);
  switch (norm) {
    case Norm::l1: return lane + magnitude;
    case Norm::l2:
    case Norm::squares: return std::fma(magnitude, magnitude, lane);
    case Norm::max: return join_norms(norm, lane, magnitude);
  }
  return 0;
}

constexpr double finish_norm(Norm norm, double total) { return norm == Norm::l2 ? std::sqrt(total) : total; }

/// The unit that an element of the matrix is in.
constexpr std::int64_t unit_of(const Blocks& blocks, std::int64_t i) {
  return i / blocks.cols / blocks.block_rows * blocks.across() + i % blocks.cols / blocks.block_cols;
}

/// A unit's place in the matrix.
struct Unit {
  std::int64_t first;  // of its elements
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t stride;

  constexpr Unit(const Blocks& blocks, std::int64_t u)
      : first(0), rows(blocks.block_rows), cols(blocks.block_cols), stride(blocks.cols) {
    const std::int64_t row = u / blocks.across() * blocks.block_rows;
    const std::int64_t col = u % blocks.across() * blocks.block_cols;
    first = row * stride + col;
    if (rows > blocks.rows - row) rows = blocks.rows - row;
    if (cols > blocks.cols - col) cols = blocks.cols - col;
  }

  constexpr std::int64_t size() const { return rows * cols; }
  constexpr std::int64_t element(std::int64_t e) const { return first + e / cols * stride + e % cols; }
};

/// `lambda` is in the computing type already; one subtraction.
template <class T>
constexpr T threshold_of(bool soft, T x, Compute<T> lambda) {
  const Compute<T> wide = widen(x);
  if (wide <= lambda && wide >= -lambda) return T{};
  if (!soft || !(wide == wide)) return x;
  return narrow<T>(wide > 0 ? wide - lambda : wide + lambda);
}

/// What a unit is multiplied by: 0 means that it goes.
constexpr double shrinkage_of(double norm, double lambda) { return norm <= lambda ? 0.0 : 1.0 - lambda / norm; }

/// Multiplied in float64, rounded once.
template <class T>
constexpr T shrunk(T x, double factor) {
  return factor == 0 ? T{} : convert<T>(static_cast<double>(widen(x)) * factor);
}

}  // namespace sparsert::backend
