// kernels/lanes.hpp — sums over 16 virtual lanes, on host and device alike (docs/numerics.md).
#pragma once

#include <cmath>
#include <cstdint>

namespace sparsert::backend {

inline constexpr int kSumLanes = 16;

/// Term t goes to lane t mod 16, left to right from +0; the lanes are added as one tree: l with l + 8, + 4, + 2, + 1.
template <class A>
class LaneSum {
 public:
  constexpr void add(std::int64_t t, A x) { lanes_[t % kSumLanes] = lanes_[t % kSumLanes] + x; }
  constexpr void add(std::int64_t t, A a, A b) { lanes_[t % kSumLanes] = std::fma(a, b, lanes_[t % kSumLanes]); }

  /// The last + 0 makes every zero sum +0.
  constexpr A value() const {
    A sums[kSumLanes] = {};
    for (int l = 0; l < kSumLanes; ++l) sums[l] = lanes_[l];
    for (int width = kSumLanes / 2; width > 0; width /= 2) {
      for (int l = 0; l < width; ++l) sums[l] = sums[l] + sums[l + width];
    }
    return sums[0] + A{0};
  }

 private:
  A lanes_[kSumLanes] = {};
};

}  // namespace sparsert::backend
