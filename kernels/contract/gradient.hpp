// kernels/contract/gradient.hpp — error feedback of compressed gradients: what each operation is given.
//
// Residuals and velocities are of the computing type: float64 for float64 gradients, else float32.
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// Without a velocity: residual[i] = residual[i] + grad[i]. With one: velocity[i] = momentum · velocity[i] + grad[i] by
/// a fused multiply-add, then residual[i] = residual[i] + velocity[i]. Where the result or the velocity would not be
/// finite, both stay as they are, and the entry is counted in *skipped (host; returns when it is written).
struct AccumulateArgs {
  DType dtype;  // of grad
  std::int64_t n;
  const void* grad;
  double momentum;
  void* velocity;  // null: none
  void* residual;
  std::int64_t* skipped;
};
SPARSERT_OP(accumulate_gradient, AccumulateArgs);

/// `accumulate_gradient`, and the indices of the k largest magnitudes of the residual that it leaves, ascending; ties
/// to the lower index. One pass over memory where the backend can.
struct AccumulateTopkArgs {
  AccumulateArgs accumulate;
  std::int64_t k;         // <= n
  std::int64_t* indices;  // k
};
SPARSERT_OP(accumulate_topk, AccumulateTopkArgs);

/// For each of `count` distinct indices: sent = residual rounded to the wire's type, saturating to its finite range so
/// that residual - sent is exact; residual keeps that difference; velocity becomes 0.
struct EmitArgs {
  DType dtype;  // of residual: float32 or float64
  DType wire;   // float32, float16 or bfloat16
  std::int64_t count;
  const std::int64_t* indices;
  void* residual;
  void* velocity;  // null: none
  float* sent;     // each a value of the wire's type
};
SPARSERT_OP(emit_gradient, EmitArgs);

}  // namespace sparsert::backend
