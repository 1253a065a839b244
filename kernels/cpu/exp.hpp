// kernels/cpu/exp.hpp — kernels/exp.hpp, a vector at a time: the same steps, so the same bits.
//
// Include after <hwy/foreach_target.h>. The include guard is Highway's per-target toggle.
#if defined(SPARSERT_KERNELS_CPU_EXP_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef SPARSERT_KERNELS_CPU_EXP_HPP
#undef SPARSERT_KERNELS_CPU_EXP_HPP
#else
#define SPARSERT_KERNELS_CPU_EXP_HPP
#endif

#include "kernels/cpu/simd.hpp"
#include "kernels/exp.hpp"

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

/// exp of every lane; D is a tag of float or double.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_vector(D d, V x) {
  using A = hn::TFromD<D>;
  using C = ExpConstants<A>;
  const hn::RebindToUnsigned<D> bits;
  const auto lowest = hn::Set(d, C::kLowest);
  const auto highest = hn::Set(d, C::kHighest);
  x = hn::IfThenElse(hn::Lt(x, lowest), lowest, x);
  x = hn::IfThenElse(hn::Gt(x, highest), highest, x);
  const auto round = hn::Set(d, C::kRound);
  const auto shifted = fused_multiply_add(x, hn::Set(d, C::kLog2e), round);
  const auto minus_n = hn::Sub(round, shifted);
  auto r = fused_multiply_add(minus_n, hn::Set(d, C::kLn2), x);
  r = fused_multiply_add(minus_n, hn::Set(d, C::kLn2Rest), r);
  auto sum = hn::Set(d, C::kTerms[C::kCount - 1]);
#pragma GCC unroll 16
  for (int i = C::kCount - 2; i >= 0; --i) sum = fused_multiply_add(sum, r, hn::Set(d, C::kTerms[i]));
  const auto value = hn::Add(fused_multiply_add(sum, hn::Mul(r, r), r), hn::Set(d, A{1}));
  const auto offset =
      hn::Set(bits, static_cast<typename C::Bits>(2 * C::kBias - std::bit_cast<typename C::Bits>(C::kRound)));
  const auto twice = hn::Add(hn::BitCast(bits, shifted), offset);
  const auto half = hn::ShiftRight<1>(twice);
  const auto first = hn::BitCast(d, hn::ShiftLeft<C::kMantissa>(half));
  const auto second = hn::BitCast(d, hn::ShiftLeft<C::kMantissa>(hn::Sub(twice, half)));
  return hn::Mul(hn::Mul(value, first), second);
}

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
