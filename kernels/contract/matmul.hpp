// kernels/contract/matmul.hpp — dense times dense: what each operation is given.
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/order.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// C = act(A·B + bias), all dense, A (m x k), B (k x n), C (m x n) row-major; the canonical order of spmm.
/// With `b_transposed`, B is given as (n x k) and bias is per column of C: the layer y = x·Wᵀ + bias.
struct MatmulArgs {
  DType dtype;
  std::int64_t m;
  std::int64_t k;
  std::int64_t n;
  const void* a;
  const void* b;
  bool b_transposed;
  void* c;
  const void* bias;  // null: none; n of them
  bool relu;
  Order order;
};
SPARSERT_OP(matmul, MatmulArgs);

}  // namespace sparsert::backend
