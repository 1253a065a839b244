// kernels/log.hpp — the natural logarithm of a sum of exponentials: one sequence of steps, the same bits everywhere.
//
// x = 2^e · f with f within [sqrt(1/2), sqrt(2)); log f = 2 · atanh(s), s = (f − 1) / (f + 1), by its series in s².
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/exp.hpp"

namespace sparsert::backend {

/// log(x) for normal x > 0; 0 gives -Inf, NaN and Inf stay.
template <class A>
constexpr A log_of(A x) {
  using C = ExpConstants<A>;
  using Bits = typename C::Bits;
  if (x == 0) return -std::numeric_limits<A>::infinity();
  if (!(x < std::numeric_limits<A>::infinity())) return x;
  // Counted from sqrt(1/2), the exponent is that of f in the wanted interval.
  constexpr Bits kRootOfHalf = std::bit_cast<Bits>(static_cast<A>(0x1.6a09e667f3bcdp-1));
  constexpr Bits kOne = std::bit_cast<Bits>(A{1});
  const Bits offset = std::bit_cast<Bits>(x) - kRootOfHalf + kOne;
  const auto exponent = static_cast<std::int64_t>(offset >> C::kMantissa) - static_cast<std::int64_t>(C::kBias);
  const Bits fraction = offset & ((Bits{1} << C::kMantissa) - 1);
  const A f = std::bit_cast<A>(fraction + kRootOfHalf);
  const A s = (f - A{1}) / (f + A{1});
  const A z = s * s;
  constexpr int kTerms = sizeof(A) == 4 ? 5 : 11;
  A sum = A{1} / A{2 * kTerms - 1};
  for (int i = kTerms - 2; i >= 0; --i) sum = std::fma(sum, z, A{1} / static_cast<A>(2 * i + 1));
  const auto e = static_cast<A>(exponent);
  return std::fma(e, C::kLn2, std::fma(e, C::kLn2Rest, (s + s) * sum));
}

}  // namespace sparsert::backend
