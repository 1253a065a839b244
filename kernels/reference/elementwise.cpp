// kernels/reference/elementwise.cpp — elementwise operations, one element at a time: what they mean.
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/contract/elementwise.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/elementwise.hpp"

namespace sparsert::backend::reference {

void relu(const UnaryArgs& args, const Stream&) {
  dispatch_any("relu", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    auto* out = static_cast<T*>(args.out);
    for (std::int64_t i = 0; i < args.n; ++i) out[i] = relu_of(x[i]);
  });
}

void relu_backward(const ReluBackwardArgs& args, const Stream&) {
  dispatch_any("relu_backward", args.dtype, [&]<class T>() {
    const auto* grad = static_cast<const T*>(args.grad);
    const auto* x = static_cast<const T*>(args.x);
    auto* out = static_cast<T*>(args.out);
    for (std::int64_t i = 0; i < args.n; ++i) out[i] = relu_gradient(grad[i], x[i]);
  });
}

void binary(const BinaryArgs& args, const Stream&) {
  dispatch_any("binary", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    const auto* y = static_cast<const T*>(args.y);
    auto* out = static_cast<T*>(args.out);
    for (std::int64_t i = 0; i < args.n; ++i) {
      out[i] = apply(args.op, x[i * args.x_stride], y[i * args.y_stride]);
    }
  });
}

void power(const PowerArgs& args, const Stream&) {
  dispatch_any("power", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    auto* out = static_cast<T*>(args.out);
    for (std::int64_t i = 0; i < args.n; ++i) out[i] = power_of(x[i], args.exponent);
  });
}

void cast(const CastArgs& args, const Stream&) {
  dispatch_any("cast", args.from, [&]<class From>() {
    dispatch_any("cast", args.to, [&]<class To>() {
      const auto* x = static_cast<const From*>(args.x);
      auto* out = static_cast<To*>(args.out);
      for (std::int64_t i = 0; i < args.n; ++i) out[i] = convert<To>(x[i]);
      if constexpr (std::is_same_v<To, std::uint8_t>) {  // bool is stored so
        if (args.to != DType::boolean) return;
        for (std::int64_t i = 0; i < args.n; ++i) out[i] = is_nonzero(x[i]) ? 1 : 0;
      }
    });
  });
}

void equal(const EqualArgs& args, const Stream&) {
  dispatch_any("equal", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    const auto* y = static_cast<const T*>(args.y);
    *args.result = true;
    for (std::int64_t i = 0; i < args.n; ++i) {
      if (!(widen(x[i]) == widen(y[i]))) *args.result = false;
    }
  });
}

}  // namespace sparsert::backend::reference
