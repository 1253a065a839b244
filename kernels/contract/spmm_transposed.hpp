// kernels/contract/spmm_transposed.hpp — the transpose of a sparse matrix times dense, without making it.
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "kernels/views.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// C = Aᵀ·B, A sparse (k x m), B (k x n), C (m x n), in the canonical order of spmm with the transposed matrix.
/// B and C are row-major, or both column-major: then it is Cᵀ = Bᵀ·A, dense times sparse.
struct SpmmTransposedArgs {
  CsrView a;
  std::int64_t n;
  const void* b;
  void* c;
  bool column_major;
};
SPARSERT_OP(spmm_transposed, SpmmTransposedArgs);

}  // namespace sparsert::backend
