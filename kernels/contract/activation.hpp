// kernels/contract/activation.hpp — activations that come out sparse, and their kin: what each operation is given.
//
// An entry of a sparse ReLU is an x above the threshold, or a NaN; its value is x.
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "kernels/views.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// row_offsets[r] = entries before row r; rows + 1 of them.
struct ReluOffsetsArgs {
  DType dtype;
  std::int64_t rows;
  std::int64_t cols;
  const void* x;
  double threshold;
  DType index;
  void* row_offsets;
};
SPARSERT_OP(relu_offsets, ReluOffsetsArgs);

/// Fills columns and values behind the offsets that `relu_offsets` made.
struct ReluCsrArgs {
  DType dtype;
  std::int64_t rows;
  std::int64_t cols;
  const void* x;
  double threshold;
  DType index;
  const void* row_offsets;
  void* columns;
  void* values;
};
SPARSERT_OP(relu_csr, ReluCsrArgs);

/// One bit an element, the lowest first, rows padded to whole bytes with zeros; and the values behind the offsets.
struct ReluBitmapArgs {
  DType dtype;
  std::int64_t rows;
  std::int64_t cols;
  const void* x;
  double threshold;
  DType index;
  const void* row_offsets;
  std::uint8_t* bits;  // rows × (cols / 8, rounded up)
  void* values;
};
SPARSERT_OP(relu_bitmap, ReluBitmapArgs);

/// values[e] = grad (dense, rows × cols) at entry e, or NaN where the entry itself is: the gradient through a ReLU, on
/// the pattern that it left.
struct GatherGradientArgs {
  CsrView a;
  const void* grad;
  void* values;
};
SPARSERT_OP(gather_gradient, GatherGradientArgs);

/// leaky: x above 0, else slope · x. squared: x · x above 0, else +0. NaN stays; out may be x.
enum class Activation : std::uint8_t { leaky, squared };
struct ActivateArgs {
  DType dtype;
  Activation activation;
  double slope;
  std::int64_t n;
  const void* x;
  void* out;
};
SPARSERT_OP(activate, ActivateArgs);

/// The gradient: leaky: grad or slope · grad. squared: (x + x) · grad or +0. NaN where x is; out may be grad.
struct ActivateBackwardArgs {
  DType dtype;
  Activation activation;
  double slope;
  std::int64_t n;
  const void* grad;
  const void* x;
  void* out;
};
SPARSERT_OP(activate_backward, ActivateBackwardArgs);

/// y[r, c] = act(y[r, c] + bias[c] + 0), in place; float32 or float64.
struct AddBiasArgs {
  DType dtype;
  std::int64_t rows;
  std::int64_t cols;
  const void* bias;  // null: none
  bool relu;
  void* y;
};
SPARSERT_OP(add_bias, AddBiasArgs);

/// out (cols × rows) = x (rows × cols) transposed.
struct TransposeDenseArgs {
  DType dtype;
  std::int64_t rows;
  std::int64_t cols;
  const void* x;
  void* out;
};
SPARSERT_OP(transpose_dense, TransposeDenseArgs);

}  // namespace sparsert::backend
