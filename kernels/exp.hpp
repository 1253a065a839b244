// kernels/exp.hpp — the exponential function of every softmax: one sequence of fused steps, the same bits everywhere.
//
// x = n·ln 2 + r with |r| <= ln 2 / 2; exp(r) is a polynomial, and 2^n is multiplied in two steps, so that results
// among the subnormals are rounded once. kernels/cpu/exp.hpp does the same steps a vector at a time. The error is
// below 1.5 units in the last place (tests/kernels/exp_test.cpp).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace sparsert::backend {

/// The constants of exp in a type. `kTerms[i]` multiplies r^(i + 2); 1 + r stands before them.
template <class A>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  using Bits = std::uint32_t;
  static constexpr float kLowest = -105.0f;  // below it the result is +0
  static constexpr float kHighest = 90.0f;   // above it the result is Inf
  static constexpr float kLog2e = 0x1.715476p+0f;
  static constexpr float kLn2 = 0x1.62e430p-1f;
  static constexpr float kLn2Rest = -0x1.05c610p-29f;  // ln 2 - kLn2
  static constexpr float kRound = 0x1.8p+23f;          // added and taken away: rounds to an integer, nearest even
  static constexpr int kMantissa = 23;
  static constexpr Bits kBias = 127;
  static constexpr int kCount = 6;
  static constexpr float kTerms[kCount] = {0x1.000000p-1f, 0x1.555556p-3f,  0x1.5554e8p-5f,
                                           0x1.1110e0p-7f, 0x1.6d4362p-10f, 0x1.a12528p-13f};
};

template <>
struct ExpConstants<double> {
  using Bits = std::uint64_t;
  static constexpr double kLowest = -747.0;
  static constexpr double kHighest = 711.0;
  static constexpr double kLog2e = 0x1.71547652b82fep+0;
  static constexpr double kLn2 = 0x1.62e42fefa39efp-1;
  static constexpr double kLn2Rest = 0x1.abc9e3b39803fp-56;
  static constexpr double kRound = 0x1.8p+52;
  static constexpr int kMantissa = 52;
  static constexpr Bits kBias = 1023;
  static constexpr int kCount = 11;
  static constexpr double kTerms[kCount] = {0x1.0000000000000p-1,  0x1.5555555555557p-3,  0x1.5555555555556p-5,
                                            0x1.11111111100cep-7,  0x1.6c16c16c162ccp-10, 0x1.a01a01abef415p-13,
                                            0x1.a01a01a6dcaffp-16, 0x1.71de021a90822p-19, 0x1.27e4db57442fbp-22,
                                            0x1.af4e196027428p-26, 0x1.1f731ea5352cap-29};
};

/// The terms as a value that a function holds: code for a GPU that reads a host's array compiles, and then traps.
template <class A>
struct ExpTerms {
  A values[ExpConstants<A>::kCount] = {};

  constexpr ExpTerms() {
    for (int i = 0; i < ExpConstants<A>::kCount; ++i) values[i] = ExpConstants<A>::kTerms[i];
  }
};

/// exp(x): NaN stays NaN, -Inf gives +0. `A` is float or double.
template <class A>
constexpr A exp_of(A x) {
  using C = ExpConstants<A>;
  using Bits = typename C::Bits;
  x = x < C::kLowest ? C::kLowest : x;  // comparisons that a NaN passes unchanged
  x = x > C::kHighest ? C::kHighest : x;
  const A shifted = std::fma(x, C::kLog2e, C::kRound);
  const A n = shifted - C::kRound;
  const A r = std::fma(-n, C::kLn2Rest, std::fma(-n, C::kLn2, x));
  constexpr ExpTerms<A> terms;
  A sum = terms.values[C::kCount - 1];
  for (int i = C::kCount - 2; i >= 0; --i) sum = std::fma(sum, r, terms.values[i]);
  const A value = std::fma(sum, r * r, r) + A{1};
  // n as an integer, in two halves that are both exponents of normal numbers. Shifted by twice the bias it is positive.
  const Bits twice = std::bit_cast<Bits>(shifted) - std::bit_cast<Bits>(C::kRound) + 2 * C::kBias;
  const Bits half = twice >> 1;
  const A first = std::bit_cast<A>(half << C::kMantissa);
  const A second = std::bit_cast<A>((twice - half) << C::kMantissa);
  return value * first * second;
}

}  // namespace sparsert::backend
