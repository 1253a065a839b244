// kernels/cpu/elementwise.cpp — elementwise operations with Highway and TBB.
//
// ReLU is Highway; the rest are plain loops over branchless forms, compiled once per instruction set, that the compiler
// vectorizes. 16-bit floats are widened and narrowed a block at a time. What matters is memory: an output too large for
// the caches is written past them, by way of a block that stays in the first level.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "device/parallel.hpp"
#include "kernels/contract/elementwise.hpp"
#include "kernels/cpu/branchless.hpp"
#include "kernels/cpu/half.hpp"
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

/// Calls f(i, n, out) for n elements from i on, a block at a time; `out` is where they go.
template <class T, class F>
void in_blocks(const Part& part, T* out, const F& f) {
  T block[kBlock];
  for (int64_t i = part.begin; i < part.end; i += kBlock) {
    const int64_t n = std::min(kBlock, part.end - i);
    if (part.past_cache) {
      f(i, n, block);
      write_past_cache(block, out + i, n);
    } else {
      f(i, n, out + i);
    }
  }
  if (part.past_cache) hwy::FlushStream();
}

/// to[j] = f(j) for a block. `f` has no branches, or few; it comes by value, since a byte stored could be part of it.
template <class T, class F>
HWY_INLINE void fill_block(int64_t n, T* to, const F f) {
  for (int64_t j = 0; j < n; ++j) to[j] = f(j);
}

/// n elements in the type they are computed in: themselves, or widened into `scratch`.
template <class T>
HWY_INLINE const Compute<T>* widened(const T* x, int64_t n, [[maybe_unused]] Compute<T>* scratch) {
  if constexpr (branchless::is_16_bit_float<T>) {
    widen_all(x, scratch, n);
    return scratch;
  } else {
    return x;
  }
}

/// The vector of ReLU: what is at most `bound` becomes 0. As integers, the 16-bit floats from -0 to -Inf are the
/// lowest.
template <class T, class D, class V>
HWY_INLINE V relu_vector(D d, V v) {
  using Lane = hn::TFromD<D>;
  if constexpr (std::is_floating_point_v<Lane>) {
    return hn::IfThenZeroElse(hn::Le(v, hn::Zero(d)), v);
  } else if constexpr (branchless::is_16_bit_float<T>) {
    constexpr auto kBound = static_cast<int16_t>(0x8000 | branchless::kInfinity<T>);
    return hn::IfThenElseZero(hn::Gt(v, hn::Set(d, kBound)), v);
  } else {
    return hn::IfThenElseZero(hn::Gt(v, hn::Zero(d)), v);
  }
}

template <class T>
void relu_of_type(const T* x, T* out, int64_t n, bool past_cache) {
  using Lane = std::conditional_t<branchless::is_16_bit_float<T>, int16_t, T>;
  const hn::ScalableTag<Lane> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto* from = reinterpret_cast<const Lane*>(x);
  auto* to = reinterpret_cast<Lane*>(out);
  int64_t i = 0;
  if (past_cache) {
    const auto misaligned = reinterpret_cast<uintptr_t>(to) / sizeof(Lane) % static_cast<uintptr_t>(lanes);
    const int64_t head = misaligned == 0 ? 0 : lanes - static_cast<int64_t>(misaligned);
    for (; i < head && i < n; ++i) out[i] = branchless::relu(x[i]);
    for (; i + 4 * lanes <= n; i += 4 * lanes) {
      const auto a = hn::LoadU(d, from + i);
      const auto b = hn::LoadU(d, from + i + lanes);
      const auto c = hn::LoadU(d, from + i + 2 * lanes);
      const auto e = hn::LoadU(d, from + i + 3 * lanes);
      hn::Stream(relu_vector<T>(d, a), d, to + i);
      hn::Stream(relu_vector<T>(d, b), d, to + i + lanes);
      hn::Stream(relu_vector<T>(d, c), d, to + i + 2 * lanes);
      hn::Stream(relu_vector<T>(d, e), d, to + i + 3 * lanes);
    }
    hwy::FlushStream();
  }
  for (; i + lanes <= n; i += lanes) hn::StoreU(relu_vector<T>(d, hn::LoadU(d, from + i)), d, to + i);
  for (; i < n; ++i) out[i] = branchless::relu(x[i]);
}

/// Unsigned values are their own ReLU.
template <>
void relu_of_type(const uint8_t* x, uint8_t* out, int64_t n, bool past_cache) {
  if (past_cache) write_past_cache(x, out, n);
  else if (x != out) std::memcpy(out, x, static_cast<size_t>(n));
  if (past_cache) hwy::FlushStream();
}

template <BinaryOp kOp, class T>
void binary_of(const BinaryArgs& args, const Part& part) {
  using C = Compute<T>;
  const auto* x = static_cast<const T*>(args.x);
  const auto* y = static_cast<const T*>(args.y);
  in_blocks(part, static_cast<T*>(args.out), [&](int64_t i, int64_t n, T* to) HWY_ATTR {
    C wide_x[kBlock];
    C wide_y[kBlock];
    C result[kBlock];
    C* const results = branchless::is_16_bit_float<T> ? result : reinterpret_cast<C*>(to);
    if (args.x_stride == 0) {
      const C a = widen(*x);
      const C* const b = widened(y + i, n, wide_y);
      fill_block(n, results, [=](int64_t j) HWY_ATTR { return apply(kOp, a, b[j]); });
    } else if (args.y_stride == 0) {
      const C* const a = widened(x + i, n, wide_x);
      const C b = widen(*y);
      fill_block(n, results, [=](int64_t j) HWY_ATTR { return apply(kOp, a[j], b); });
    } else {
      const C* const a = widened(x + i, n, wide_x);
      const C* const b = widened(y + i, n, wide_y);
      fill_block(n, results, [=](int64_t j) HWY_ATTR { return apply(kOp, a[j], b[j]); });
    }
    if constexpr (branchless::is_16_bit_float<T>) narrow_all(result, to, n);
  });
}

template <class To, class From>
void convert_block(const From* x, int64_t n, To* to) {
  if constexpr (std::is_same_v<To, From>) {
    std::memmove(to, x, static_cast<size_t>(n) * sizeof(To));
  } else if constexpr (branchless::is_16_bit_float<From>) {
    if constexpr (std::is_same_v<To, float>) {
      widen_all(x, to, n);
    } else {
      float wide[kBlock];
      widen_all(x, wide, n);
      convert_block<To, float>(wide, n, to);
    }
  } else if constexpr (branchless::is_16_bit_float<To> && std::is_same_v<From, float>) {
    narrow_all(x, to, n);
  } else if constexpr (branchless::is_16_bit_float<To> && !std::is_same_v<From, int64_t>) {
    float odd[kBlock];  // double holds every value of the other types
    fill_block(n, odd, [=](int64_t j) HWY_ATTR { return branchless::round_to_odd(static_cast<double>(x[j])); });
    narrow_all(odd, to, n);
  } else {
    fill_block(n, to, [=](int64_t j) HWY_ATTR { return branchless::convert<To>(x[j]); });
  }
}

}  // namespace

void relu_part(const UnaryArgs& args, const Part& part) {
  dispatch_any("relu", args.dtype, [&]<class T>() HWY_ATTR {
    const int64_t n = part.end - part.begin;
    relu_of_type(static_cast<const T*>(args.x) + part.begin, static_cast<T*>(args.out) + part.begin, n,
                 part.past_cache);
  });
}

void relu_backward_part(const ReluBackwardArgs& args, const Part& part) {
  dispatch_any("relu_backward", args.dtype, [&]<class T>() HWY_ATTR {
    const auto* grad = static_cast<const T*>(args.grad);
    const auto* x = static_cast<const T*>(args.x);
    in_blocks(part, static_cast<T*>(args.out), [=](int64_t i, int64_t n, T* to) HWY_ATTR {
      fill_block(n, to, [=](int64_t j) HWY_ATTR { return branchless::relu_gradient(grad[i + j], x[i + j]); });
    });
  });
}

void binary_part(const BinaryArgs& args, const Part& part) {
  dispatch_any("binary", args.dtype, [&]<class T>() HWY_ATTR {
    switch (args.op) {
      case BinaryOp::add: return binary_of<BinaryOp::add, T>(args, part);
      case BinaryOp::subtract: return binary_of<BinaryOp::subtract, T>(args, part);
      case BinaryOp::multiply: return binary_of<BinaryOp::multiply, T>(args, part);
    }
  });
}

void power_part(const PowerArgs& args, const Part& part) {
  dispatch_any("power", args.dtype, [&]<class T>() HWY_ATTR {
    using C = Compute<T>;
    const auto* x = static_cast<const T*>(args.x);
    in_blocks(part, static_cast<T*>(args.out), [&](int64_t i, int64_t n, T* to) HWY_ATTR {
      C wide[kBlock];
      C result[kBlock];
      const C* const base = widened(x + i, n, wide);
      std::fill_n(result, n, C{1});  // 1 · x is x
      for (int e = 0; e < args.exponent; ++e) {
        fill_block(n, result,
                   [=, r = +result](int64_t j) HWY_ATTR { return apply(BinaryOp::multiply, r[j], base[j]); });
      }
      convert_block<T, C>(result, n, to);
    });
  });
}

void cast_part(const CastArgs& args, const Part& part) {
  dispatch_any("cast", args.from, [&]<class From>() HWY_ATTR {
    const auto* x = static_cast<const From*>(args.x);
    if (args.to == DType::boolean) {
      in_blocks(part, static_cast<uint8_t*>(args.out), [=](int64_t i, int64_t n, uint8_t* to) HWY_ATTR {
        fill_block(n, to, [=](int64_t j) HWY_ATTR { return static_cast<uint8_t>(is_nonzero(x[i + j])); });
      });
      return;
    }
    dispatch_any("cast", args.to, [&]<class To>() HWY_ATTR {
      in_blocks(part, static_cast<To*>(args.out),
                [=](int64_t i, int64_t n, To* to) HWY_ATTR { convert_block<To, From>(x + i, n, to); });
    });
  });
}

bool equal_part(const EqualArgs& args, const Part& part) {
  bool same = true;
  dispatch_any("equal", args.dtype, [&]<class T>() HWY_ATTR {
    using C = Compute<T>;
    const auto* x = static_cast<const T*>(args.x);
    const auto* y = static_cast<const T*>(args.y);
    C wide_x[kBlock];
    C wide_y[kBlock];
    for (int64_t i = part.begin; i < part.end && same; i += kBlock) {
      const int64_t n = std::min(kBlock, part.end - i);
      const C* const a = widened(x + i, n, wide_x);
      const C* const b = widened(y + i, n, wide_y);
      int different = 0;
      for (int64_t j = 0; j < n; ++j) different |= a[j] != b[j];
      same = different == 0;
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

void power(const PowerArgs& args, const Stream& stream) {
  if (args.exponent == 2) {  // the common one, in a single pass
    binary({args.dtype, BinaryOp::multiply, args.n, args.x, 1, args.x, 1, args.out}, stream);
    return;
  }
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
