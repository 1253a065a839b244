// runtime/ops/elementwise.cpp — arithmetic, casts, comparison and ReLU: check, allocate, dispatch.
#include "kernels/contract/elementwise.hpp"
#include "kernels/dispatch.hpp"
#include "runtime/ops/check.hpp"
#include "runtime/ops/memory.hpp"
#include "sparsert/ops.hpp"

namespace sparsert {
namespace {

Tensor binary(const char* op, backend::BinaryOp code, const Tensor& x, const Tensor& y, const Stream& stream) try {
  check_same_dtype(op, "y", y, x);
  check_same_device(op, "y", y, x);
  const bool x_scalar = x.numel() == 1 && x.shape() != y.shape();
  const bool y_scalar = y.numel() == 1 && x.shape() != y.shape() && !x_scalar;
  if (!x_scalar && !y_scalar) check_shape(op, "y", y, x.shape());
  const Stream order = stream.on(x.device());
  const Tensor& full = x_scalar ? y : x;
  Tensor out = Tensor::empty(full.shape(), x.dtype(), x.device(), order);
  backend::run(
      backend::binary,
      {x.dtype(), code, out.numel(), x.data(), x_scalar ? 0 : 1, y.data(), y_scalar ? 0 : 1, out.mutable_data()},
      order);
  return out;
} catch (...) {
  rethrow_named(op, {&x, &y});
}

}  // namespace

Tensor add(const Tensor& x, const Tensor& y, const Stream& stream) {
  return binary("add", backend::BinaryOp::add, x, y, stream);
}

Tensor subtract(const Tensor& x, const Tensor& y, const Stream& stream) {
  return binary("subtract", backend::BinaryOp::subtract, x, y, stream);
}

Tensor multiply(const Tensor& x, const Tensor& y, const Stream& stream) {
  return binary("multiply", backend::BinaryOp::multiply, x, y, stream);
}

Tensor power(const Tensor& x, int exponent, const Stream& stream) try {
  require(exponent >= 0 && exponent <= 1024,
          [&] { return "power: exponent is " + std::to_string(exponent) + ", expected 0 to 1024"; });
  const Stream order = stream.on(x.device());
  Tensor out = Tensor::empty(x.shape(), x.dtype(), x.device(), order);
  backend::run(backend::power, {x.dtype(), x.numel(), x.data(), exponent, out.mutable_data()}, order);
  return out;
} catch (...) {
  rethrow_named("power", {&x});
}

Tensor cast(const Tensor& x, DType dtype, const Stream& stream) try {
  const Stream order = stream.on(x.device());
  Tensor out = Tensor::empty(x.shape(), dtype, x.device(), order);
  backend::run(backend::cast, {x.dtype(), dtype, x.numel(), x.data(), out.mutable_data()}, order);
  return out;
} catch (...) {
  rethrow_named("cast", {&x});
}

bool equal(const Tensor& x, const Tensor& y, const Stream& stream) try {
  check_same_device("equal", "y", y, x);
  if (x.dtype() != y.dtype() || x.shape() != y.shape()) return false;
  bool result = false;
  backend::run(backend::equal, {x.dtype(), x.numel(), x.data(), y.data(), &result}, stream.on(x.device()));
  return result;
} catch (...) {
  rethrow_named("equal", {&x, &y});
}

Tensor relu(const Tensor& x, const Stream& stream) try {
  const Stream order = stream.on(x.device());
  Tensor out = Tensor::empty(x.shape(), x.dtype(), x.device(), order);
  backend::run(backend::relu, {x.dtype(), x.numel(), x.data(), out.mutable_data()}, order);
  return out;
} catch (...) {
  rethrow_named("relu", {&x});
}

void relu_(Tensor& x, const Stream& stream) try {
  void* const data = x.mutable_data();
  backend::run(backend::relu, {x.dtype(), x.numel(), data, data}, stream.on(x.device()));
} catch (...) {
  rethrow_named("relu_", {&x});
}

Tensor relu_backward(const Tensor& grad, const Tensor& x, const Stream& stream) try {
  check_same_dtype("relu_backward", "x", x, grad);
  check_same_device("relu_backward", "x", x, grad);
  check_shape("relu_backward", "x", x, grad.shape());
  const Stream order = stream.on(x.device());
  Tensor out = Tensor::empty(x.shape(), x.dtype(), x.device(), order);
  backend::run(backend::relu_backward, {x.dtype(), x.numel(), grad.data(), x.data(), out.mutable_data()}, order);
  return out;
} catch (...) {
  rethrow_named("relu_backward", {&grad, &x});
}

}  // namespace sparsert
