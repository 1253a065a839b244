// kernels/cpu/panels.hpp — columns of B copied side by side into a panel, and finished sums stored from one.
//
// A panel holds `width` columns of B as rows of accumulators, so that a row of it is a few whole vectors.
// Include after <hwy/foreach_target.h>. The include guard is Highway's per-target toggle.
#if defined(SPARSERT_KERNELS_CPU_PANELS_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARSERT_KERNELS_CPU_PANELS_HPP
#undef SPARSERT_KERNELS_CPU_PANELS_HPP
#else
#define SPARSERT_KERNELS_CPU_PANELS_HPP
#endif

#include "kernels/cpu/simd.hpp"
#include "kernels/products.hpp"

#ifndef SPARSERT_KERNELS_CPU_PANELS_HPP_ONCE
#define SPARSERT_KERNELS_CPU_PANELS_HPP_ONCE
namespace sparsert::backend::cpu {

/// Where finished sums go: C with a stride per row and per column, of which one is 1.
template <class T>
struct Output {
  T* c;
  int64_t row_stride;
  int64_t column_stride;
  const T* row_bias;     // null: none
  const T* column_bias;  // null: none
  Epilogue<Compute<T>> epilogue;
};

}  // namespace sparsert::backend::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

/// to[j · to_stride + i] = from[i · from_stride + j] for i < 4, j < 4.
template <class A>
HWY_INLINE void transpose_4x4(const A* from, int64_t from_stride, A* to, int64_t to_stride) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(A) == 4) {
    const hn::CappedTag<float, 4> d;
    const hn::Repartition<double, decltype(d)> wide;
    const auto r0 = hn::LoadU(d, from);
    const auto r1 = hn::LoadU(d, from + from_stride);
    const auto r2 = hn::LoadU(d, from + 2 * from_stride);
    const auto r3 = hn::LoadU(d, from + 3 * from_stride);
    const auto low01 = hn::BitCast(wide, hn::InterleaveLower(d, r0, r1));
    const auto low23 = hn::BitCast(wide, hn::InterleaveLower(d, r2, r3));
    const auto high01 = hn::BitCast(wide, hn::InterleaveUpper(d, r0, r1));
    const auto high23 = hn::BitCast(wide, hn::InterleaveUpper(d, r2, r3));
    hn::StoreU(hn::BitCast(d, hn::InterleaveLower(wide, low01, low23)), d, to);
    hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(wide, low01, low23)), d, to + to_stride);
    hn::StoreU(hn::BitCast(d, hn::InterleaveLower(wide, high01, high23)), d, to + 2 * to_stride);
    hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(wide, high01, high23)), d, to + 3 * to_stride);
    return;
  }
#endif
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t j = 0; j < 4; ++j) to[j * to_stride + i] = from[i * from_stride + j];
  }
}

/// to[j · to_stride + i] = from[i · from_stride + j] for i < kRows, j < cols; kRows a multiple of 4.
template <int64_t kRows, class A>
HWY_INLINE void transpose_rows(const A* from, int64_t from_stride, int64_t cols, A* to, int64_t to_stride) {
  int64_t j = 0;
  for (; j + 4 <= cols; j += 4) {
    for (int64_t i = 0; i < kRows; i += 4) {
      transpose_4x4(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
    }
  }
  for (; j < cols; ++j) {
    for (int64_t i = 0; i < kRows; ++i) to[j * to_stride + i] = from[i * from_stride + j];
  }
}

/// to[j · to_stride + i] = from[i · from_stride + j], whole.
template <class A>
HWY_INLINE void transpose(const A* from, int64_t from_stride, int64_t rows, int64_t cols, A* to, int64_t to_stride) {
  int64_t i = 0;
  // The side with the longer stride is gone through a cache line at a time: where the stride is a power of two, the
  // lines of many rows fall into one set of the cache and would not stay.
  if (to_stride > from_stride) {
    for (; i + 16 <= rows; i += 16) transpose_rows<16>(from + i * from_stride, from_stride, cols, to + i, to_stride);
  }
  for (; i + 4 <= rows; i += 4) transpose_rows<4>(from + i * from_stride, from_stride, cols, to + i, to_stride);
  for (; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) to[j * to_stride + i] = from[i * from_stride + j];
  }
}

/// Rows [k0, k0 + count) of columns [j0, j0 + used) of B into a panel `width` wide; the other columns become 0.
/// B is (k x n) row-major, or given as its transpose (n x k).
template <class T>
void pack_panel(const T* b, int64_t k, int64_t n, bool transposed, int64_t k0, int64_t count, int64_t j0, int64_t used,
                int64_t width, Compute<T>* HWY_RESTRICT panel) {
  using A = Compute<T>;
  if constexpr (std::is_same_v<A, T>) {
    if (!transposed && used == width) {  // whole vectors: a call of memcpy for each short row costs more than the copy
      const hn::ScalableTag<A> d;
      const auto lanes = static_cast<int64_t>(hn::Lanes(d));
      for (int64_t p = 0; p < count; ++p) {
        const T* const row = b + (k0 + p) * n + j0;
        for (int64_t j = 0; j < width; j += lanes) hn::Store(hn::LoadU(d, row + j), d, panel + p * width + j);
      }
      return;
    }
  }
  if (!transposed) {
    for (int64_t p = 0; p < count; ++p) {
      const T* row = b + (k0 + p) * n + j0;
      A* out = panel + p * width;
      for (int64_t j = 0; j < used; ++j) out[j] = widen(row[j]);
      for (int64_t j = used; j < width; ++j) out[j] = A{0};
    }
    return;
  }
  if constexpr (std::is_same_v<A, T>) {
    transpose(b + j0 * k + k0, k, used, count, panel, width);
  } else {
    for (int64_t j = 0; j < used; ++j) {
      const T* column = b + (j0 + j) * k + k0;
      for (int64_t p = 0; p < count; ++p) panel[p * width + j] = widen(column[p]);
    }
  }
  for (int64_t p = 0; p < count && used < width; ++p) {
    for (int64_t j = used; j < width; ++j) panel[p * width + j] = A{0};
  }
}

/// One finished value.
template <class T>
HWY_INLINE T finished(const Output<T>& out, int64_t i, int64_t j, Compute<T> sum, const T& old) {
  using A = Compute<T>;
  const T* const bias = out.row_bias != nullptr      ? out.row_bias + i
                        : out.column_bias != nullptr ? out.column_bias + j
                                                     : nullptr;
  return narrow<T>(finish(out.epilogue, sum, out.epilogue.beta != 0 ? widen(old) : A{0}, bias != nullptr,
                          bias != nullptr ? widen(*bias) : A{0}));
}

/// Finishes `rows` rows of sums (`stride` apart, `used` of them in each) and stores them at C(i0, j0).
/// The sums are overwritten.
template <class T>
HWY_NOINLINE void store_tile(const Output<T>& out, int64_t i0, int64_t rows, int64_t j0, int64_t used, Compute<T>* sums,
                             int64_t stride) {
  using A = Compute<T>;
  constexpr bool kSame = std::is_same_v<A, T>;
  [[maybe_unused]] constexpr int64_t kRowsAhead = 16;
  const Epilogue<A>& e = out.epilogue;
  if (!kSame || (e.beta != 0 && out.column_stride != 1)) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < used; ++j) {
        T& c = out.c[(i0 + i) * out.row_stride + (j0 + j) * out.column_stride];
        c = finished(out, i0 + i, j0 + j, sums[i * stride + j], c);
      }
    }
    return;
  }
  if constexpr (kSame) {
    const bool straight = out.column_stride == 1;
    const hn::ScalableTag<A> d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    const auto zero = hn::Zero(d);
    const auto alpha = hn::Set(d, e.alpha);
    const auto beta = hn::Set(d, e.beta);
    for (int64_t i = 0; i < rows; ++i) {
      A* const sum = sums + i * stride;
      A* const c = straight ? out.c + (i0 + i) * out.row_stride + j0 : sum;
      const auto row_bias = hn::Set(d, out.row_bias != nullptr ? out.row_bias[i0 + i] : A{0});
      if (straight) {  // rows of C are far apart: too far for the hardware to guess
        for (int64_t ahead = 0; ahead < used; ahead += 64 / static_cast<int64_t>(sizeof(A))) {
          hwy::Prefetch(c + kRowsAhead * out.row_stride + ahead);
        }
      }
      int64_t j = 0;
      for (; j + lanes <= used; j += lanes) {
        auto v = hn::LoadU(d, sum + j);
        if (e.alpha != 1) v = hn::Mul(alpha, v);
        if (e.beta != 0) v = fused_multiply_add(beta, hn::LoadU(d, c + j), v);
        if (out.row_bias != nullptr) v = hn::Add(v, row_bias);
        if (out.column_bias != nullptr) v = hn::Add(v, hn::LoadU(d, out.column_bias + j0 + j));
        v = hn::Add(v, zero);
        if (e.relu) v = hn::IfThenZeroElse(hn::Le(v, zero), v);
        hn::StoreU(v, d, c + j);
      }
      for (; j < used; ++j) c[j] = finished(out, i0 + i, j0 + j, sum[j], c[j]);
    }
    if (!straight) transpose(sums, stride, rows, used, out.c + j0 * out.column_stride + i0, out.column_stride);
  }
}

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
