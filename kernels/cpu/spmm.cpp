// kernels/cpu/spmm.cpp — CSR times dense with Highway and TBB.
//
// Without a plan the matrix is used as it is: a row at a time, a tile of columns of C in registers. B is first copied
// to rows of accumulators where it is not stored so already (column-major, or 16-bit elements).
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/spmm.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "device/parallel.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/products.hpp"
#include "sparsert/buffer.hpp"

#ifndef SPARSERT_KERNELS_CPU_SPMM_CPP
#define SPARSERT_KERNELS_CPU_SPMM_CPP
namespace sparsert::backend::cpu {

/// A product with B as rows of accumulators.
template <class T>
struct DirectSpmm {
  using A = Compute<T>;

  CsrView a;
  std::int64_t n;
  const A* b;  // (k x n)
  T* c;
  std::int64_t c_row_stride;
  std::int64_t c_column_stride;
  const T* bias;
  Epilogue<A> epilogue;
};

}  // namespace sparsert::backend::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

/// Finishes and stores `width` sums of row i, from column j on.
template <class T>
HWY_NOINLINE void store_sums(const DirectSpmm<T>& p, int64_t i, int64_t j, int64_t width, const Compute<T>* sums) {
  using A = Compute<T>;
  T* out = p.c + i * p.c_row_stride + j * p.c_column_stride;
  const bool has_bias = p.bias != nullptr;
  const A bias = has_bias ? widen(p.bias[i]) : A{0};
  for (int64_t w = 0; w < width; ++w) {
    T& c = out[w * p.c_column_stride];
    c = narrow<T>(finish(p.epilogue, sums[w], p.epilogue.beta != 0 ? widen(c) : A{0}, has_bias, bias));
  }
}

/// Rows [begin, end) of C, kVectors vectors of columns from j on; the last vector has `tail` columns if not 0.
template <int kVectors, class T, class I>
void rows_of_tile(const DirectSpmm<T>& p, int64_t begin, int64_t end, int64_t j, int64_t tail) {
  using A = Compute<T>;
  const hn::ScalableTag<A> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto* offsets = static_cast<const I*>(p.a.row_offsets);
  const auto* columns = static_cast<const I*>(p.a.columns);
  const auto* values = static_cast<const T*>(p.a.values);
  const auto mask = hn::FirstN(d, static_cast<size_t>(tail == 0 ? lanes : tail));
  const int64_t width = (kVectors - 1) * lanes + (tail == 0 ? lanes : tail);
  using V = hn::Vec<decltype(d)>;
  for (int64_t i = begin; i < end; ++i) {
    V total[kVectors];
    for (int v = 0; v < kVectors; ++v) total[v] = hn::Zero(d);
    int64_t e = p.epilogue.alpha != 0 ? offsets[i] : offsets[i + 1];
    const int64_t last = offsets[i + 1];
    while (e < last) {
      const int64_t piece_end = (columns[e] / kPiece + 1) * kPiece;
      V piece[kVectors];
      for (int v = 0; v < kVectors; ++v) piece[v] = hn::Zero(d);
      for (; e < last && columns[e] < piece_end; ++e) {
        const A* b = p.b + static_cast<int64_t>(columns[e]) * p.n + j;
        const auto value = hn::Set(d, widen(values[e]));
        for (int v = 0; v < kVectors - 1; ++v)
          piece[v] = fused_multiply_add(value, hn::LoadU(d, b + v * lanes), piece[v]);
        const A* const b_last = b + (kVectors - 1) * lanes;
        const auto x = tail == 0 ? hn::LoadU(d, b_last) : hn::MaskedLoad(mask, d, b_last);
        piece[kVectors - 1] = fused_multiply_add(value, x, piece[kVectors - 1]);
      }
      for (int v = 0; v < kVectors; ++v) total[v] = hn::Add(total[v], piece[v]);
    }
    HWY_ALIGN A sums[kVectors * hn::MaxLanes(d)];
    for (int v = 0; v < kVectors; ++v) hn::Store(total[v], d, sums + v * lanes);
    store_sums(p, i, j, width, sums);
  }
}

/// Rows [begin, end) of C, all columns.
template <class T, class I>
void rows_of(const DirectSpmm<T>& p, int64_t begin, int64_t end) {
  const hn::ScalableTag<Compute<T>> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t j = 0;
  for (; j + 8 * lanes <= p.n; j += 8 * lanes) rows_of_tile<8, T, I>(p, begin, end, j, 0);
  if (j + 4 * lanes <= p.n) {
    rows_of_tile<4, T, I>(p, begin, end, j, 0);
    j += 4 * lanes;
  }
  for (; j < p.n; j += lanes) rows_of_tile<1, T, I>(p, begin, end, j, p.n - j >= lanes ? 0 : p.n - j);
}

template <class T>
void direct_rows(const DirectSpmm<T>& p, int64_t begin, int64_t end) {
  if (p.a.index == DType::int32) {
    rows_of<T, std::int32_t>(p, begin, end);
  } else {
    rows_of<T, std::int64_t>(p, begin, end);
  }
}

void direct_f16(const DirectSpmm<float16>& p, int64_t begin, int64_t end) { direct_rows(p, begin, end); }
void direct_bf16(const DirectSpmm<bfloat16>& p, int64_t begin, int64_t end) { direct_rows(p, begin, end); }
void direct_f32(const DirectSpmm<float>& p, int64_t begin, int64_t end) { direct_rows(p, begin, end); }
void direct_f64(const DirectSpmm<double>& p, int64_t begin, int64_t end) { direct_rows(p, begin, end); }

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
namespace {

HWY_EXPORT(direct_f16);
HWY_EXPORT(direct_bf16);
HWY_EXPORT(direct_f32);
HWY_EXPORT(direct_f64);

constexpr int64_t kProductsOfTask = 1 << 18;  // multiplications that make a task worth its overhead

template <class T>
void run_direct(const DirectSpmm<T>& p, int64_t begin, int64_t end) {
  if constexpr (std::is_same_v<T, float16>) HWY_DYNAMIC_DISPATCH(direct_f16)(p, begin, end);
  if constexpr (std::is_same_v<T, bfloat16>) HWY_DYNAMIC_DISPATCH(direct_bf16)(p, begin, end);
  if constexpr (std::is_same_v<T, float>) HWY_DYNAMIC_DISPATCH(direct_f32)(p, begin, end);
  if constexpr (std::is_same_v<T, double>) HWY_DYNAMIC_DISPATCH(direct_f64)(p, begin, end);
}

/// B as (k x n) rows of accumulators.
template <class T>
void copy_rows(const SpmmArgs& args, Compute<T>* out) {
  const auto* b = static_cast<const T*>(args.b);
  const int64_t k = args.a.cols;
  const int64_t n = args.n;
  parallel_for(k, std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, n)), [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      for (int64_t j = 0; j < n; ++j) out[p * n + j] = widen(args.column_major ? b[j * k + p] : b[p * n + j]);
    }
  });
}

template <class T>
void multiply(const SpmmArgs& args, const Stream& stream) {
  using A = Compute<T>;
  const int64_t m = args.a.rows;
  DirectSpmm<T> p{args.a,
                  args.n,
                  nullptr,
                  static_cast<T*>(args.c),
                  args.column_major ? 1 : args.n,
                  args.column_major ? m : 1,
                  static_cast<const T*>(args.bias),
                  {static_cast<A>(args.alpha), static_cast<A>(args.beta), args.relu}};
  Buffer copy;
  if (p.epilogue.alpha != 0) {
    if constexpr (std::is_same_v<A, T>) {
      if (!args.column_major || args.n == 1) p.b = static_cast<const A*>(args.b);
    }
    if (p.b == nullptr) {
      copy = Buffer(static_cast<std::size_t>(args.a.cols * args.n) * sizeof(A), stream);
      copy_rows<T>(args, static_cast<A*>(copy.data()));
      p.b = static_cast<const A*>(copy.data());
    }
  }
  const int64_t products_of_row =
      std::max<int64_t>(1, args.a.nnz / std::max<int64_t>(1, m) + 1) * std::max<int64_t>(1, args.n);
  parallel_for(m, std::max<int64_t>(1, kProductsOfTask / products_of_row),
               [&](int64_t begin, int64_t end) { run_direct(p, begin, end); });
}

}  // namespace

void spmm_plan(const SpmmPlanArgs& args, const Stream&) { args.plan->reset(); }

void spmm(const SpmmArgs& args, const Stream& stream) {
  dispatch_any_float("spmm", args.a.dtype, [&]<class T>() { multiply<T>(args, stream); });
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
