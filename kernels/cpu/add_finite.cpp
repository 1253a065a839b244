// kernels/cpu/add_finite.cpp — sums in place that leave alone what would not be finite, with Highway.
//
// Two arrays are read and one is written, so memory is what matters; each line is asked for a page ahead, since the
// test for finite sums leaves room for too few loads under way.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/add_finite.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>

#include "kernels/cpu/add_finite.hpp"
#include "kernels/cpu/half.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/numerics.hpp"

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kTile = 1024;   // 16-bit floats widened at a time
constexpr int64_t kAhead = 4096;  // bytes

template <class A>
int64_t add(const A* HWY_RESTRICT x, A* HWY_RESTRICT sums, int64_t n) {
  using K = MagnitudeKey<A>;
  constexpr auto kExponent = std::bit_cast<K>(std::numeric_limits<A>::infinity());
  const hn::ScalableTag<A> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto line = static_cast<int64_t>(64 / sizeof(A));
  const auto ahead = static_cast<int64_t>(kAhead / sizeof(A));
  const auto exponent = hn::Set(du, kExponent);
  auto left_out = hn::Zero(du);
  int64_t i = 0;
  for (; i + line <= n; i += line) {
    hwy::Prefetch(x + i + ahead);
    hwy::Prefetch(sums + i + ahead);
    for (int64_t j = i; j < i + line; j += lanes) {
      const auto old = hn::LoadU(d, sums + j);
      const auto sum = hn::Add(old, hn::LoadU(d, x + j));
      const auto bad = hn::Eq(hn::And(hn::BitCast(du, sum), exponent), exponent);
      hn::StoreU(hn::IfThenElse(hn::RebindMask(d, bad), old, sum), d, sums + j);
      left_out = hn::Sub(left_out, hn::VecFromMask(du, bad));  // a true lane is -1
    }
  }
  auto count = static_cast<int64_t>(hn::GetLane(hn::SumOfLanes(du, left_out)));
  for (; i < n; ++i) {
    const A sum = sums[i] + x[i];
    if ((std::bit_cast<K>(sum) & kExponent) == kExponent) ++count;
    else sums[i] = sum;
  }
  return count;
}

template <class T>
int64_t add_widened(const T* x, float* sums, int64_t n) {
  float tile[kTile];
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += kTile) {
    const int64_t size = std::min(kTile, n - i);
    widen_all(x + i, tile, size);
    count += add(tile, sums + i, size);
  }
  return count;
}

int64_t add_f32(const float* x, float* sums, int64_t n) { return add(x, sums, n); }
int64_t add_f64(const double* x, double* sums, int64_t n) { return add(x, sums, n); }
int64_t add_f16(const float16* x, float* sums, int64_t n) { return add_widened(x, sums, n); }
int64_t add_bf16(const bfloat16* x, float* sums, int64_t n) { return add_widened(x, sums, n); }

}  // namespace
}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {

HWY_EXPORT(add_f32);
HWY_EXPORT(add_f64);
HWY_EXPORT(add_f16);
HWY_EXPORT(add_bf16);

template <class T>
std::int64_t add_finite(const T* x, Compute<T>* sums, std::int64_t n) {
  if constexpr (std::is_same_v<T, float>) return HWY_DYNAMIC_DISPATCH(add_f32)(x, sums, n);
  else if constexpr (std::is_same_v<T, double>) return HWY_DYNAMIC_DISPATCH(add_f64)(x, sums, n);
  else if constexpr (std::is_same_v<T, float16>) return HWY_DYNAMIC_DISPATCH(add_f16)(x, sums, n);
  else return HWY_DYNAMIC_DISPATCH(add_bf16)(x, sums, n);
}

template std::int64_t add_finite(const float*, float*, std::int64_t);
template std::int64_t add_finite(const double*, double*, std::int64_t);
template std::int64_t add_finite(const float16*, float*, std::int64_t);
template std::int64_t add_finite(const bfloat16*, float*, std::int64_t);

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
