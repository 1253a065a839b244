// kernels/cpu/half.hpp — 16-bit floats to float32 and back, a vector at a time.
//
// The bits are those of dtype.hpp's conversions, on every target. Highway's own narrowing truncates on some; where it
// is the processor's instruction, it rounds to nearest even, and is used. Include after <hwy/foreach_target.h>. The
// include guard is Highway's per-target toggle.
#if defined(SPARSERT_KERNELS_CPU_HALF_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARSERT_KERNELS_CPU_HALF_HPP
#undef SPARSERT_KERNELS_CPU_HALF_HPP
#else
#define SPARSERT_KERNELS_CPU_HALF_HPP
#endif

#include <hwy/highway.h>

#include "sparsert/dtype.hpp"

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2 && !defined(HWY_DISABLE_F16C)
inline constexpr bool kHasF16Instructions = true;
#else
inline constexpr bool kHasF16Instructions = false;
#endif

template <class D>
using Bits16 = hn::Vec<hn::Rebind<uint16_t, D>>;

/// The bits of 16-bit floats as exact float32; D is a tag of float. NaNs become quiet.
template <class T, class D>
HWY_INLINE hn::Vec<D> widen_vector(D d, Bits16<D> x) {
  const hn::RebindToUnsigned<D> bits;
  if constexpr (std::is_same_v<T, bfloat16>) {
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(bits, x)));
  } else if constexpr (kHasF16Instructions) {
    return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), x));
  } else {
    const auto wide = hn::PromoteTo(bits, x);
    const auto exponent_mask = hn::Set(bits, 0x0f800000u);
    const auto rebias = hn::Set(bits, 112u << 23);
    const auto magnitude = hn::ShiftLeft<13>(hn::And(wide, hn::Set(bits, 0x7fffu)));
    const auto exponent = hn::And(magnitude, exponent_mask);
    const auto normal = hn::Add(magnitude, rebias);
    const auto is_infinite = hn::Eq(magnitude, exponent_mask);
    const auto quiet = hn::Or(hn::Add(normal, rebias), hn::Set(bits, 0x400000u));
    const auto special = hn::IfThenElse(is_infinite, hn::Set(bits, 0x7f800000u), quiet);
    // A subnormal is its mantissa in units of 2^-24: put it behind a leading one, and take that away again.
    const auto led = hn::BitCast(d, hn::Add(normal, hn::Set(bits, 1u << 23)));
    const auto subnormal = hn::BitCast(bits, hn::Sub(led, hn::Set(d, 0x1p-14f)));
    const auto finite = hn::IfThenElse(hn::Eq(exponent, hn::Zero(bits)), subnormal, normal);
    const auto unsigned_bits = hn::IfThenElse(hn::Eq(exponent, exponent_mask), special, finite);
    return hn::BitCast(d, hn::Or(unsigned_bits, hn::ShiftLeft<16>(hn::And(wide, hn::Set(bits, 0x8000u)))));
  }
}

/// Nearest even; every NaN is 0x7fff.
template <class T, class D>
HWY_INLINE Bits16<D> narrow_vector(D d, hn::Vec<D> x) {
  // Signed, since every target compares signed integers; magnitudes have no sign bit.
  const hn::RebindToSigned<D> bits;
  const auto all = hn::BitCast(bits, x);
  const auto magnitude = hn::And(all, hn::Set(bits, 0x7fffffff));
  const auto is_nan = hn::Gt(magnitude, hn::Set(bits, 0x7f800000));
  const hn::Rebind<uint16_t, D> half_bits;
  if constexpr (std::is_same_v<T, float16> && kHasF16Instructions) {
    // The instruction keeps the upper bits of a NaN: these give 0x7fff.
    const auto numbers = hn::IfThenElse(is_nan, hn::Set(bits, 0x7fffe000), all);
    const hn::Rebind<hwy::float16_t, D> half;
    return hn::BitCast(half_bits, hn::DemoteTo(half, hn::BitCast(d, numbers)));
  } else {
    const auto sign = hn::And(hn::ShiftRight<16>(all), hn::Set(bits, 0x8000));
    constexpr int kDropped = std::is_same_v<T, bfloat16> ? 16 : 13;
    const auto odd = hn::And(hn::ShiftRight<kDropped>(magnitude), hn::Set(bits, 1));
    const auto to_even = hn::Add(odd, hn::Set(bits, (1 << (kDropped - 1)) - 1));
    auto result = hn::Zero(bits);
    if constexpr (std::is_same_v<T, bfloat16>) {
      result = hn::ShiftRight<16>(hn::Add(magnitude, to_even));
    } else {
      const auto rebased = hn::Sub(magnitude, hn::Set(bits, 112 << 23));
      const auto normal = hn::ShiftRight<13>(hn::Add(rebased, to_even));
      // Beside one half, whose unit in the last place is 2^-24, the sum rounds to the units of a subnormal.
      const auto beside_half = hn::Add(hn::BitCast(d, magnitude), hn::Set(d, 0.5f));
      const auto subnormal = hn::Sub(hn::BitCast(bits, beside_half), hn::Set(bits, 0x3f000000));
      const auto finite = hn::IfThenElse(hn::Lt(magnitude, hn::Set(bits, 0x38800000)), subnormal, normal);
      result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(bits, 0x477fefff)), hn::Set(bits, 0x7c00), finite);
    }
    const auto chosen = hn::IfThenElse(is_nan, hn::Set(bits, 0x7fff), hn::Or(result, sign));
    return hn::DemoteTo(half_bits, chosen);
  }
}

/// out[i] = x[i] for n elements.
template <class T>
void widen_all(const T* x, float* out, int64_t n) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<uint16_t, decltype(d)> half;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto* bits = reinterpret_cast<const uint16_t*>(x);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(widen_vector<T>(d, hn::LoadU(half, bits + i)), d, out + i);
  for (; i < n; ++i) out[i] = to_float(x[i]);
}

/// out[i] = x[i], rounded, for n elements.
template <class T>
void narrow_all(const float* x, T* out, int64_t n) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<uint16_t, decltype(d)> half;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto* bits = reinterpret_cast<uint16_t*>(out);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(narrow_vector<T>(d, hn::LoadU(d, x + i)), half, bits + i);
  for (; i < n; ++i) {
    if constexpr (std::is_same_v<T, bfloat16>) out[i] = to_bfloat16(x[i]);
    else out[i] = to_float16(x[i]);
  }
}

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
