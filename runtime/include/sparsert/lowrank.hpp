// sparsert/lowrank.hpp — a matrix as the product of two thin ones, by singular values.
//
// LAPACK does the work: the library looks for one when it is first asked, in the file that SPARSERT_LAPACK names, then
// as liblapack, OpenBLAS or MKL. Matrices on other devices are brought to the CPU, and the factors sent back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sparsert/sparse.hpp"
#include "sparsert/tensor.hpp"

namespace sparsert {

/// x ≈ u · v, x (m, n).
struct LowRank {
  Tensor u;                ///< (m, rank), the left singular vectors times the singular values
  Tensor v;                ///< (rank, n), the right singular vectors
  Tensor singular_values;  ///< (rank), descending, float64, on the CPU
  double error = 0;  ///< ‖x − u·v‖ / ‖x‖ (Frobenius) of the factors as they are stored; 0 for a zero matrix

  std::int64_t rank() const noexcept { return v.size(0); }
  std::int64_t nbytes() const noexcept { return u.nbytes() + v.nbytes(); }
  /// The highest rank at which the factors take fewer bytes, and a product with them fewer operations, than x.
  std::int64_t break_even_rank() const noexcept;
};

enum class SvdMethod : std::uint8_t {
  full,        ///< all singular values (gesdd), cut
  randomized,  ///< a random sketch of the range, two power iterations (Halko and others 2011): for small ranks
};

struct LowRankOptions {
  std::optional<std::int64_t> rank = {};  ///< 0 to min(m, n); this or energy
  std::optional<double> energy = {};      ///< the smallest rank with this share of Σ s², 0 to 1; full only
  SvdMethod method = SvdMethod::full;
  std::uint64_t seed = 0;  ///< of the sketch
};

/// Throws `Error{invalid_argument}` unless x is a finite matrix and exactly one of rank and energy is given;
/// `Error{not_supported}` for an integer dtype, or where no LAPACK is found.
LowRank lowrank(const Tensor& x, const LowRankOptions& options);

/// x ≈ u · v + sparse.
struct LowRankSparse {
  LowRank low_rank;
  Csr sparse;
  double error = 0;  ///< ‖x − u·v − sparse‖ / ‖x‖
  std::int64_t nbytes() const noexcept { return low_rank.nbytes() + sparse.nbytes(); }
};

/// The remainder's entries of largest magnitude, nearbyint((1 − amount) · numel) of them, beside a low rank. More
/// `iterations` fit each to what the other leaves (Zhou and Tao 2011).
LowRankSparse lowrank_sparse(const Tensor& x, const LowRankOptions& options, double amount, int iterations = 1);

/// The LAPACK that is used, and where it was found; empty where there is none.
std::string lapack_library();

}  // namespace sparsert
