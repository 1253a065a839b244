// runtime/ops/spmm.cpp — sparse times dense, and the layer made of it: check, allocate, dispatch.
#include <utility>

#include "kernels/contract/activation.hpp"
#include "kernels/contract/spmm.hpp"
#include "kernels/dispatch.hpp"
#include "runtime/ops/check.hpp"
#include "runtime/ops/memory.hpp"
#include "runtime/ops/plan.hpp"
#include "runtime/view.hpp"
#include "sparsert/ops.hpp"

namespace sparsert {

namespace {

void check_matrix(const char* op, const Csr& a) { check_floating(op, "a", a.dtype()); }

void check_operand(const char* op, const char* argument, const Tensor& operand, const Csr& a, std::int64_t rank) {
  check_rank(op, argument, operand, static_cast<int>(rank));
  check_device(op, argument, operand.device(), a.device());
  require(operand.dtype() == a.dtype(), [&] {
    return std::string(op) + ": " + argument + " is " + std::string(to_string(operand.dtype())) + ", expected " +
           std::string(to_string(a.dtype())) + " like the matrix (there is no implicit promotion)";
  });
}

void check_bias(const char* op, const Tensor* bias, const Csr& a) {
  if (bias == nullptr) return;
  check_operand(op, "bias", *bias, a, 1);
  check_shape(op, "bias", *bias, {a.rows()});
}

/// `out` if it was named and fits, else a new tensor.
Tensor result(const char* op, Tensor* out, Shape shape, const Csr& a, const Tensor& operand, const char* operand_name,
              const Tensor* bias, const Stream& order) {
  if (out == nullptr) return Tensor::empty(std::move(shape), a.dtype(), a.device(), order);
  check_operand(op, "out", *out, a, 2);
  check_shape(op, "out", *out, shape);
  check_no_overlap(op, operand_name, *out, operand);
  check_no_overlap(op, "the matrix's values", *out, a.values());
  if (bias != nullptr) check_no_overlap(op, "bias", *out, *bias);
  return *out;
}

/// y = relu(A·x + bias) for one column x, by the plan for vectors. False where there is none, or where the sum of a
/// 16-bit float would be rounded before its bias is added.
bool multiply_vector(const Plan::Impl* plan, const Csr& a, const Tensor& x, const Tensor* bias, bool relu, Tensor& y,
                     const Stream& order) {
  const bool epilogue = bias != nullptr || relu;
  if (plan == nullptr || plan->for_vectors == nullptr) return false;
  if (epilogue && size_of(a.dtype()) < sizeof(float)) return false;
  backend::run(backend::spmv, {view_of(a), plan->for_vectors.get(), x.data(), y.mutable_data()}, order);
  if (epilogue) {
    const void* const addends = bias != nullptr ? bias->data() : nullptr;
    backend::run(backend::add_bias, {a.dtype(), 1, a.rows(), addends, relu, y.mutable_data()}, order);
  }
  return true;
}

const backend::SpmmPlan* packed(const Plan::Impl* plan) { return plan != nullptr ? plan->packed.get() : nullptr; }

Tensor multiply(const Csr& a, const Plan::Impl* plan, const Tensor& b, const SpmmOptions& options,
                const Stream& stream) try {
  check_matrix("spmm", a);
  check_operand("spmm", "b", b, a, 2);
  require(b.size(0) == a.cols(), [&] {
    return "spmm: b has " + std::to_string(b.size(0)) + " rows, expected a.cols() = " + std::to_string(a.cols());
  });
  check_bias("spmm", options.bias, a);
  require(options.beta == 0 || options.out != nullptr, [&] {
    return "spmm: beta is " + std::to_string(options.beta) + " without out, expected 0 or an out that is read";
  });
  const Stream order = stream.on(a.device());
  Tensor c = result("spmm", options.out, {a.rows(), b.size(1)}, a, b, "b", options.bias, order);
  if (b.size(1) == 1 && options.alpha == 1 && options.beta == 0 &&
      multiply_vector(plan, a, b, options.bias, options.relu, c, order)) {
    return c;
  }
  const void* const bias = options.bias != nullptr ? options.bias->data() : nullptr;
  backend::run(backend::spmm,
               {view_of(a), packed(plan), b.size(1), b.data(), c.mutable_data(), false, bias, options.relu,
                options.alpha, options.beta, options.order},
               order);
  return c;
} catch (...) {
  rethrow_named("spmm", {&a, &b});
}

Tensor layer(const Tensor& x, const Csr& w, const Plan::Impl* plan, const LinearOptions& options,
             const Stream& stream) try {
  check_matrix("linear", w);
  check_operand("linear", "x", x, w, 2);
  require(x.size(1) == w.cols(), [&] {
    return "linear: x has " + std::to_string(x.size(1)) + " columns, expected w.cols() = " + std::to_string(w.cols());
  });
  check_bias("linear", options.bias, w);
  const Stream order = stream.on(w.device());
  Tensor y = result("linear", options.out, {x.size(0), w.rows()}, w, x, "x", options.bias, order);
  if (x.size(0) == 1 && multiply_vector(plan, w, x, options.bias, options.relu, y, order)) return y;
  const void* const bias = options.bias != nullptr ? options.bias->data() : nullptr;
  backend::run(backend::spmm,
               {view_of(w), packed(plan), x.size(0), x.data(), y.mutable_data(), true, bias, options.relu, 1.0, 0.0,
                options.order},
               order);
  return y;
} catch (...) {
  rethrow_named("linear", {&x, &w});
}

}  // namespace

Plan::Plan(const Csr& a, std::int64_t n, const Stream& stream) try {
  check_matrix("plan", a);
  require(n >= 0, [&] { return "plan: n is " + std::to_string(n) + ", expected at least 0"; });
  const Stream order = stream.on(a.device());
  impl_ = std::make_shared<Impl>(Impl{a.with_values(a.values().clone(order)), nullptr, nullptr});
  if (n == 1) backend::run(backend::spmv_plan, {view_of(impl_->matrix), &impl_->for_vectors}, order);
  if (impl_->for_vectors == nullptr) {
    backend::run(backend::spmm_plan, {view_of(impl_->matrix), n, &impl_->packed}, order);
  }
} catch (...) {
  rethrow_named("plan", {&a});
}

const Csr& Plan::matrix() const noexcept { return impl_->matrix; }

std::int64_t Plan::nbytes() const noexcept {
  return (impl_->packed != nullptr ? impl_->packed->bytes() : 0) +
         (impl_->for_vectors != nullptr ? impl_->for_vectors->bytes() : 0);
}

void Plan::update_values(const Tensor& values, const Stream& stream) try {
  const Csr& a = impl_->matrix;
  check_operand("update_values", "values", values, a, 1);
  check_shape("update_values", "values", values, {a.nnz()});
  const Stream order = stream.on(a.device());
  Csr matrix = a.with_values(values.clone(order));
  if (impl_->packed != nullptr) impl_->packed->update_values(matrix.values().data(), order);
  if (impl_->for_vectors != nullptr) impl_->for_vectors->update_values(matrix.values().data(), order);
  impl_->matrix = std::move(matrix);
} catch (...) {
  rethrow_named("update_values", {&values});
}

Tensor spmm(const Csr& a, const Tensor& b, const SpmmOptions& options, const Stream& stream) {
  return multiply(a, nullptr, b, options, stream);
}

Tensor spmm(const Plan& plan, const Tensor& b, const SpmmOptions& options, const Stream& stream) {
  return multiply(plan.matrix(), &plan.impl(), b, options, stream);
}

Tensor linear(const Tensor& x, const Csr& w, const LinearOptions& options, const Stream& stream) {
  return layer(x, w, nullptr, options, stream);
}

Tensor linear(const Tensor& x, const Plan& w, const LinearOptions& options, const Stream& stream) {
  return layer(x, w.matrix(), &w.impl(), options, stream);
}

}  // namespace sparsert
