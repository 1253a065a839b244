// runtime/ops/gradient.hpp — the steps of gradient compression that run on the tensors' device.
#pragma once

#include <cstdint>

#include "sparsert/tensor.hpp"

namespace sparsert::gradient {

/// Adds a gradient (through a velocity, where there is one) to its residual. Returns how many entries were not finite
/// and left out.
std::int64_t accumulate(const Tensor& grad, double momentum, Tensor* velocity, Tensor& residual);

/// The same, and the indices of the k largest of the residual, ascending.
struct Largest {
  std::int64_t skipped;
  Tensor indices;  ///< (k), int64, on the residual's device
};
Largest accumulate_largest(const Tensor& grad, double momentum, Tensor* velocity, Tensor& residual, std::int64_t k);

/// Takes the entries at `indices` out of the residual, as the wire's values; float32, on the residual's device.
Tensor emit(const Tensor& indices, DType wire, Tensor& residual, Tensor* velocity);

}  // namespace sparsert::gradient
