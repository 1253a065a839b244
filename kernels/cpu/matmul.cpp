// kernels/cpu/matmul.cpp — dense times dense with Highway and TBB, in the order of the sparse product.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "device/parallel.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/products.hpp"
#include "sparsert/buffer.hpp"

#ifndef SPARSERT_KERNELS_CPU_MATMUL_CPP
#define SPARSERT_KERNELS_CPU_MATMUL_CPP
namespace sparsert::backend::cpu {

inline constexpr std::int64_t kPanel = 64;  // columns of B that are packed together

}  // namespace sparsert::backend::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

/// sums[0..kPanel) = row · panel, the panel being (k x kPanel).
template <class A>
HWY_INLINE void row_of_panel(const A* HWY_RESTRICT row, const A* HWY_RESTRICT panel, int64_t k, A* HWY_RESTRICT sums) {
  const hn::CappedTag<A, 8> d;
  constexpr int64_t kLanes = hn::MaxLanes(d);
  constexpr int64_t kVectors = 8;
  using V = hn::Vec<decltype(d)>;
  for (int64_t j = 0; j < kPanel; j += kVectors * kLanes) {
    V total[kVectors];
    for (auto& v : total) v = hn::Zero(d);
    for (int64_t begin = 0; begin < k; begin += kPiece) {
      V piece[kVectors];
      for (auto& v : piece) v = hn::Zero(d);
      const int64_t end = HWY_MIN(k, begin + kPiece);
      for (int64_t p = begin; p < end; ++p) {
        const auto x = hn::Set(d, row[p]);
        for (int64_t v = 0; v < kVectors; ++v) {
          piece[v] = fused_multiply_add(x, hn::Load(d, panel + p * kPanel + j + v * kLanes), piece[v]);
        }
      }
      for (int64_t v = 0; v < kVectors; ++v) total[v] = hn::Add(total[v], piece[v]);
    }
    for (int64_t v = 0; v < kVectors; ++v) hn::StoreU(total[v], d, sums + j + v * kLanes);
  }
}

void row_of_panel_f32(const float* row, const float* panel, int64_t k, float* sums) {
  row_of_panel(row, panel, k, sums);
}
void row_of_panel_f64(const double* row, const double* panel, int64_t k, double* sums) {
  row_of_panel(row, panel, k, sums);
}

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
namespace {

HWY_EXPORT(row_of_panel_f32);
HWY_EXPORT(row_of_panel_f64);

template <class T>
void multiply(const MatmulArgs& args, const Stream& stream) {
  using A = Compute<T>;
  const auto* a = static_cast<const T*>(args.a);
  const auto* b = static_cast<const T*>(args.b);
  const auto* bias = static_cast<const T*>(args.bias);
  auto* c = static_cast<T*>(args.c);
  const Epilogue<A> epilogue{.relu = args.relu};
  parallel_for((args.n + kPanel - 1) / kPanel, 1, [&](int64_t begin, int64_t end) {
    const Buffer memory(static_cast<std::size_t>((kPanel + 1) * args.k) * sizeof(A), stream);
    A* const panel = static_cast<A*>(memory.data());
    A* const row = panel + kPanel * args.k;
    A sums[kPanel];
    for (int64_t j0 = begin * kPanel; j0 < HWY_MIN(args.n, end * kPanel); j0 += kPanel) {
      const int64_t width = HWY_MIN(kPanel, args.n - j0);
      for (int64_t p = 0; p < args.k; ++p) {
        for (int64_t j = 0; j < kPanel; ++j) {
          const int64_t at = args.b_transposed ? (j0 + j) * args.k + p : p * args.n + j0 + j;
          panel[p * kPanel + j] = j < width ? widen(b[at]) : A{0};
        }
      }
      for (int64_t i = 0; i < args.m; ++i) {
        for (int64_t p = 0; p < args.k; ++p) row[p] = widen(a[i * args.k + p]);
        if constexpr (std::is_same_v<A, float>) {
          HWY_DYNAMIC_DISPATCH(row_of_panel_f32)(row, panel, args.k, sums);
        } else {
          HWY_DYNAMIC_DISPATCH(row_of_panel_f64)(row, panel, args.k, sums);
        }
        for (int64_t j = 0; j < width; ++j) {
          const A old_bias = bias != nullptr ? widen(bias[j0 + j]) : A{0};
          c[i * args.n + j0 + j] = narrow<T>(finish(epilogue, sums[j], A{0}, bias != nullptr, old_bias));
        }
      }
    }
  });
}

}  // namespace

void matmul(const MatmulArgs& args, const Stream& stream) {
  dispatch_any_float("matmul", args.dtype, [&]<class T>() { multiply<T>(args, stream); });
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
