// kernels/contract/sparsify.hpp — pruning, and between dense and sparse: what each operation is given.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/op.hpp"
#include "kernels/views.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// *result = the number of x[i] != 0 (NaN counts, -0 does not). Host result; returns when it is written.
struct CountNonzeroArgs {
  DType dtype;
  std::int64_t n;
  const void* x;
  std::int64_t* result;
};
SPARSERT_OP(count_nonzero, CountNonzeroArgs);

/// row_offsets[r] = non-zeros of dense (rows x cols) before row r; rows + 1 of them.
struct CsrOffsetsArgs {
  DType dtype;
  std::int64_t rows;
  std::int64_t cols;
  const void* dense;
  DType index;
  void* row_offsets;
};
SPARSERT_OP(csr_offsets, CsrOffsetsArgs);

/// Fills columns and values behind the offsets that `csr_offsets` made.
struct DenseToCsrArgs {
  DType dtype;
  std::int64_t rows;
  std::int64_t cols;
  const void* dense;
  DType index;
  const void* row_offsets;
  void* columns;
  void* values;
};
SPARSERT_OP(dense_to_csr, DenseToCsrArgs);

/// dense (rows x cols) = the matrix, zeros elsewhere.
struct CsrToDenseArgs {
  CsrView a;
  void* dense;
};
SPARSERT_OP(csr_to_dense, CsrToDenseArgs);

/// rows[e] = the row of entry e: the row indices of the same matrix in COO.
struct CsrToCooArgs {
  CsrView a;
  void* rows;
};
SPARSERT_OP(csr_to_coo, CsrToCooArgs);

/// Stable sort by (row, column), and duplicates summed in input order.
/// `columns` and `values` have room for coo.nnz entries; *nnz (host) is how many were written.
struct CooToCsrArgs {
  CooView a;
  void* row_offsets;
  void* columns;
  void* values;
  std::int64_t* nnz;
};
SPARSERT_OP(coo_to_csr, CooToCsrArgs);

/// One tensor of a joint pruning.
struct PruneTensor {
  std::int64_t n;
  const void* x;
  void* out;  // may be x
};

/// out = x with exactly `remove` of all entries, smallest magnitude first, replaced by +0.
/// Tensors count as one, concatenated; ties go from the highest index; NaN ranks above Inf.
/// *nan_reached (host) says that the amount would have reached a NaN. Then what is pruned in place is untouched, and an
/// output of its own is undefined: the caller drops it.
struct PruneMagnitudeArgs {
  DType dtype;
  std::span<const PruneTensor> tensors;
  std::int64_t remove;
  bool* nan_reached;
};
SPARSERT_OP(prune_magnitude, PruneMagnitudeArgs);

}  // namespace sparsert::backend
