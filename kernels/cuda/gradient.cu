// kernels/cuda/gradient.cu — error feedback: one thread an entry; the largest by the top-k of its own family.
#include "kernels/gradient.hpp"

#include <thrust/sort.h>

#include "device/intrinsics.cuh"
#include "device/kernel.cuh"
#include "kernels/contract/gradient.hpp"
#include "kernels/contract/topk.hpp"
#include "kernels/cuda/primitives.cuh"
#include "kernels/dispatch.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

constexpr int kThreads = 256;

std::int64_t blocks_for(std::int64_t n) { return (n + kThreads - 1) / kThreads; }

__device__ __forceinline__ std::int64_t global_thread() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// grid: (n / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: *skipped is 0 at the start. Reads grad, reads and writes residual (and velocity) once
template <class T, bool kVelocity>
__global__ __launch_bounds__(kThreads) void accumulate_kernel(std::int64_t n, Global<const T> grad, Compute<T> momentum,
                                                              Global<Compute<T>> velocity, Global<Compute<T>> residual,
                                                              Global<std::int64_t> skipped) {
  using A = Compute<T>;
  const std::int64_t i = global_thread();
  bool finite = true;
  if (i < n) {
    A v = 0;
    if constexpr (kVelocity) v = velocity[i];
    A r = residual[i];
    finite = accumulate<A>(widen(static_cast<T>(grad[i])), momentum, kVelocity, v, r);
    if (finite) {
      if constexpr (kVelocity) velocity[i] = v;
      residual[i] = r;
    }
  }
  const unsigned bad = __ballot_sync(kAllLanes, !finite);
  if (bad != 0 && lane_id() == 0) atomic_add(skipped, 0, static_cast<std::int64_t>(__popc(bad)));
}

// grid: (count / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: indices are distinct
template <class A>
__global__ __launch_bounds__(kThreads) void emit_kernel(DType wire, std::int64_t count,
                                                        Global<const std::int64_t> indices, Global<A> residual,
                                                        Global<A> velocity, bool with_velocity, Global<float> sent) {
  const std::int64_t j = global_thread();
  if (j >= count) return;
  const std::int64_t i = indices[j];
  const A sum = residual[i];
  const float value = to_wire<A>(wire, sum);
  sent[j] = value;
  residual[i] = sum - static_cast<A>(value);
  if (with_velocity) velocity[i] = A{0};
}

}  // namespace

void accumulate_gradient(const AccumulateArgs& args, const Stream& stream) {
  const Buffer count(sizeof(std::int64_t), stream);
  zero_bytes(count.data(), count.bytes(), stream);
  auto* const skipped = static_cast<std::int64_t*>(count.data());
  dispatch_any_float("accumulate_gradient", args.dtype, [&]<class T>() {
    using A = Compute<T>;
    const auto run = [&](auto* kernel) {
      launch(stream, {.grid = blocks_for(args.n), .block = kThreads}, kernel, args.n, static_cast<const T*>(args.grad),
             static_cast<A>(args.momentum), static_cast<A*>(args.velocity), static_cast<A*>(args.residual), skipped);
    };
    if (args.velocity == nullptr) run(&accumulate_kernel<T, false>);
    else run(&accumulate_kernel<T, true>);
  });
  copy_bytes(args.skipped, cpu_device, skipped, stream.device(), sizeof(std::int64_t), stream);
  stream.synchronize();
}

void accumulate_topk(const AccumulateTopkArgs& args, const Stream& stream) {
  accumulate_gradient(args.accumulate, stream);
  if (args.k == 0) return;
  const DType dtype = args.accumulate.dtype == DType::float64 ? DType::float64 : DType::float32;
  const Buffer values(static_cast<std::size_t>(args.k) * size_of(dtype), stream);
  topk({dtype, 1, args.accumulate.n, args.k, args.accumulate.residual, values.data(), args.indices}, stream);
  thrust::sort(thrust_policy(stream), args.indices, args.indices + args.k);
}

void emit_gradient(const EmitArgs& args, const Stream& stream) {
  dispatch_float("emit_gradient", args.dtype, [&]<class A>() {
    launch(stream, {.grid = blocks_for(args.count), .block = kThreads}, &emit_kernel<A>, args.wire, args.count,
           args.indices, static_cast<A*>(args.residual), static_cast<A*>(args.velocity), args.velocity != nullptr,
           args.sent);
  });
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
