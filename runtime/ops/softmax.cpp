// runtime/ops/softmax.cpp — softmax over the rows of a sparse matrix: check, allocate, dispatch.
#include "kernels/contract/softmax.hpp"

#include "kernels/dispatch.hpp"
#include "runtime/ops/matrix.hpp"
#include "runtime/ops/memory.hpp"
#include "runtime/view.hpp"
#include "sparsert/linalg.hpp"

namespace sparsert {

Csr sparse_softmax(const Csr& a, const Stream& stream) try {
  check_floating("sparse_softmax", "a", a.dtype());
  const Stream order = stream.on(a.device());
  Tensor values = Tensor::empty({a.nnz()}, a.dtype(), a.device(), order);
  backend::run(backend::sparse_softmax, {view_of(a), values.mutable_data()}, order);
  return a.with_values(values);
} catch (...) {
  rethrow_named("sparse_softmax", {&a});
}

Csr sparse_softmax_backward(const Tensor& grad_values, const Csr& out, const Stream& stream) try {
  check_floating("sparse_softmax_backward", "out", out.dtype());
  check_operand("sparse_softmax_backward", "grad", grad_values, out, {out.nnz()});
  const Stream order = stream.on(out.device());
  Tensor values = Tensor::empty({out.nnz()}, out.dtype(), out.device(), order);
  backend::run(backend::sparse_softmax_backward, {view_of(out), grad_values.data(), values.mutable_data()}, order);
  return out.with_values(values);
} catch (...) {
  rethrow_named("sparse_softmax_backward", {&grad_values, &out});
}

}  // namespace sparsert
