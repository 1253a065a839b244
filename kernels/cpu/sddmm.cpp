// kernels/cpu/sddmm.cpp — dense times dense on a pattern, with Highway and TBB.
//
// The 16 lanes of an entry's sum are two vectors of eight floats, or four of four doubles. Four entries of a row share
// each load of x; the trees of eight entries (of four, in double) are added side by side, so that the results lie in
// one vector. The matrix is walked in strips of columns whose rows of y stay in the second-level cache.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sddmm.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "device/parallel.hpp"
#include "kernels/contract/sddmm.hpp"
#include "kernels/cpu/panels.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/widened.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/lanes.hpp"

#ifndef SPARSERT_KERNELS_CPU_SDDMM_CPP
#define SPARSERT_KERNELS_CPU_SDDMM_CPP
namespace sparsert::backend::cpu {

/// The product: x (rows x k), y (cols x k), both row-major.
template <class A>
struct SampledProduct {
  CsrView a;
  int64_t k;
  const A* x;
  const A* y;
  A* out;
};

}  // namespace sparsert::backend::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
template <class A>
constexpr int kGroup = 1;

/// The sum of one entry.
template <class A>
void sum_group(const A* x, const A* const* y, int64_t k, A* out) {
  LaneSum<A> sum;
  for (int64_t t = 0; t < k; ++t) sum.add(t, x[t], y[0][t]);
  *out = sum.value();
}
#else

/// Entries whose trees are added side by side: as many as a vector has lanes.
template <class A>
constexpr int kGroup = static_cast<int>(32 / sizeof(A));

template <class A>
using Lanes32 = hn::CappedTag<A, 32 / sizeof(A)>;

/// z[i] = x · y[i] with the lanes added down to one vector.
template <int kCount, class A, class V>
HWY_INLINE void sum_lanes(Lanes32<A> d, const A* HWY_RESTRICT x, const A* const* y, int64_t k, V* z) {
  constexpr int kWidth = kGroup<A>;
  constexpr int kVectors = kSumLanes / kWidth;
  V sums[kCount][kVectors];
#pragma GCC unroll 4
  for (int i = 0; i < kCount; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[i][v] = hn::Zero(d);
  }
  int64_t t = 0;
  for (; t + kSumLanes <= k; t += kSumLanes) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const V xs = hn::LoadU(d, x + t + v * kWidth);
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) {
        sums[i][v] = fused_multiply_add(xs, hn::LoadU(d, y[i] + t + v * kWidth), sums[i][v]);
      }
    }
  }
  // The lanes past the end take 0 · 0, which changes no sum but perhaps the sign of a zero; the last + 0 makes it +0.
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const int64_t left = k - t - v * kWidth;
    if (left <= 0) break;
    const auto mask = hn::FirstN(d, static_cast<size_t>(HWY_MIN(left, int64_t{kWidth})));
    const V xs = hn::MaskedLoad(mask, d, x + t + v * kWidth);
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) {
      sums[i][v] = fused_multiply_add(xs, hn::MaskedLoad(mask, d, y[i] + t + v * kWidth), sums[i][v]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kCount; ++i) {
    if constexpr (kVectors == 2) {
      z[i] = hn::Add(sums[i][0], sums[i][1]);
    } else {
      z[i] = hn::Add(hn::Add(sums[i][0], sums[i][2]), hn::Add(sums[i][1], sums[i][3]));
    }
  }
}

/// The lanes of a in the lower half and of b in the upper, each l with l + half.
template <class D, class V>
HWY_INLINE V add_halves(D d, V a, V b) {
  return hn::Add(hn::ConcatLowerLower(d, b, a), hn::ConcatUpperUpper(d, b, a));
}

/// The sums of kGroup entries.
template <class A>
HWY_INLINE void sum_group(const A* x, const A* const* y, int64_t k, A* out) {
  const Lanes32<A> d;
  using V = hn::Vec<decltype(d)>;
  V z[kGroup<A>];
  if constexpr (sizeof(A) == 4) {
    sum_lanes<4>(d, x, y, k, z);
    sum_lanes<4>(d, x, y + 4, k, z + 4);
    const hn::Repartition<double, decltype(d)> pairs;
    V twos[2];
    for (int i = 0; i < 2; ++i) {
      // Entries 2i and 2i + 4, then 2i + 1 and 2i + 5: the order that leaves the results sorted.
      const auto u = hn::BitCast(pairs, add_halves(d, z[2 * i], z[2 * i + 4]));
      const auto v = hn::BitCast(pairs, add_halves(d, z[2 * i + 1], z[2 * i + 5]));
      twos[i] =
          hn::Add(hn::BitCast(d, hn::InterleaveLower(pairs, u, v)), hn::BitCast(d, hn::InterleaveUpper(pairs, u, v)));
    }
    const V sum = hn::Add(hn::ConcatEven(d, twos[1], twos[0]), hn::ConcatOdd(d, twos[1], twos[0]));
    // ConcatEven takes all of one vector before the other: [0 1 | 4 5 | 2 3 | 6 7].
    HWY_ALIGN static constexpr int32_t kOrder[8] = {0, 1, 4, 5, 2, 3, 6, 7};
    hn::StoreU(hn::Add(hn::TableLookupLanes(sum, hn::SetTableIndices(d, kOrder)), hn::Zero(d)), d, out);
  } else {
    sum_lanes<2>(d, x, y, k, z);
    sum_lanes<2>(d, x, y + 2, k, z + 2);
    const V u = add_halves(d, z[0], z[2]);
    const V v = add_halves(d, z[1], z[3]);
    const V sum = hn::Add(hn::InterleaveLower(d, u, v), hn::InterleaveUpper(d, u, v));
    hn::StoreU(hn::Add(sum, hn::Zero(d)), d, out);
  }
}
#endif

/// Rows [begin, end), the columns in [from, to).
template <class A, class I>
void sample_rows(const SampledProduct<A>& p, int64_t begin, int64_t end, int64_t from, int64_t to) {
  const auto* offsets = static_cast<const I*>(p.a.row_offsets);
  const auto* columns = static_cast<const I*>(p.a.columns);
  constexpr int kWidth = kGroup<A>;
  for (int64_t i = begin; i < end; ++i) {
    const I* first = columns + offsets[i];
    const I* last = columns + offsets[i + 1];
    if (from > 0) first = std::lower_bound(first, last, static_cast<I>(from));
    if (to < p.a.cols) last = std::lower_bound(first, last, static_cast<I>(to));
    const A* const x = p.x + i * p.k;
    A* out = p.out + (first - columns);
    const A* y[kWidth];
    for (; last - first >= kWidth; first += kWidth, out += kWidth) {
      for (int g = 0; g < kWidth; ++g) y[g] = p.y + static_cast<int64_t>(first[g]) * p.k;
      sum_group(x, y, p.k, out);
    }
    if (first == last) continue;
    const auto left = static_cast<int>(last - first);
    A sums[kWidth];
    for (int g = 0; g < kWidth; ++g) y[g] = p.y + static_cast<int64_t>(first[g < left ? g : 0]) * p.k;
    sum_group(x, y, p.k, sums);
    std::copy_n(sums, left, out);
  }
}

template <class A>
void sample(const SampledProduct<A>& p, int64_t begin, int64_t end, int64_t from, int64_t to) {
  if (p.a.index == DType::int32) sample_rows<A, std::int32_t>(p, begin, end, from, to);
  else sample_rows<A, std::int64_t>(p, begin, end, from, to);
}

void sample_f32(const SampledProduct<float>& p, int64_t begin, int64_t end, int64_t from, int64_t to) {
  sample(p, begin, end, from, to);
}
void sample_f64(const SampledProduct<double>& p, int64_t begin, int64_t end, int64_t from, int64_t to) {
  sample(p, begin, end, from, to);
}
void turn_f32(const float* from, int64_t rows, int64_t cols, float* to) { transpose(from, cols, rows, cols, to, rows); }
void turn_f64(const double* from, int64_t rows, int64_t cols, double* to) {
  transpose(from, cols, rows, cols, to, rows);
}

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
namespace {

HWY_EXPORT(sample_f32);
HWY_EXPORT(sample_f64);
HWY_EXPORT(turn_f32);
HWY_EXPORT(turn_f64);

constexpr int64_t kStripBytes = 192 << 10;  // of y: part of a second-level cache
constexpr int64_t kProductsOfTask = 1 << 18;

/// Rows of k elements, made of a transposed array where it is one.
template <class A>
const A* as_rows(const A* from, bool transposed, int64_t rows, int64_t k, std::optional<Scratch<A>>& memory,
                 const Stream& stream) {
  if (!transposed) return from;
  memory.emplace(rows * k, stream);
  if constexpr (sizeof(A) == 4) HWY_DYNAMIC_DISPATCH(turn_f32)(from, k, rows, memory->data());
  else HWY_DYNAMIC_DISPATCH(turn_f64)(from, k, rows, memory->data());
  return memory->data();
}

template <class T>
void run(const SddmmArgs& args, const Stream& stream) {
  using A = Compute<T>;
  const CsrView& a = args.pattern;
  const Widened<T> x(args.x, a.rows * args.k, stream);
  const Widened<T> y(args.y, a.cols * args.k, stream);
  std::optional<Scratch<A>> x_memory;
  std::optional<Scratch<A>> y_memory;
  Narrowed<T> out(args.out, a.nnz, stream);
  const SampledProduct<A> p{a, args.k, as_rows(x.data(), args.transposed, a.rows, args.k, x_memory, stream),
                            as_rows(y.data(), args.transposed, a.cols, args.k, y_memory, stream), out.data()};
  const auto sample = [] {
    if constexpr (sizeof(A) == 4) return HWY_DYNAMIC_DISPATCH(sample_f32);
    else return HWY_DYNAMIC_DISPATCH(sample_f64);
  }();
  const int64_t row_bytes = std::max<int64_t>(1, args.k * static_cast<int64_t>(sizeof(A)));
  // A strip too narrow would leave a row of the pattern fewer entries in it than are summed together.
  const double density =
      static_cast<double>(a.nnz) / std::max(1.0, static_cast<double>(a.rows) * static_cast<double>(a.cols));
  const auto least = static_cast<int64_t>(std::min(static_cast<double>(a.cols), 64 / std::max(density, 1e-9)));
  const int64_t strip = std::max<int64_t>({1, least, kStripBytes / row_bytes});
  const int64_t entries_of_row = a.nnz / std::max<int64_t>(1, a.rows) + 1;
  const int64_t grain = std::max<int64_t>(1, kProductsOfTask / (entries_of_row * std::max<int64_t>(1, args.k)));
  parallel_for(a.rows, std::max(grain, a.rows / (8 * num_threads())), [&](int64_t begin, int64_t end) {
    for (int64_t from = 0; from < a.cols; from += strip) sample(p, begin, end, from, std::min(a.cols, from + strip));
  });
  out.finish();
}

}  // namespace

void sddmm(const SddmmArgs& args, const Stream& stream) {
  dispatch_any_float("sddmm", args.pattern.dtype, [&]<class T>() { run<T>(args, stream); });
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
