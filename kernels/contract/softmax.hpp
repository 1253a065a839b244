// kernels/contract/softmax.hpp — softmax over the entries of each row of a sparse matrix.
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "kernels/views.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// out[e] = exp(a[e] - max) / sum, over the entries of e's row: entry t of a row goes to lane t mod 16, the lanes are
/// added as one tree. out may be a's values.
struct SparseSoftmaxArgs {
  CsrView a;
  void* out;
};
SPARSERT_OP(sparse_softmax, SparseSoftmaxArgs);

/// out[e] = y[e] · (grad[e] - sum of grad · y over the row), the sum as above; y is the result of sparse_softmax.
struct SparseSoftmaxBackwardArgs {
  CsrView y;
  const void* grad;
  void* out;
};
SPARSERT_OP(sparse_softmax_backward, SparseSoftmaxBackwardArgs);

}  // namespace sparsert::backend
