// runtime/ops/spmm_transposed.cpp — the transpose of a sparse matrix times dense, dense times sparse: check, allocate,
// dispatch.
#include "kernels/contract/spmm_transposed.hpp"

#include "kernels/dispatch.hpp"
#include "runtime/ops/matrix.hpp"
#include "runtime/ops/memory.hpp"
#include "runtime/view.hpp"
#include "sparsert/linalg.hpp"

namespace sparsert {

Tensor spmm_transposed(const Csr& a, const Tensor& b, const Stream& stream) try {
  check_floating("spmm_transposed", "a", a.dtype());
  check_operand("spmm_transposed", "b", b, a);
  check_rank("spmm_transposed", "b", b, 2);
  require(b.size(0) == a.rows(), [&] {
    return "spmm_transposed: b has " + std::to_string(b.size(0)) +
           " rows, expected a.rows() = " + std::to_string(a.rows());
  });
  const Stream order = stream.on(a.device());
  Tensor c = Tensor::empty({a.cols(), b.size(1)}, a.dtype(), a.device(), order);
  backend::run(backend::spmm_transposed, {view_of(a), b.size(1), b.data(), c.mutable_data(), false}, order);
  return c;
} catch (...) {
  rethrow_named("spmm_transposed", {&a, &b});
}

Tensor matmul(const Tensor& x, const Csr& a, const Stream& stream) try {
  check_floating("matmul", "y", a.dtype());
  check_operand("matmul", "x", x, a);
  check_rank("matmul", "x", x, 2);
  require(x.size(1) == a.rows(), [&] {
    return "matmul: y has " + std::to_string(a.rows()) + " rows, expected x's columns, " + std::to_string(x.size(1));
  });
  const Stream order = stream.on(a.device());
  Tensor c = Tensor::empty({x.size(0), a.cols()}, a.dtype(), a.device(), order);
  backend::run(backend::spmm_transposed, {view_of(a), x.size(0), x.data(), c.mutable_data(), true}, order);
  return c;
} catch (...) {
  rethrow_named("matmul", {&x, &a});
}

}  // namespace sparsert
