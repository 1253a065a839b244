// kernels/cpu/simd.hpp — Highway, compiled once per instruction set, and the operations the contract needs of it.
//
// Include after <hwy/foreach_target.h>. The include guard is Highway's per-target toggle.
#if defined(SPARSERT_KERNELS_CPU_SIMD_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARSERT_KERNELS_CPU_SIMD_HPP
#undef SPARSERT_KERNELS_CPU_SIMD_HPP
#else
#define SPARSERT_KERNELS_CPU_SIMD_HPP
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// a·b + c, rounded once, on every target. (Highway's portable targets round twice.)
template <class V>
HWY_INLINE V fused_multiply_add(V a, V b, V c) {
#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR
  const hn::DFromV<V> d;
  using T = hn::TFromD<decltype(d)>;
  HWY_ALIGN T x[hn::MaxLanes(d)];
  HWY_ALIGN T y[hn::MaxLanes(d)];
  HWY_ALIGN T z[hn::MaxLanes(d)];
  hn::Store(a, d, x);
  hn::Store(b, d, y);
  hn::Store(c, d, z);
  for (size_t i = 0; i < hn::Lanes(d); ++i) z[i] = std::fma(x[i], y[i], z[i]);
  return hn::Load(d, z);
#else
  return hn::MulAdd(a, b, c);
#endif
}

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
