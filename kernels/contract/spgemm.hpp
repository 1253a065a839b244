// kernels/contract/spgemm.hpp — sparse times sparse, sparse plus sparse: first the pattern's offsets, then its entries.
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "kernels/views.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// row_offsets of A·B: int64 always, so that a count too large for the index type is seen and not wrapped.
struct SpgemmOffsetsArgs {
  CsrView a;
  CsrView b;
  std::int64_t* row_offsets;  // a.rows + 1
};
SPARSERT_OP(spgemm_offsets, SpgemmOffsetsArgs);

/// The entries of A·B behind those offsets, in the canonical order of spmm.
struct SpgemmArgs {
  CsrView a;
  CsrView b;
  const std::int64_t* row_offsets;
  void* columns;
  void* values;
};
SPARSERT_OP(spgemm, SpgemmArgs);

/// row_offsets of A + B, as for A·B.
struct SparseAddOffsetsArgs {
  CsrView a;
  CsrView b;
  std::int64_t* row_offsets;
};
SPARSERT_OP(sparse_add_offsets, SparseAddOffsetsArgs);

/// The entries of A + B behind those offsets: an entry of one is copied, of both added; integers wrap.
struct SparseAddArgs {
  CsrView a;
  CsrView b;
  const std::int64_t* row_offsets;
  void* columns;
  void* values;
};
SPARSERT_OP(sparse_add, SparseAddArgs);

}  // namespace sparsert::backend
