// runtime/ops/gradient.cpp — the steps of gradient compression: allocate, dispatch. Who calls them has checked.
#include "runtime/ops/gradient.hpp"

#include "kernels/contract/gradient.hpp"
#include "kernels/dispatch.hpp"

namespace sparsert::gradient {

std::int64_t accumulate(const Tensor& grad, double momentum, Tensor* velocity, Tensor& residual) {
  std::int64_t skipped = 0;
  backend::run(backend::accumulate_gradient,
               {grad.dtype(), grad.numel(), grad.data(), momentum,
                velocity == nullptr ? nullptr : velocity->mutable_data(), residual.mutable_data(), &skipped},
               Stream(grad.device()));
  return skipped;
}

Largest accumulate_largest(const Tensor& grad, double momentum, Tensor* velocity, Tensor& residual, std::int64_t k) {
  Largest largest{0, Tensor::empty({k}, DType::int64, grad.device())};
  backend::run(backend::accumulate_topk,
               {{grad.dtype(), grad.numel(), grad.data(), momentum,
                 velocity == nullptr ? nullptr : velocity->mutable_data(), residual.mutable_data(), &largest.skipped},
                k,
                static_cast<std::int64_t*>(largest.indices.mutable_data())},
               Stream(grad.device()));
  return largest;
}

Tensor emit(const Tensor& indices, DType wire, Tensor& residual, Tensor* velocity) {
  Tensor sent = Tensor::empty(indices.shape(), DType::float32, residual.device());
  backend::run(backend::emit_gradient,
               {residual.dtype(), wire, indices.numel(), static_cast<const std::int64_t*>(indices.data()),
                residual.mutable_data(), velocity == nullptr ? nullptr : velocity->mutable_data(),
                static_cast<float*>(sent.mutable_data())},
               Stream(residual.device()));
  return sent;
}

}  // namespace sparsert::gradient
