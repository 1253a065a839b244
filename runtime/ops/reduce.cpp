// runtime/ops/reduce.cpp — sums over rows and columns of a sparse matrix, and their scaling: check, allocate, dispatch.
#include "kernels/contract/reduce.hpp"

#include "kernels/dispatch.hpp"
#include "runtime/ops/matrix.hpp"
#include "runtime/ops/memory.hpp"
#include "runtime/view.hpp"
#include "sparsert/linalg.hpp"

namespace sparsert {
namespace {

Csr scaled(const char* op, const Csr& a, const Tensor& factors, bool by_column, const Stream& stream) try {
  check_operand(op, "factors", factors, a, {by_column ? a.cols() : a.rows()});
  const Stream order = stream.on(a.device());
  Tensor values = Tensor::empty({a.nnz()}, a.dtype(), a.device(), order);
  backend::run(backend::scale, {view_of(a), factors.data(), by_column, values.mutable_data()}, order);
  return a.with_values(values);
} catch (...) {
  rethrow_named(op, {&a, &factors});
}

}  // namespace

Tensor row_sums(const Csr& a, const Stream& stream) try {
  const Stream order = stream.on(a.device());
  Tensor out = Tensor::empty({a.rows()}, a.dtype(), a.device(), order);
  backend::run(backend::row_sums, {view_of(a), out.mutable_data()}, order);
  return out;
} catch (...) {
  rethrow_named("row_sums", {&a});
}

Tensor column_sums(const Csr& a, const Stream& stream) { return row_sums(transpose(a, stream), stream); }

Csr scale_rows(const Csr& a, const Tensor& factors, const Stream& stream) {
  return scaled("scale_rows", a, factors, false, stream);
}

Csr scale_columns(const Csr& a, const Tensor& factors, const Stream& stream) {
  return scaled("scale_columns", a, factors, true, stream);
}

}  // namespace sparsert
