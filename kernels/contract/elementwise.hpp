// kernels/contract/elementwise.hpp — element by element: what each operation is given.
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// out[i] = f(x[i]); out may be x.
struct UnaryArgs {
  DType dtype;
  std::int64_t n;
  const void* x;
  void* out;
};
SPARSERT_OP(relu, UnaryArgs);

/// out[i] = grad[i] where x[i] > 0, 0 where x[i] <= 0, NaN where x[i] is NaN; out may be grad.
struct ReluBackwardArgs {
  DType dtype;
  std::int64_t n;
  const void* grad;
  const void* x;
  void* out;
};
SPARSERT_OP(relu_backward, ReluBackwardArgs);

enum class BinaryOp : std::uint8_t { add, subtract, multiply };

/// out[i] = x[i] op y[i]. A stride of 0 repeats one element (a scalar operand); integers wrap.
struct BinaryArgs {
  DType dtype;
  BinaryOp op;
  std::int64_t n;
  const void* x;
  std::int64_t x_stride;  // 0 or 1
  const void* y;
  std::int64_t y_stride;  // 0 or 1
  void* out;
};
SPARSERT_OP(binary, BinaryArgs);

/// out[i] = x[i] to the power `exponent` >= 0, by repeated multiplication from the left; integers wrap.
struct PowerArgs {
  DType dtype;
  std::int64_t n;
  const void* x;
  int exponent;
  void* out;
};
SPARSERT_OP(power, PowerArgs);

/// out[i] = x[i] in another type: nearest even to floats; toward zero, saturating, NaN -> 0 to integers.
struct CastArgs {
  DType from;
  DType to;
  std::int64_t n;
  const void* x;
  void* out;
};
SPARSERT_OP(cast, CastArgs);

/// *result = (every x[i] == y[i]); NaN equals nothing. `result` is host memory; returns when it is written.
struct EqualArgs {
  DType dtype;
  std::int64_t n;
  const void* x;
  const void* y;
  bool* result;
};
SPARSERT_OP(equal, EqualArgs);

}  // namespace sparsert::backend
