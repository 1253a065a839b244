// kernels/contract/topk.hpp — the largest of each row: what each operation is given.
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// Per row: the k entries of largest magnitude, descending, ties to the lower index, NaN above Inf.
struct TopkArgs {
  DType dtype;
  std::int64_t rows;
  std::int64_t n;         // entries of a row
  std::int64_t k;         // <= n
  const void* x;          // rows x n
  void* values;           // rows x k
  std::int64_t* indices;  // rows x k, within the row
};
SPARSERT_OP(topk, TopkArgs);

}  // namespace sparsert::backend
