// kernels/contract/reduce.hpp — sums over the rows of a sparse matrix, and the scaling of rows and columns.
#pragma once

#include "kernels/op.hpp"
#include "kernels/views.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// out[r] = the sum of row r's values, left to right from +0.
struct RowSumsArgs {
  CsrView a;
  void* out;  // rows of them
};
SPARSERT_OP(row_sums, RowSumsArgs);

/// out[e] = a[e] · scale[row of e], or · scale[column of e]; rounded once. out may be a's values.
struct ScaleArgs {
  CsrView a;
  const void* scale;
  bool by_column;
  void* out;
};
SPARSERT_OP(scale, ScaleArgs);

}  // namespace sparsert::backend
