// kernels/cuda/elementwise.cu — elementwise operations: one thread for one vector of at most 16 bytes.
//
// They move the bytes they must and nothing else. Where a pointer is not aligned to the vector, a thread takes one
// element.
#include "kernels/elementwise.hpp"

#include <algorithm>

#include "device/intrinsics.cuh"
#include "device/kernel.cuh"
#include "kernels/contract/elementwise.hpp"
#include "kernels/dispatch.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

constexpr int kBlock = 256;

template <class T>
struct Relu {
  __device__ T operator()(T x) const { return relu_of(x); }
};

template <class T>
struct ReluBackward {
  __device__ T operator()(T grad, T x) const { return relu_gradient(grad, x); }
};

template <class T>
struct Arithmetic {
  BinaryOp op;
  __device__ T operator()(T x, T y) const { return apply(op, x, y); }
};

template <class T>
struct Power {
  int exponent;
  __device__ T operator()(T x) const { return power_of(x, exponent); }
};

template <class To, class From>
struct Cast {
  __device__ To operator()(From x) const { return convert<To>(x); }
};

template <class From>
struct CastToBoolean {
  __device__ std::uint8_t operator()(From x) const { return is_nonzero(x); }
};

__device__ __forceinline__ std::int64_t global_thread() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// grid: (n / N, rounded up, / kBlock, rounded up)
// block: kBlock
// shared: none
// requires: x and out aligned to N elements; out may be x
template <int N, class Op, class To, class From>
__global__ __launch_bounds__(kBlock) void unary_kernel(Op op, std::int64_t n, Global<const From> x, Global<To> out) {
  const std::int64_t i = global_thread() * N;
  if (i + N <= n) {
    const Vec<From, N> in = load_vec<N>(x, i);
    Vec<To, N> result;
    for (int j = 0; j < N; ++j) result[j] = op(in[j]);
    store_vec<N>(out, i, result);
  } else {
    for (std::int64_t j = i; j < n; ++j) out[j] = op(x[j]);
  }
}

// grid: (n / N, rounded up, / kBlock, rounded up)
// block: kBlock
// shared: none
// requires: x, y and out aligned to N elements; strides 0 or 1, and 1 where N > 1; out may be x or y
template <int N, class Op, class T>
__global__ __launch_bounds__(kBlock) void binary_kernel(Op op, std::int64_t n, Global<const T> x, std::int64_t x_stride,
                                                        Global<const T> y, std::int64_t y_stride, Global<T> out) {
  const std::int64_t i = global_thread() * N;
  if (N > 1 && i + N <= n) {
    const Vec<T, N> a = load_vec<N>(x, i);
    const Vec<T, N> b = load_vec<N>(y, i);
    Vec<T, N> result;
    for (int j = 0; j < N; ++j) result[j] = op(a[j], b[j]);
    store_vec<N>(out, i, result);
  } else {
    for (std::int64_t j = i; j < n && j < i + N; ++j) out[j] = op(x[j * x_stride], y[j * y_stride]);
  }
}

// grid: (n / kBlock, rounded up)
// block: kBlock
// shared: none
// requires: *different is 0 at the start; it is not 0 at the end where any element differs
template <class T>
__global__ __launch_bounds__(kBlock) void difference_kernel(std::int64_t n, Global<const T> x, Global<const T> y,
                                                            Global<std::uint32_t> different) {
  const std::int64_t i = global_thread();
  const bool differs = i < n && !(widen(x[i]) == widen(y[i]));
  if (__any_sync(0xffffffffu, differs) && lane_id() == 0) atomic_or(different, 0, 1u);
}

/// The widest vector of elements of both types.
template <class To, class From>
constexpr int kWidth = 16 / static_cast<int>(std::max(sizeof(To), sizeof(From)));

std::int64_t blocks_for(std::int64_t n, int per_thread) {
  const std::int64_t per_block = std::int64_t{kBlock} * per_thread;
  return (n + per_block - 1) / per_block;
}

template <class To, class From, class Op>
void map(const Stream& stream, Op op, std::int64_t n, const void* x, void* out) {
  constexpr int kN = kWidth<To, From>;
  const auto* from = static_cast<const From*>(x);
  auto* to = static_cast<To*>(out);
  if (is_aligned<kN>(from) && is_aligned<kN>(to)) {
    launch(stream, {.grid = blocks_for(n, kN), .block = kBlock}, &unary_kernel<kN, Op, To, From>, op, n, from, to);
  } else {
    launch(stream, {.grid = blocks_for(n, 1), .block = kBlock}, &unary_kernel<1, Op, To, From>, op, n, from, to);
  }
}

template <class T, class Op>
void map2(const Stream& stream, Op op, std::int64_t n, const void* x_data, std::int64_t x_stride, const void* y_data,
          std::int64_t y_stride, void* out_data) {
  constexpr int kN = kWidth<T, T>;
  const auto* x = static_cast<const T*>(x_data);
  const auto* y = static_cast<const T*>(y_data);
  auto* out = static_cast<T*>(out_data);
  const bool vectors = x_stride == 1 && y_stride == 1 && is_aligned<kN>(x) && is_aligned<kN>(y) && is_aligned<kN>(out);
  if (vectors) {
    launch(stream, {.grid = blocks_for(n, kN), .block = kBlock}, &binary_kernel<kN, Op, T>, op, n, x, x_stride, y,
           y_stride, out);
  } else {
    launch(stream, {.grid = blocks_for(n, 1), .block = kBlock}, &binary_kernel<1, Op, T>, op, n, x, x_stride, y,
           y_stride, out);
  }
}

}  // namespace

void relu(const UnaryArgs& args, const Stream& stream) {
  dispatch_any("relu", args.dtype, [&]<class T>() { map<T, T>(stream, Relu<T>{}, args.n, args.x, args.out); });
}

void relu_backward(const ReluBackwardArgs& args, const Stream& stream) {
  dispatch_any("relu_backward", args.dtype,
               [&]<class T>() { map2<T>(stream, ReluBackward<T>{}, args.n, args.grad, 1, args.x, 1, args.out); });
}

void binary(const BinaryArgs& args, const Stream& stream) {
  dispatch_any("binary", args.dtype, [&]<class T>() {
    map2<T>(stream, Arithmetic<T>{args.op}, args.n, args.x, args.x_stride, args.y, args.y_stride, args.out);
  });
}

void power(const PowerArgs& args, const Stream& stream) {
  dispatch_any("power", args.dtype,
               [&]<class T>() { map<T, T>(stream, Power<T>{args.exponent}, args.n, args.x, args.out); });
}

void cast(const CastArgs& args, const Stream& stream) {
  dispatch_any("cast", args.from, [&]<class From>() {
    if (args.to == DType::boolean) {
      map<std::uint8_t, From>(stream, CastToBoolean<From>{}, args.n, args.x, args.out);
      return;
    }
    dispatch_any("cast", args.to,
                 [&]<class To>() { map<To, From>(stream, Cast<To, From>{}, args.n, args.x, args.out); });
  });
}

void equal(const EqualArgs& args, const Stream& stream) {
  const Buffer different(sizeof(std::uint32_t), stream);
  zero_bytes(different.data(), different.bytes(), stream);
  dispatch_any("equal", args.dtype, [&]<class T>() {
    launch(stream, {.grid = blocks_for(args.n, 1), .block = kBlock}, &difference_kernel<T>, args.n,
           static_cast<const T*>(args.x), static_cast<const T*>(args.y), static_cast<std::uint32_t*>(different.data()));
  });
  std::uint32_t result = 0;
  copy_bytes(&result, cpu_device, different.data(), stream.device(), sizeof(result), stream);
  stream.synchronize();
  *args.result = result == 0;
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
