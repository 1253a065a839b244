// kernels/contract/bsr.hpp — block-sparse times dense: what the operation is given.
#pragma once

#include <cstdint>

#include "kernels/contract/formats.hpp"
#include "kernels/op.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// C = act(alpha · A·B + beta · C + bias), A in blocks (m x k), B (k x n), C (m x n); bias per row of A. The canonical
/// order of spmm with every element of a block as an entry. B and C are row-major, or both column-major.
struct BsrSpmmArgs {
  BsrView a;
  std::int64_t n;
  const void* b;
  void* c;
  bool column_major;
  const void* bias;  // null: none
  bool relu;
  double alpha;
  double beta;  // 0: C is not read
};
SPARSERT_OP(bsr_spmm, BsrSpmmArgs);

}  // namespace sparsert::backend
