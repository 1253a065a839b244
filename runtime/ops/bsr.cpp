// runtime/ops/bsr.cpp — block-sparse times dense, and the layer made of it: check, allocate, dispatch.
#include "kernels/contract/bsr.hpp"

#include <string>
#include <utility>

#include "kernels/dispatch.hpp"
#include "runtime/ops/check.hpp"
#include "runtime/ops/memory.hpp"
#include "sparsert/linalg.hpp"

namespace sparsert {
namespace {

backend::BsrView view_of(const Bsr& a) {
  const Shape shape = a.shape();
  const auto [r, c] = a.block();
  return {shape[0],  shape[1],         r, c, a.blocks(), a.index_dtype(), a.row_offsets().data(), a.columns().data(),
          a.dtype(), a.values().data()};
}

void check_operand(const char* op, const char* argument, const Tensor& operand, const Bsr& a) {
  check_device(op, argument, operand.device(), a.device());
  require(operand.dtype() == a.dtype(), [&] {
    return std::string(op) + ": " + argument + " is " + std::string(to_string(operand.dtype())) + ", expected " +
           std::string(to_string(a.dtype())) + " like the matrix (there is no implicit promotion)";
  });
}

/// `out` if it was named and fits, else a new tensor.
Tensor result(const char* op, Tensor* out, Shape shape, const Bsr& a, const Tensor& operand, const char* name,
              const Tensor* bias, const Stream& order) {
  if (bias != nullptr) {
    check_operand(op, "bias", *bias, a);
    check_shape(op, "bias", *bias, {a.shape()[0]});
  }
  if (out == nullptr) return Tensor::empty(std::move(shape), a.dtype(), a.device(), order);
  check_operand(op, "out", *out, a);
  check_shape(op, "out", *out, shape);
  check_no_overlap(op, name, *out, operand);
  check_no_overlap(op, "the matrix's values", *out, a.values());
  if (bias != nullptr) check_no_overlap(op, "bias", *out, *bias);
  return *out;
}

}  // namespace

Tensor spmm(const Bsr& a, const Tensor& b, const SpmmOptions& options, const Stream& stream) try {
  check_floating("spmm", "a", a.dtype());
  check_operand("spmm", "b", b, a);
  check_rank("spmm", "b", b, 2);
  const Shape shape = a.shape();
  require(b.size(0) == shape[1], [&] {
    return "spmm: b has " + std::to_string(b.size(0)) + " rows, expected a.cols() = " + std::to_string(shape[1]);
  });
  require(options.beta == 0 || options.out != nullptr, [&] {
    return "spmm: beta is " + std::to_string(options.beta) + " without out, expected 0 or an out that is read";
  });
  const Stream order = stream.on(a.device());
  Tensor c = result("spmm", options.out, {shape[0], b.size(1)}, a, b, "b", options.bias, order);
  backend::run(backend::bsr_spmm,
               {view_of(a), b.size(1), b.data(), c.mutable_data(), false,
                options.bias != nullptr ? options.bias->data() : nullptr, options.relu, options.alpha, options.beta},
               order);
  return c;
} catch (...) {
  rethrow_named("spmm", {&a, &b});
}

Tensor linear(const Tensor& x, const Bsr& w, const LinearOptions& options, const Stream& stream) try {
  check_floating("linear", "w", w.dtype());
  check_operand("linear", "x", x, w);
  check_rank("linear", "x", x, 2);
  const Shape shape = w.shape();
  require(x.size(1) == shape[1], [&] {
    return "linear: x has " + std::to_string(x.size(1)) + " columns, expected w.cols() = " + std::to_string(shape[1]);
  });
  const Stream order = stream.on(w.device());
  Tensor y = result("linear", options.out, {x.size(0), shape[0]}, w, x, "x", options.bias, order);
  backend::run(backend::bsr_spmm,
               {view_of(w), x.size(0), x.data(), y.mutable_data(), true,
                options.bias != nullptr ? options.bias->data() : nullptr, options.relu, 1.0, 0.0},
               order);
  return y;
} catch (...) {
  rethrow_named("linear", {&x, &w});
}

}  // namespace sparsert
