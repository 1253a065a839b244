// runtime/ops/matmul.cpp — dense times dense, and the dense layer: check, allocate, dispatch.
#include <utility>

#include "kernels/contract/matmul.hpp"
#include "kernels/dispatch.hpp"
#include "runtime/ops/check.hpp"
#include "runtime/ops/memory.hpp"
#include "sparsert/ops.hpp"

namespace sparsert {
namespace {

/// `out` if it was named and fits, else a new tensor.
Tensor result(const char* op, Tensor* out, Shape shape, const Tensor& x, const Stream& order) {
  if (out == nullptr) return Tensor::empty(std::move(shape), x.dtype(), x.device(), order);
  check_same_dtype(op, "out", *out, x);
  check_same_device(op, "out", *out, x);
  check_shape(op, "out", *out, shape);
  check_no_overlap(op, "x", *out, x);
  return *out;
}

void check_operand(const char* op, const char* argument, const Tensor& operand, const Tensor& x) {
  check_same_dtype(op, argument, operand, x);
  check_same_device(op, argument, operand, x);
}

}  // namespace

Tensor matmul(const Tensor& x, const Tensor& y, const MatmulOptions& options, const Stream& stream) try {
  check_floating("matmul", "x", x.dtype());
  check_rank("matmul", "x", x, 2);
  check_rank("matmul", "y", y, 2);
  check_operand("matmul", "y", y, x);
  const std::int64_t k = x.size(1);
  require(y.size(0) == k, [&] {
    return "matmul: y has " + std::to_string(y.size(0)) + " rows, expected x's columns, " + std::to_string(k);
  });
  const Stream order = stream.on(x.device());
  Tensor c = result("matmul", options.out, {x.size(0), y.size(1)}, x, order);
  check_no_overlap("matmul", "y", c, y);
  backend::run(
      backend::matmul,
      {x.dtype(), x.size(0), k, y.size(1), x.data(), y.data(), false, c.mutable_data(), nullptr, false, options.order},
      order);
  return c;
} catch (...) {
  rethrow_named("matmul", {&x, &y});
}

Tensor linear(const Tensor& x, const Tensor& w, const LinearOptions& options, const Stream& stream) try {
  check_floating("linear", "x", x.dtype());
  check_rank("linear", "x", x, 2);
  check_rank("linear", "w", w, 2);
  check_operand("linear", "w", w, x);
  const std::int64_t k = x.size(1);
  require(w.size(1) == k, [&] {
    return "linear: w has " + std::to_string(w.size(1)) + " columns, expected x's, " + std::to_string(k);
  });
  if (options.bias != nullptr) {
    check_operand("linear", "bias", *options.bias, x);
    check_shape("linear", "bias", *options.bias, {w.size(0)});
  }
  const Stream order = stream.on(x.device());
  Tensor y = result("linear", options.out, {x.size(0), w.size(0)}, x, order);
  check_no_overlap("linear", "w", y, w);
  if (options.bias != nullptr) check_no_overlap("linear", "bias", y, *options.bias);
  backend::run(backend::matmul,
               {x.dtype(), x.size(0), k, w.size(0), x.data(), w.data(), true, y.mutable_data(),
                options.bias != nullptr ? options.bias->data() : nullptr, options.relu, options.order},
               order);
  return y;
} catch (...) {
  rethrow_named("linear", {&x, &w, options.bias});
}

}  // namespace sparsert
