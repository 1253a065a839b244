// kernels/reference/gradient.cpp — error feedback, one entry at a time: what it means.
#include "kernels/gradient.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/contract/gradient.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/numerics.hpp"

namespace sparsert::backend::reference {

void accumulate_gradient(const AccumulateArgs& args, const Stream&) {
  *args.skipped = 0;
  dispatch_any_float("accumulate_gradient", args.dtype, [&]<class T>() {
    using A = Compute<T>;
    const auto* grad = static_cast<const T*>(args.grad);
    auto* velocity = static_cast<A*>(args.velocity);
    auto* residual = static_cast<A*>(args.residual);
    for (std::int64_t i = 0; i < args.n; ++i) {
      A none = 0;
      const bool finite = accumulate(widen(grad[i]), static_cast<A>(args.momentum), velocity != nullptr,
                                     velocity != nullptr ? velocity[i] : none, residual[i]);
      *args.skipped += finite ? 0 : 1;
    }
  });
}

void accumulate_topk(const AccumulateTopkArgs& args, const Stream& stream) {
  accumulate_gradient(args.accumulate, stream);
  dispatch_any_float("accumulate_topk", args.accumulate.dtype, [&]<class T>() {
    const auto* residual = static_cast<const Compute<T>*>(args.accumulate.residual);
    std::vector<std::int64_t> order(static_cast<std::size_t>(args.accumulate.n));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t p, std::int64_t q) {
      return magnitude_key(residual[p]) > magnitude_key(residual[q]);
    });
    std::copy_n(order.begin(), args.k, args.indices);
    std::sort(args.indices, args.indices + args.k);
  });
}

void emit_gradient(const EmitArgs& args, const Stream&) {
  dispatch_float("emit_gradient", args.dtype, [&]<class A>() {
    auto* residual = static_cast<A*>(args.residual);
    auto* velocity = static_cast<A*>(args.velocity);
    for (std::int64_t j = 0; j < args.count; ++j) {
      const std::int64_t i = args.indices[j];
      args.sent[j] = to_wire(args.wire, residual[i]);
      residual[i] -= static_cast<A>(args.sent[j]);
      if (velocity != nullptr) velocity[i] = 0;
    }
  });
}

}  // namespace sparsert::backend::reference
