// runtime/ops/sddmm.cpp — dense times dense on a pattern, and the gradients that are made of it: check, allocate,
// dispatch.
#include "kernels/contract/sddmm.hpp"

#include <vector>

#include "kernels/dispatch.hpp"
#include "runtime/ops/matrix.hpp"
#include "runtime/ops/memory.hpp"
#include "runtime/view.hpp"
#include "sparsert/linalg.hpp"

namespace sparsert {
namespace {

/// The pattern with an operand's dtype, for a kernel that does not read its values.
backend::CsrView pattern_of(const Csr& a, DType dtype) {
  backend::CsrView view = view_of(a);
  view.dtype = dtype;
  view.values = nullptr;
  return view;
}

Tensor sampled(const Csr& pattern, const Tensor& x, const Tensor& y, std::int64_t k, bool transposed,
               const Stream& order) {
  Tensor out = Tensor::empty({pattern.nnz()}, x.dtype(), x.device(), order);
  backend::run(backend::sddmm, {pattern_of(pattern, x.dtype()), k, x.data(), y.data(), transposed, out.mutable_data()},
               order);
  return out;
}

void check_dense(const char* op, const char* argument, const Tensor& x, const Csr& a, std::int64_t rows,
                 const Tensor& like) {
  check_device(op, argument, x.device(), a.device());
  check_floating(op, argument, x.dtype());
  check_same_dtype(op, argument, x, like);
  check_rank(op, argument, x, 2);
  require(x.size(0) == rows, [&] {
    return std::string(op) + ": " + argument + " has " + std::to_string(x.size(0)) + " rows, expected " +
           std::to_string(rows) + " like the pattern's";
  });
}

void check_factors(const char* op, const Csr& pattern, const Tensor& x, const Tensor& y) {
  check_dense(op, "x", x, pattern, pattern.rows(), x);
  check_dense(op, "y", y, pattern, pattern.cols(), x);
  require(y.size(1) == x.size(1), [&] {
    return std::string(op) + ": y has " + std::to_string(y.size(1)) + " columns, expected x's, " +
           std::to_string(x.size(1));
  });
}

/// The sum of each column, as a product with ones in canonical order.
Tensor column_totals(const Tensor& grad, const Stream& order) {
  const std::vector<float> ones(static_cast<std::size_t>(grad.size(0)), 1.0f);
  const Tensor row = cast(Tensor::from(ones, {1, grad.size(0)}, grad.device()), grad.dtype(), order);
  return matmul(row, grad, {}, order).reshape({grad.size(1)});
}

void check_linear(const Tensor& grad, const Tensor& x, std::int64_t out, std::int64_t in) {
  check_same_dtype("linear_backward", "grad", grad, x);
  check_same_device("linear_backward", "grad", grad, x);
  check_rank("linear_backward", "x", x, 2);
  require(x.size(1) == in, [&] {
    return "linear_backward: x has " + std::to_string(x.size(1)) + " columns, expected w's, " + std::to_string(in);
  });
  check_shape("linear_backward", "grad", grad, {x.size(0), out});
}

}  // namespace

Tensor sddmm(const Csr& pattern, const Tensor& x, const Tensor& y, const Stream& stream) try {
  check_factors("sddmm", pattern, x, y);
  return sampled(pattern, x, y, x.size(1), false, stream.on(x.device()));
} catch (...) {
  rethrow_named("sddmm", {&pattern, &x, &y});
}

SpmmGradients spmm_backward(const Tensor& grad, const Csr& a, const Tensor& b, const Stream& stream) try {
  check_floating("spmm_backward", "a", a.dtype());
  check_operand("spmm_backward", "b", b, a);
  check_rank("spmm_backward", "b", b, 2);
  check_operand("spmm_backward", "grad", grad, a, {a.rows(), b.size(1)});
  require(b.size(0) == a.cols(), [&] {
    return "spmm_backward: b has " + std::to_string(b.size(0)) +
           " rows, expected a.cols() = " + std::to_string(a.cols());
  });
  const Stream order = stream.on(a.device());
  return {sampled(a, grad, b, b.size(1), false, order), spmm_transposed(a, grad, order)};
} catch (...) {
  rethrow_named("spmm_backward", {&grad, &a, &b});
}

LinearGradients linear_backward(const Tensor& grad, const Tensor& x, const Csr& w, const Stream& stream) try {
  check_floating("linear_backward", "w", w.dtype());
  check_operand("linear_backward", "x", x, w);
  check_linear(grad, x, w.rows(), w.cols());
  const Stream order = stream.on(w.device());
  return {matmul(grad, w, order), sampled(w, grad, x, x.size(0), true, order), column_totals(grad, order)};
} catch (...) {
  rethrow_named("linear_backward", {&grad, &x, &w});
}

LinearGradients linear_backward(const Tensor& grad, const Tensor& x, const Tensor& w, const Stream& stream) try {
  check_floating("linear_backward", "w", w.dtype());
  check_rank("linear_backward", "w", w, 2);
  check_same_dtype("linear_backward", "x", x, w);
  check_same_device("linear_backward", "x", x, w);
  check_linear(grad, x, w.size(0), w.size(1));
  const Stream order = stream.on(w.device());
  // gradᵀ·x: what ReLU has zeroed in grad is left out of the sums.
  return {matmul(grad, w, {}, order), spmm_transposed(to_csr(grad, DType::int64, order), x, order),
          column_totals(grad, order)};
} catch (...) {
  rethrow_named("linear_backward", {&grad, &x, &w});
}

SddmmGradients sddmm_backward(const Tensor& grad_values, const Csr& pattern, const Tensor& x, const Tensor& y,
                              const Stream& stream) try {
  check_factors("sddmm_backward", pattern, x, y);
  check_same_dtype("sddmm_backward", "grad_values", grad_values, x);
  check_shape("sddmm_backward", "grad_values", grad_values, {pattern.nnz()});
  const Stream order = stream.on(x.device());
  const Csr grad = pattern.with_values(grad_values);
  return {spmm(grad, y, {}, order), spmm_transposed(grad, x, order)};
} catch (...) {
  rethrow_named("sddmm_backward", {&grad_values, &pattern, &x, &y});
}

}  // namespace sparsert
