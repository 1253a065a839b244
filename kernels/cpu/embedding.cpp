// kernels/cpu/embedding.cpp — rows of a table gathered into bags, with Highway and TBB.
//
// A bag's rows lie anywhere in a table larger than the caches: its speed is that of memory. So rows are asked for well
// before they are added, and a bag's sums stay in registers.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/embedding.cpp"
#include <hwy/foreach_target.h>

#include "kernels/embedding.hpp"

#include <algorithm>

#include "device/parallel.hpp"
#include "kernels/cpu/each.hpp"
#include "kernels/cpu/half.hpp"
#include "kernels/cpu/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

template <class T, class D>
HWY_INLINE hn::Vec<D> load_wide(D d, const T* x) {
  if constexpr (std::is_same_v<Compute<T>, T>) {
    return hn::LoadU(d, x);
  } else {
    return widen_vector<T>(d, hn::LoadU(hn::Rebind<uint16_t, D>(), reinterpret_cast<const uint16_t*>(x)));
  }
}

template <class T, class D>
HWY_INLINE void store_narrow(D d, hn::Vec<D> x, T* out) {
  if constexpr (std::is_same_v<Compute<T>, T>) {
    hn::StoreU(x, d, out);
  } else {
    hn::StoreU(narrow_vector<T>(d, x), hn::Rebind<uint16_t, D>(), reinterpret_cast<uint16_t*>(out));
  }
}

/// Elements of a bag's rows from d0 on, kVectors vectors of them.
template <int kVectors, class T, class I>
HWY_INLINE void sum_tile(const EmbeddingBagArgs& args, int64_t first, int64_t last, int64_t ahead_end, int64_t d0,
                         T* out) {
  constexpr int64_t kAhead = 16;  // rows asked for before they are added
  using A = Compute<T>;
  const hn::ScalableTag<A> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int kLanes = hn::MaxLanes(d);
  const auto* table = static_cast<const T*>(args.table) + d0;
  const auto* indices = static_cast<const I*>(args.indices);
  const auto* weights = static_cast<const T*>(args.weights);
  V sums[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) sums[v] = hn::Zero(d);
  for (int64_t e = first; e < last; ++e) {
    if (e + kAhead < ahead_end) {
      const auto* const next =
          reinterpret_cast<const char*>(table + static_cast<int64_t>(indices[e + kAhead]) * args.dim);
#pragma GCC unroll 8
      for (int64_t line = 0; line < kVectors * kLanes * static_cast<int64_t>(sizeof(T)); line += 64) {
        hwy::Prefetch(next + line);
      }
    }
    const T* const row = table + static_cast<int64_t>(indices[e]) * args.dim;
    if (weights == nullptr) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[v] = hn::Add(sums[v], load_wide(d, row + v * kLanes));
    } else {
      const V weight = hn::Set(d, widen(weights[e]));
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        sums[v] = fused_multiply_add(weight, load_wide(d, row + v * kLanes), sums[v]);
      }
    }
  }
  const bool mean = args.mode == BagMode::mean && last > first;
  const V count = hn::Set(d, static_cast<A>(last - first));
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const V sum = mean ? hn::Div(sums[v], count) : sums[v];
    store_narrow<T>(d, hn::Add(sum, hn::Zero(d)), out + d0 + v * kLanes);
  }
}

/// Bags [begin, end) of sums or means.
template <class T, class I>
void sum_bags(const EmbeddingBagArgs& args, int64_t begin, int64_t end) {
  constexpr int kLanes = hn::MaxLanes(hn::ScalableTag<Compute<T>>());
  const auto* offsets = static_cast<const I*>(args.offsets);
  const int64_t ahead_end = offsets[end];
  const SumBag<Each::Pointer, T, I> rule{args.dim,
                                         static_cast<const T*>(args.table),
                                         static_cast<const I*>(args.indices),
                                         offsets,
                                         static_cast<const T*>(args.weights),
                                         args.weights != nullptr,
                                         args.mode,
                                         static_cast<T*>(args.out)};
  for (int64_t b = begin; b < end; ++b) {
    T* const out = static_cast<T*>(args.out) + b * args.dim;
    int64_t d = 0;
    for (; d + 8 * kLanes <= args.dim; d += 8 * kLanes) {
      sum_tile<8, T, I>(args, offsets[b], offsets[b + 1], ahead_end, d, out);
    }
    for (; d + kLanes <= args.dim; d += kLanes) {
      sum_tile<1, T, I>(args, offsets[b], offsets[b + 1], ahead_end, d, out);
    }
    for (; d < args.dim; ++d) rule(b * args.dim + d);
  }
}

template <class T>
void sum_any(const EmbeddingBagArgs& args, int64_t begin, int64_t end) {
  if (args.index == DType::int32) sum_bags<T, std::int32_t>(args, begin, end);
  else sum_bags<T, std::int64_t>(args, begin, end);
}
void sum_f16(const EmbeddingBagArgs& args, int64_t begin, int64_t end) { sum_any<float16>(args, begin, end); }
void sum_bf16(const EmbeddingBagArgs& args, int64_t begin, int64_t end) { sum_any<bfloat16>(args, begin, end); }
void sum_f32(const EmbeddingBagArgs& args, int64_t begin, int64_t end) { sum_any<float>(args, begin, end); }
void sum_f64(const EmbeddingBagArgs& args, int64_t begin, int64_t end) { sum_any<double>(args, begin, end); }

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
namespace {

HWY_EXPORT(sum_f16);
HWY_EXPORT(sum_bf16);
HWY_EXPORT(sum_f32);
HWY_EXPORT(sum_f64);

}  // namespace

void embedding_bag(const EmbeddingBagArgs& args, const Stream& stream) {
  if (args.mode == BagMode::max) return Embedding<Each>::embedding_bag(args, stream);
  const auto run = [&] {
    switch (args.dtype) {
      case DType::float16: return HWY_DYNAMIC_DISPATCH(sum_f16);
      case DType::bfloat16: return HWY_DYNAMIC_DISPATCH(sum_bf16);
      case DType::float64: return HWY_DYNAMIC_DISPATCH(sum_f64);
      default: return HWY_DYNAMIC_DISPATCH(sum_f32);
    }
  }();
  const int64_t grain = std::max<int64_t>(1, args.bags / (8 * int64_t{num_threads()}));
  parallel_for(args.bags, grain, [&](int64_t begin, int64_t end) { run(args, begin, end); });
}

void bag_winners(const BagWinnersArgs& args, const Stream& stream) { Embedding<Each>::bag_winners(args, stream); }

void bag_max_backward(const BagMaxBackwardArgs& args, const Stream& stream) {
  Embedding<Each>::bag_max_backward(args, stream);
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
