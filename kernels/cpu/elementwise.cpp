// kernels/cpu/elementwise.cpp — elementwise operations with Highway and TBB.
//
// All of them run at the memory's speed; outputs larger than the last-level cache are written past it.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cpp"
#include <hwy/foreach_target.h>

#include <atomic>

#include "device/parallel.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/elementwise.hpp"

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

void relu_f32(const float* x, float* out, int64_t n, bool past_cache) {
  const hn::ScalableTag<float> d;
  const auto zero = hn::Zero(d);
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto relu_vector = [&](auto v) { return hn::IfThenZeroElse(hn::Le(v, zero), v); };
  int64_t i = 0;
  if (past_cache) {
    const auto misaligned = reinterpret_cast<uintptr_t>(out) / sizeof(float) % static_cast<uintptr_t>(lanes);
    const int64_t head = misaligned == 0 ? 0 : lanes - static_cast<int64_t>(misaligned);
    for (; i < head && i < n; ++i) out[i] = relu_of(x[i]);
    for (; i + 4 * lanes <= n; i += 4 * lanes) {
      const auto a = hn::LoadU(d, x + i);
      const auto b = hn::LoadU(d, x + i + lanes);
      const auto c = hn::LoadU(d, x + i + 2 * lanes);
      const auto e = hn::LoadU(d, x + i + 3 * lanes);
      hn::Stream(relu_vector(a), d, out + i);
      hn::Stream(relu_vector(b), d, out + i + lanes);
      hn::Stream(relu_vector(c), d, out + i + 2 * lanes);
      hn::Stream(relu_vector(e), d, out + i + 3 * lanes);
    }
    hwy::FlushStream();
  }
  for (; i + lanes <= n; i += lanes) hn::StoreU(relu_vector(hn::LoadU(d, x + i)), d, out + i);
  for (; i < n; ++i) out[i] = relu_of(x[i]);
}

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
namespace {

HWY_EXPORT(relu_f32);

constexpr int64_t kGrain = 1 << 15;            // elements of a task: 128 KiB of float32
constexpr int64_t kPastCacheBytes = 16 << 20;  // outputs from here on are written past the caches

/// A plain loop over [0, n) in parallel parts. The compiler vectorises what `body` inlines to.
template <class Body>
void for_each(int64_t n, const Body& body) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

}  // namespace

void relu(const UnaryArgs& args, const Stream&) {
  if (args.dtype == DType::float32) {
    const auto* x = static_cast<const float*>(args.x);
    auto* out = static_cast<float*>(args.out);
    const bool past_cache = args.n * 4 >= kPastCacheBytes && x != out;
    parallel_for(args.n, past_cache ? kGrain * 8 : kGrain, [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(relu_f32)(x + begin, out + begin, end - begin, past_cache);
    });
    return;
  }
  dispatch_any("relu", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    auto* out = static_cast<T*>(args.out);
    for_each(args.n, [=](int64_t i) { out[i] = relu_of(x[i]); });
  });
}

void relu_backward(const ReluBackwardArgs& args, const Stream&) {
  dispatch_any("relu_backward", args.dtype, [&]<class T>() {
    const auto* grad = static_cast<const T*>(args.grad);
    const auto* x = static_cast<const T*>(args.x);
    auto* out = static_cast<T*>(args.out);
    for_each(args.n, [=](int64_t i) { out[i] = relu_gradient(grad[i], x[i]); });
  });
}

void binary(const BinaryArgs& args, const Stream&) {
  dispatch_any("binary", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    const auto* y = static_cast<const T*>(args.y);
    auto* out = static_cast<T*>(args.out);
    for_each(args.n, [=, op = args.op, xs = args.x_stride, ys = args.y_stride](int64_t i) {
      out[i] = apply(op, x[i * xs], y[i * ys]);
    });
  });
}

void power(const PowerArgs& args, const Stream&) {
  dispatch_any("power", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    auto* out = static_cast<T*>(args.out);
    for_each(args.n, [=, exponent = args.exponent](int64_t i) { out[i] = power_of(x[i], exponent); });
  });
}

void cast(const CastArgs& args, const Stream&) {
  dispatch_any("cast", args.from, [&]<class From>() {
    dispatch_any("cast", args.to, [&]<class To>() {
      const auto* x = static_cast<const From*>(args.x);
      auto* out = static_cast<To*>(args.out);
      if (args.to == DType::boolean) {
        for_each(args.n, [=](int64_t i) { out[i] = static_cast<To>(is_nonzero(x[i])); });
      } else {
        for_each(args.n, [=](int64_t i) { out[i] = convert<To>(x[i]); });
      }
    });
  });
}

void equal(const EqualArgs& args, const Stream&) {
  dispatch_any("equal", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    const auto* y = static_cast<const T*>(args.y);
    std::atomic<bool> same{true};
    parallel_for(args.n, kGrain, [&](int64_t begin, int64_t end) {
      bool part = true;
      for (int64_t i = begin; i < end; ++i) part &= widen(x[i]) == widen(y[i]);
      if (!part) same.store(false, std::memory_order_relaxed);
    });
    *args.result = same.load();
  });
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
