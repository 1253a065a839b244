// runtime/ops/topk.cpp — the largest magnitudes along the last dimension: check, allocate, dispatch.
#include "kernels/contract/topk.hpp"
#include "kernels/dispatch.hpp"
#include "runtime/ops/check.hpp"
#include "runtime/ops/memory.hpp"
#include "sparsert/ops.hpp"

namespace sparsert {

Topk topk(const Tensor& x, std::int64_t k, const Stream& stream) try {
  // A scalar counts as a row of one.
  const std::int64_t n = x.rank() == 0 ? 1 : x.shape().back();
  require(k >= 0 && k <= n, [&] {
    return "topk: k is " + std::to_string(k) + ", expected 0 to " + std::to_string(n) +
           ", the size of the last dimension of " + to_string(x.shape());
  });
  Shape shape = x.shape();
  if (shape.empty()) shape.push_back(1);
  shape.back() = k;
  const std::int64_t rows = n == 0 ? 0 : x.numel() / n;
  const Stream order = stream.on(x.device());
  Topk result{Tensor::empty(shape, x.dtype(), x.device(), order),
              Tensor::empty(shape, DType::int64, x.device(), order)};
  auto* const indices = static_cast<std::int64_t*>(result.indices.mutable_data());
  backend::run(backend::topk, {x.dtype(), rows, n, k, x.data(), result.values.mutable_data(), indices}, order);
  return result;
} catch (...) {
  rethrow_named("topk", {&x});
}

}  // namespace sparsert
