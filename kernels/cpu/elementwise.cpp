// kernels/cpu/elementwise.cpp — elementwise operations with Highway and TBB.
//
// Plain loops over branchless forms, compiled once per instruction set: the compiler vectorizes them. What matters is
// memory: an output too large for the caches is written past them, by way of a block that stays in the first level.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "device/parallel.hpp"
#include "kernels/cpu/branchless.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/elementwise.hpp"

#ifndef SPARSERT_KERNELS_CPU_ELEMENTWISE_PART
#define SPARSERT_KERNELS_CPU_ELEMENTWISE_PART
namespace sparsert::backend::cpu {
namespace {

/// What one thread does of an operation.
struct Part {
  int64_t begin;
  int64_t end;
  bool past_cache;  // write the output with non-temporal stores
};

}  // namespace
}  // namespace sparsert::backend::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kBlock = 512;  // elements computed before they are written: at most 4 KiB

/// Copies to `to` with non-temporal stores; `to` is aligned to its elements.
template <class T>
void write_past_cache(const T* from, T* to, int64_t n) {
  const hn::ScalableTag<uint8_t> d;
  const auto width = static_cast<uintptr_t>(hn::Lanes(d));
  const uintptr_t misaligned = reinterpret_cast<uintptr_t>(to) % width;
  const int64_t bytes = n * static_cast<int64_t>(sizeof(T));
  int64_t i = misaligned == 0 ? 0 : std::min(bytes, static_cast<int64_t>(width - misaligned));
  const auto* source = reinterpret_cast<const uint8_t*>(from);
  auto* target = reinterpret_cast<uint8_t*>(to);
  std::memcpy(target, source, static_cast<size_t>(i));
  const auto step = static_cast<int64_t>(width);
  for (; i + step <= bytes; i += step) hn::Stream(hn::LoadU(d, source + i), d, target + i);
  std::memcpy(target + i, source + i, static_cast<size_t>(bytes - i));
}

/// out[i] = f(i) for the part. `f` has no branches, or few.
template <class T, class F>
void fill(const Part& part, T* out, const F& f) {
  if (!part.past_cache) {
    for (int64_t i = part.begin; i < part.end; ++i) out[i] = f(i);
    return;
  }
  T block[kBlock];
  for (int64_t i = part.begin; i < part.end; i += kBlock) {
    const int64_t n = std::min(kBlock, part.end - i);
    for (int64_t j = 0; j < n; ++j) block[j] = f(i + j);
    write_past_cache(block, out + i, n);
  }
  hwy::FlushStream();
}

template <class T>
struct Relu {
  const T* x;
  T operator()(int64_t i) const { return branchless::relu(x[i]); }
};

template <class T>
struct ReluBackward {
  const T* grad;
  const T* x;
  T operator()(int64_t i) const { return branchless::relu_gradient(grad[i], x[i]); }
};

template <class To, class From>
struct Convert {
  const From* x;
  To operator()(int64_t i) const { return branchless::convert<To>(x[i]); }
};

template <class From>
struct ToBoolean {
  const From* x;
  uint8_t operator()(int64_t i) const { return branchless::widen(x[i]) != 0; }
};

/// An operand that is read with its stride of 0 or 1.
template <class T, bool kRepeated>
struct Operand {
  const T* x;
  T operator[](int64_t i) const { return x[kRepeated ? 0 : i]; }
};

template <BinaryOp kOp, class T, bool kRepeatX, bool kRepeatY>
struct Arithmetic {
  Operand<T, kRepeatX> x;
  Operand<T, kRepeatY> y;
  T operator()(int64_t i) const {
    if constexpr (branchless::is_16_bit_float<T>) {
      return branchless::narrow<T>(apply(kOp, branchless::widen(x[i]), branchless::widen(y[i])));
    } else {
      return apply(kOp, x[i], y[i]);
    }
  }
};

template <BinaryOp kOp, class T>
void binary_of(const BinaryArgs& args, const Part& part) {
  const auto* x = static_cast<const T*>(args.x);
  const auto* y = static_cast<const T*>(args.y);
  auto* out = static_cast<T*>(args.out);
  if (args.x_stride == 0) {
    fill(part, out, Arithmetic<kOp, T, true, false>{{x}, {y}});
  } else if (args.y_stride == 0) {
    fill(part, out, Arithmetic<kOp, T, false, true>{{x}, {y}});
  } else {
    fill(part, out, Arithmetic<kOp, T, false, false>{{x}, {y}});
  }
}

void relu_f32(const float* x, float* out, int64_t n, bool past_cache) {
  const hn::ScalableTag<float> d;
  const auto zero = hn::Zero(d);
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto relu_vector = [&](auto v) HWY_ATTR { return hn::IfThenZeroElse(hn::Le(v, zero), v); };
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

}  // namespace

void relu_part(const UnaryArgs& args, const Part& part) {
  if (args.dtype == DType::float32) {
    const auto* x = static_cast<const float*>(args.x);
    relu_f32(x + part.begin, static_cast<float*>(args.out) + part.begin, part.end - part.begin, part.past_cache);
    return;
  }
  dispatch_any("relu", args.dtype,
               [&]<class T>() { fill(part, static_cast<T*>(args.out), Relu<T>{static_cast<const T*>(args.x)}); });
}

void relu_backward_part(const ReluBackwardArgs& args, const Part& part) {
  dispatch_any("relu_backward", args.dtype, [&]<class T>() {
    const ReluBackward<T> f{static_cast<const T*>(args.grad), static_cast<const T*>(args.x)};
    fill(part, static_cast<T*>(args.out), f);
  });
}

void binary_part(const BinaryArgs& args, const Part& part) {
  dispatch_any("binary", args.dtype, [&]<class T>() {
    switch (args.op) {
      case BinaryOp::add: return binary_of<BinaryOp::add, T>(args, part);
      case BinaryOp::subtract: return binary_of<BinaryOp::subtract, T>(args, part);
      case BinaryOp::multiply: return binary_of<BinaryOp::multiply, T>(args, part);
    }
  });
}

void power_part(const PowerArgs& args, const Part& part) {
  dispatch_any("power", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    auto* out = static_cast<T*>(args.out);
    Compute<T> base[kBlock];
    Compute<T> result[kBlock];
    T block[kBlock];
    for (int64_t i = part.begin; i < part.end; i += kBlock) {
      const int64_t n = std::min(kBlock, part.end - i);
      for (int64_t j = 0; j < n; ++j) base[j] = branchless::widen(x[i + j]);
      std::fill_n(result, n, Compute<T>{1});  // 1 · x is x, also for NaN
      for (int e = 0; e < args.exponent; ++e) {
        for (int64_t j = 0; j < n; ++j) result[j] = apply(BinaryOp::multiply, result[j], base[j]);
      }
      for (int64_t j = 0; j < n; ++j) block[j] = branchless::narrow<T>(result[j]);
      if (part.past_cache) write_past_cache(block, out + i, n);
      else std::copy_n(block, n, out + i);
    }
    if (part.past_cache) hwy::FlushStream();
  });
}

void cast_part(const CastArgs& args, const Part& part) {
  dispatch_any("cast", args.from, [&]<class From>() {
    const auto* x = static_cast<const From*>(args.x);
    if (args.to == DType::boolean) {
      fill(part, static_cast<uint8_t*>(args.out), ToBoolean<From>{x});
      return;
    }
    dispatch_any("cast", args.to, [&]<class To>() { fill(part, static_cast<To*>(args.out), Convert<To, From>{x}); });
  });
}

bool equal_part(const EqualArgs& args, const Part& part) {
  bool same = true;
  dispatch_any("equal", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    const auto* y = static_cast<const T*>(args.y);
    for (int64_t i = part.begin; i < part.end; i += kBlock) {
      const int64_t end = std::min(part.end, i + kBlock);
      int different = 0;
      for (int64_t j = i; j < end; ++j) different |= branchless::widen(x[j]) != branchless::widen(y[j]);
      same = same && different == 0;
      if (!same) return;
    }
  });
  return same;
}

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
namespace {

HWY_EXPORT(relu_part);
HWY_EXPORT(relu_backward_part);
HWY_EXPORT(binary_part);
HWY_EXPORT(power_part);
HWY_EXPORT(cast_part);
HWY_EXPORT(equal_part);

constexpr int64_t kGrainBytes = 128 << 10;     // of a task
constexpr int64_t kPastCacheBytes = 16 << 20;  // outputs from here on are written past the caches

/// Runs `run_part` over n elements of at most `item_bytes` each. An output that is also an input is in the caches
/// anyway, when its turn comes.
template <class RunPart>
void in_parts(int64_t n, size_t item_bytes, bool in_place, const RunPart& run_part) {
  const auto bytes = static_cast<int64_t>(item_bytes);
  const bool past_cache = !in_place && n >= kPastCacheBytes / bytes;
  const int64_t grain = kGrainBytes / bytes * (past_cache ? 8 : 1);
  parallel_for(n, grain, [&](int64_t begin, int64_t end) { run_part(Part{begin, end, past_cache}); });
}

}  // namespace

void relu(const UnaryArgs& args, const Stream&) {
  in_parts(args.n, size_of(args.dtype), args.x == args.out, [&](const Part& part) {
    HWY_DYNAMIC_DISPATCH(relu_part)(args, part);
  });
}

void relu_backward(const ReluBackwardArgs& args, const Stream&) {
  in_parts(args.n, size_of(args.dtype), args.grad == args.out || args.x == args.out, [&](const Part& part) {
    HWY_DYNAMIC_DISPATCH(relu_backward_part)(args, part);
  });
}

void binary(const BinaryArgs& args, const Stream&) {
  in_parts(args.n, size_of(args.dtype), args.x == args.out || args.y == args.out, [&](const Part& part) {
    HWY_DYNAMIC_DISPATCH(binary_part)(args, part);
  });
}

void power(const PowerArgs& args, const Stream&) {
  in_parts(args.n, size_of(args.dtype), args.x == args.out, [&](const Part& part) {
    HWY_DYNAMIC_DISPATCH(power_part)(args, part);
  });
}

void cast(const CastArgs& args, const Stream&) {
  in_parts(args.n, size_of(args.to), args.x == args.out, [&](const Part& part) {
    HWY_DYNAMIC_DISPATCH(cast_part)(args, part);
  });
}

void equal(const EqualArgs& args, const Stream&) {
  std::atomic<bool> same{true};
  in_parts(args.n, size_of(args.dtype), true, [&](const Part& part) {
    if (!HWY_DYNAMIC_DISPATCH(equal_part)(args, part)) same.store(false, std::memory_order_relaxed);
  });
  *args.result = same.load();
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
