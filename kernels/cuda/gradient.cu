// kernels/cuda/gradient.cu — error feedback, one thread an entry.
//
// With top-k it is one pass over memory, as on the CPU: a sample of the sums that will be gives a key that a little
// more than k of them reach; whoever adds an entry that reaches it notes its index. The k largest are found among
// those; they alone are touched again when they are emitted. Where the sample misled, the top-k of its own family reads
// the residual.
#include "kernels/gradient.hpp"

#include <thrust/sort.h>

#include <cmath>

#include "device/intrinsics.cuh"
#include "device/kernel.cuh"
#include "device/thrust.cuh"
#include "kernels/contract/gradient.hpp"
#include "kernels/contract/topk.hpp"
#include "kernels/cuda/primitives.cuh"
#include "kernels/dispatch.hpp"
#include "kernels/numerics.hpp"

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
// requires: count <= n. Keys of the sums that entries at equal distances will have
template <class T>
__global__ __launch_bounds__(kThreads) void sample_kernel(std::int64_t n, std::int64_t count, Global<const T> grad,
                                                          Compute<T> momentum, Global<const Compute<T>> velocity,
                                                          bool with_velocity, Global<const Compute<T>> residual,
                                                          Global<MagnitudeKey<Compute<T>>> keys) {
  using A = Compute<T>;
  const std::int64_t j = global_thread();
  if (j >= count) return;
  const std::int64_t i = n / count * j;
  A v = 0;
  if (with_velocity) v = velocity[i];
  A r = residual[i];
  accumulate<A>(widen(static_cast<T>(grad[i])), momentum, with_velocity, v, r);
  keys[j] = magnitude_key(r);
}

// grid: (n / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: counts are 0 at the start: [0] of what is skipped, [1] of what is found, which may be more than there is
// room for. Reads grad, reads and writes residual (and velocity) once
template <class T, bool kVelocity>
__global__ __launch_bounds__(kThreads) void accumulate_collect_kernel(
    std::int64_t n, Global<const T> grad, Compute<T> momentum, Global<Compute<T>> velocity, Global<Compute<T>> residual,
    MagnitudeKey<Compute<T>> low, std::int64_t room, Global<std::int64_t> found, Global<std::int64_t> counts) {
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
    if (magnitude_key(r) >= low) {
      const std::int64_t at = atomic_add(counts, 1, std::int64_t{1});
      if (at < room) found[at] = i;
    }
  }
  const unsigned bad = __ballot_sync(kAllLanes, !finite);
  if (bad != 0 && lane_id() == 0) atomic_add(counts, 0, static_cast<std::int64_t>(__popc(bad)));
}

// grid: (count / kThreads, rounded up)
// block: kThreads
// shared: none
// requires: indices within x
template <class T>
__global__ __launch_bounds__(kThreads) void take_kernel(std::int64_t count, Global<const std::int64_t> indices,
                                                        Global<const T> x, Global<T> out) {
  const std::int64_t j = global_thread();
  if (j < count) out[j] = x[indices[j]];
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

namespace {

constexpr std::int64_t kMinimum = 4096;  // shorter gradients are read twice
constexpr std::int64_t kSample = 16384;
constexpr double kDeviations = 4.0;

/// How many entries are sampled (0: none, read twice), and how much room there is for those that reach the key.
struct Choice {
  std::int64_t sample;
  std::int64_t room;
};

Choice choose(std::int64_t n, std::int64_t k) {
  if (n < kMinimum || k == 0 || 4 * k > n) return {0, 0};
  return {std::min(kSample, n / 16), std::min(n, 2 * k + n / 16)};
}

template <class T>
const Compute<T>* residual_of(const AccumulateArgs& args) {
  return static_cast<const Compute<T>*>(args.residual);
}

/// The key that, with some certainty, at least k of the sums reach.
template <class T>
MagnitudeKey<Compute<T>> low_key(const AccumulateTopkArgs& args, std::int64_t count, const Stream& stream) {
  using K = MagnitudeKey<Compute<T>>;
  const AccumulateArgs& a = args.accumulate;
  const Buffer memory(static_cast<std::size_t>(count) * sizeof(K), stream);
  auto* const keys = static_cast<K*>(memory.data());
  launch(stream, {.grid = blocks_for(count), .block = kThreads}, &sample_kernel<T>, a.n, count,
         static_cast<const T*>(a.grad), static_cast<Compute<T>>(a.momentum), static_cast<const Compute<T>*>(a.velocity),
         a.velocity != nullptr, residual_of<T>(a), keys);
  thrust::sort(thrust_policy(stream), keys, keys + count);
  const double expected = static_cast<double>(count) * static_cast<double>(args.k) / static_cast<double>(a.n);
  const auto rank = static_cast<std::int64_t>(std::ceil(expected + kDeviations * std::sqrt(expected + 1)));
  if (rank >= count) return K{0};
  K low{};
  copy_bytes(&low, cpu_device, keys + (count - rank), stream.device(), sizeof(K), stream);
  stream.synchronize();
  return low;
}

/// The k largest of the residual, ascending, by reading all of it.
template <class A>
void largest_of_all(const AccumulateTopkArgs& args, const Stream& stream) {
  const Buffer values(static_cast<std::size_t>(args.k) * sizeof(A), stream);
  topk({dtype_of<A>, 1, args.accumulate.n, args.k, args.accumulate.residual, values.data(), args.indices}, stream);
  thrust::sort(thrust_policy(stream), args.indices, args.indices + args.k);
}

/// The k largest among `count` candidates. Theirs ascend, so that ties go to the lower index.
template <class A>
void largest_of(std::int64_t* found, std::int64_t count, const AccumulateTopkArgs& args, const Stream& stream) {
  thrust::sort(thrust_policy(stream), found, found + count);
  const Buffer memory(static_cast<std::size_t>(count + args.k) * sizeof(A), stream);
  auto* const candidates = static_cast<A*>(memory.data());
  launch(stream, {.grid = blocks_for(count), .block = kThreads}, &take_kernel<A>, count, found,
         static_cast<const A*>(args.accumulate.residual), candidates);
  const Buffer places(static_cast<std::size_t>(args.k) * sizeof(std::int64_t), stream);
  auto* const place = static_cast<std::int64_t*>(places.data());
  topk({dtype_of<A>, 1, count, args.k, candidates, candidates + count, place}, stream);
  launch(stream, {.grid = blocks_for(args.k), .block = kThreads}, &take_kernel<std::int64_t>, args.k, place, found,
         args.indices);
  thrust::sort(thrust_policy(stream), args.indices, args.indices + args.k);
}

template <class T>
void accumulate_largest(const AccumulateTopkArgs& args, const Stream& stream) {
  using A = Compute<T>;
  const AccumulateArgs& a = args.accumulate;
  const Choice choice = choose(a.n, args.k);
  if (choice.sample == 0) {
    accumulate_gradient(a, stream);
    if (args.k > 0) largest_of_all<A>(args, stream);
    return;
  }
  const MagnitudeKey<A> low = low_key<T>(args, choice.sample, stream);
  const Buffer memory(static_cast<std::size_t>(choice.room + 2) * sizeof(std::int64_t), stream);
  auto* const counts = static_cast<std::int64_t*>(memory.data());
  std::int64_t* const found = counts + 2;
  zero_bytes(counts, 2 * sizeof(std::int64_t), stream);
  const auto run = [&](auto* kernel) {
    launch(stream, {.grid = blocks_for(a.n), .block = kThreads}, kernel, a.n, static_cast<const T*>(a.grad),
           static_cast<A>(a.momentum), static_cast<A*>(a.velocity), static_cast<A*>(a.residual), low, choice.room,
           found, counts);
  };
  if (a.velocity == nullptr) run(&accumulate_collect_kernel<T, false>);
  else run(&accumulate_collect_kernel<T, true>);
  std::int64_t host[2];
  copy_bytes(host, cpu_device, counts, stream.device(), sizeof(host), stream);
  stream.synchronize();
  *a.skipped = host[0];
  if (host[1] < args.k || host[1] > choice.room) largest_of_all<A>(args, stream);
  else largest_of<A>(found, host[1], args, stream);
}

}  // namespace

void accumulate_topk(const AccumulateTopkArgs& args, const Stream& stream) {
  dispatch_any_float("accumulate_topk", args.accumulate.dtype, [&]<class T>() { accumulate_largest<T>(args, stream); });
}

void emit_gradient(const EmitArgs& args, const Stream& stream) {
  dispatch_float("emit_gradient", args.dtype, [&]<class A>() {
    launch(stream, {.grid = blocks_for(args.count), .block = kThreads}, &emit_kernel<A>, args.wire, args.count,
           args.indices, static_cast<A*>(args.residual), static_cast<A*>(args.velocity), args.velocity != nullptr,
           args.sent);
  });
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
