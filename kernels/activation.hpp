// kernels/activation.hpp — the rule of each activation for one row or element, on host and device alike.
//
// Run as those of kernels/formats.hpp are; `P<T>` is the backend's pointer.
#pragma once

#include <cstdint>

#include "kernels/contract/activation.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/elementwise.hpp"

namespace sparsert::backend {

/// Above the threshold, or NaN.
template <class T>
constexpr bool passes(T x, Compute<T> threshold) {
  return !(widen(x) <= threshold);
}

template <template <class> class P, class T, class I>
struct CountPassing {
  std::int64_t cols;
  P<const T> x;
  Compute<T> threshold;
  P<I> counts;  // of row r at r + 1

  constexpr void operator()(std::int64_t r) const {
    I count = 0;
    for (std::int64_t c = 0; c < cols; ++c) count += passes<T>(x[r * cols + c], threshold) ? 1 : 0;
    counts[r + 1] = count;
  }
};

template <template <class> class P, class T, class I>
struct FillPassing {
  std::int64_t cols;
  P<const T> x;
  Compute<T> threshold;
  P<const I> row_offsets;
  P<I> columns;
  P<T> values;

  constexpr void operator()(std::int64_t r) const {
    std::int64_t e = static_cast<I>(row_offsets[r]);
    for (std::int64_t c = 0; c < cols; ++c) {
      const T v = x[r * cols + c];
      if (!passes(v, threshold)) continue;
      columns[e] = static_cast<I>(c);
      values[e++] = v;
    }
  }
};

template <template <class> class P, class T, class I>
struct PackPassing {
  std::int64_t cols;
  P<const T> x;
  Compute<T> threshold;
  P<const I> row_offsets;
  P<std::uint8_t> bits;
  P<T> values;

  constexpr void operator()(std::int64_t r) const {
    std::int64_t e = static_cast<I>(row_offsets[r]);
    const std::int64_t bytes = (cols + 7) / 8;
    for (std::int64_t b = 0; b < bytes; ++b) {
      unsigned byte = 0;
      const std::int64_t last = 8 * b + 8 < cols ? 8 * b + 8 : cols;
      for (std::int64_t c = 8 * b; c < last; ++c) {
        const T v = x[r * cols + c];
        if (!passes(v, threshold)) continue;
        byte |= 1u << (c - 8 * b);
        values[e++] = v;
      }
      bits[r * bytes + b] = static_cast<std::uint8_t>(byte);
    }
  }
};

template <template <class> class P, class T, class I>
struct GatherGradient {
  std::int64_t cols;
  P<const I> row_offsets;
  P<const I> columns;
  P<const T> entries;
  P<const T> grad;
  P<T> values;

  constexpr void operator()(std::int64_t r) const {
    const std::int64_t end = static_cast<I>(row_offsets[r + 1]);
    for (std::int64_t e = static_cast<I>(row_offsets[r]); e < end; ++e) {
      const T entry = entries[e];
      const T slope = grad[r * cols + static_cast<I>(columns[e])];
      values[e] = widen(entry) == widen(entry) ? slope : entry;
    }
  }
};

template <class T>
constexpr T activated(Activation activation, T x, Compute<T> slope) {
  const Compute<T> wide = widen(x);
  if (activation == Activation::leaky) return wide > 0 || !(wide == wide) ? x : narrow<T>(slope * wide);
  return wide <= 0 ? T{} : narrow<T>(wide * wide);
}

template <class T>
constexpr T activated_gradient(Activation activation, T grad, T x, Compute<T> slope) {
  const Compute<T> wide = widen(x);
  if (!(wide == wide)) return x;
  if (activation == Activation::leaky) return wide > 0 ? grad : narrow<T>(slope * widen(grad));
  return wide > 0 ? narrow<T>((wide + wide) * widen(grad)) : T{};
}

template <template <class> class P, class T>
struct Activate {
  Activation activation;
  Compute<T> slope;
  P<const T> x;
  P<T> out;

  constexpr void operator()(std::int64_t i) const { out[i] = activated<T>(activation, x[i], slope); }
};

template <template <class> class P, class T>
struct ActivateBackward {
  Activation activation;
  Compute<T> slope;
  P<const T> grad;
  P<const T> x;
  P<T> out;

  constexpr void operator()(std::int64_t i) const { out[i] = activated_gradient<T>(activation, grad[i], x[i], slope); }
};

template <template <class> class P, class T>
struct AddBias {
  std::int64_t cols;
  P<const T> bias;
  bool with_bias;
  bool relu;
  P<T> y;

  constexpr void operator()(std::int64_t i) const {
    T sum = y[i];
    if (with_bias) sum = sum + bias[i % cols];
    sum = sum + T{0};
    y[i] = relu ? relu_of(sum) : sum;
  }
};

template <template <class> class P, class T>
struct TransposeDense {
  std::int64_t rows;
  std::int64_t cols;
  P<const T> x;
  P<T> out;

  constexpr void operator()(std::int64_t i) const { out[i] = static_cast<T>(x[i % rows * cols + i / rows]); }
};

/// The operations of the contract on a backend that runs rules by E.
template <class E>
struct Activations {
  template <class T>
  using P = typename E::template Pointer<T>;

  static void relu_offsets(const ReluOffsetsArgs& args, const Stream& stream) {
    dispatch_any_float("relu_offsets", args.dtype, [&]<class T>() {
      dispatch_index("relu_offsets", args.index, [&]<class I>() {
        auto* const offsets = static_cast<I*>(args.row_offsets);
        const CountPassing<P, T, I> rule{args.cols, static_cast<const T*>(args.x),
                                         static_cast<Compute<T>>(args.threshold), offsets};
        E::rows(args.rows, rule, stream);
        E::offsets(offsets, args.rows, stream);
      });
    });
  }

  static void relu_csr(const ReluCsrArgs& args, const Stream& stream) {
    dispatch_any_float("relu_csr", args.dtype, [&]<class T>() {
      dispatch_index("relu_csr", args.index, [&]<class I>() {
        const FillPassing<P, T, I> rule{args.cols,
                                        static_cast<const T*>(args.x),
                                        static_cast<Compute<T>>(args.threshold),
                                        static_cast<const I*>(args.row_offsets),
                                        static_cast<I*>(args.columns),
                                        static_cast<T*>(args.values)};
        E::rows(args.rows, rule, stream);
      });
    });
  }

  static void relu_bitmap(const ReluBitmapArgs& args, const Stream& stream) {
    dispatch_any_float("relu_bitmap", args.dtype, [&]<class T>() {
      dispatch_index("relu_bitmap", args.index, [&]<class I>() {
        const PackPassing<P, T, I> rule{args.cols,
                                        static_cast<const T*>(args.x),
                                        static_cast<Compute<T>>(args.threshold),
                                        static_cast<const I*>(args.row_offsets),
                                        args.bits,
                                        static_cast<T*>(args.values)};
        E::rows(args.rows, rule, stream);
      });
    });
  }

  static void gather_gradient(const GatherGradientArgs& args, const Stream& stream) {
    dispatch_any_float("gather_gradient", args.a.dtype, [&]<class T>() {
      dispatch_index("gather_gradient", args.a.index, [&]<class I>() {
        const GatherGradient<P, T, I> rule{args.a.cols,
                                           static_cast<const I*>(args.a.row_offsets),
                                           static_cast<const I*>(args.a.columns),
                                           static_cast<const T*>(args.a.values),
                                           static_cast<const T*>(args.grad),
                                           static_cast<T*>(args.values)};
        E::rows(args.a.rows, rule, stream);
      });
    });
  }

  static void activate(const ActivateArgs& args, const Stream& stream) {
    dispatch_any_float("activate", args.dtype, [&]<class T>() {
      const Activate<P, T> rule{args.activation, static_cast<Compute<T>>(args.slope), static_cast<const T*>(args.x),
                                static_cast<T*>(args.out)};
      E::rows(args.n, rule, stream);
    });
  }

  static void activate_backward(const ActivateBackwardArgs& args, const Stream& stream) {
    dispatch_any_float("activate_backward", args.dtype, [&]<class T>() {
      const ActivateBackward<P, T> rule{args.activation, static_cast<Compute<T>>(args.slope),
                                        static_cast<const T*>(args.grad), static_cast<const T*>(args.x),
                                        static_cast<T*>(args.out)};
      E::rows(args.n, rule, stream);
    });
  }

  static void add_bias(const AddBiasArgs& args, const Stream& stream) {
    dispatch_float("add_bias", args.dtype, [&]<class T>() {
      const AddBias<P, T> rule{args.cols, static_cast<const T*>(args.bias), args.bias != nullptr, args.relu,
                               static_cast<T*>(args.y)};
      E::rows(args.rows * args.cols, rule, stream);
    });
  }

  static void transpose_dense(const TransposeDenseArgs& args, const Stream& stream) {
    dispatch_any("transpose_dense", args.dtype, [&]<class T>() {
      const TransposeDense<P, T> rule{args.rows, args.cols, static_cast<const T*>(args.x), static_cast<T*>(args.out)};
      E::rows(args.rows * args.cols, rule, stream);
    });
  }
};

}  // namespace sparsert::backend
