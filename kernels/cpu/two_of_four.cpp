// kernels/cpu/two_of_four.cpp — 2:4 pruning of float32, with Highway.
//
// Each lane counts who of its three neighbours stays before it: a larger key, or an equal one at a lower index. In
// place of two comparisons it compares with its own key less one where the neighbour's index is lower.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/two_of_four.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/simd.hpp"
#include "kernels/cpu/two_of_four.hpp"
#include "kernels/numerics.hpp"

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

HWY_INLINE void prune_group(const uint32_t* x, uint32_t* out) {
  uint32_t group[4];
  uint32_t key[4];
  for (int i = 0; i < 4; ++i) {
    group[i] = x[i];
    key[i] = HWY_MIN(x[i] & 0x7fffffffu, kNanKey<float>);
  }
  for (int i = 0; i < 4; ++i) {
    int ahead = 0;
    for (int j = 0; j < 4; ++j) ahead += key[j] > key[i] || (key[j] == key[i] && j < i) ? 1 : 0;
    out[i] = ahead < 2 ? group[i] : 0;
  }
}

void two_of_four(const uint32_t* x, uint32_t* out, int64_t n, bool past_cache) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<int32_t> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  using V = hn::Vec<decltype(d)>;
  const auto magnitude = hn::Set(d, 0x7fffffff);
  const auto nan = hn::Set(d, static_cast<int32_t>(kNanKey<float>));
  const auto place = hn::And(hn::Iota(d, 0), hn::Set(d, 3));
  const auto one = hn::Set(d, 1);
  const auto zero = hn::Zero(d);
  const auto wraps1 = hn::IfThenElseZero(hn::Gt(place, hn::Set(d, 2)), one);
  const auto wraps2 = hn::IfThenElseZero(hn::Gt(place, one), one);
  const auto wraps3 = hn::IfThenElseZero(hn::Gt(place, zero), one);
  const auto most = hn::Set(d, -2);
  const auto pruned = [&](V bits) HWY_ATTR {
    const V key = hn::Min(hn::And(bits, magnitude), nan);
    const V ahead1 = hn::VecFromMask(d, hn::Gt(hn::Shuffle0321(key), hn::Sub(key, wraps1)));
    const V ahead2 = hn::VecFromMask(d, hn::Gt(hn::Shuffle1032(key), hn::Sub(key, wraps2)));
    const V ahead3 = hn::VecFromMask(d, hn::Gt(hn::Shuffle2103(key), hn::Sub(key, wraps3)));
    return hn::IfThenElseZero(hn::Gt(hn::Add(ahead1, hn::Add(ahead2, ahead3)), most), bits);
  };
  const auto* const from = reinterpret_cast<const int32_t*>(x);
  auto* const to = reinterpret_cast<int32_t*>(out);
  constexpr int64_t kAhead = 1024;  // elements: further than the hardware looks, since too few loads are under way
  if (past_cache) {
    for (; i + 4 * lanes <= n; i += 4 * lanes) {
      for (int64_t line = 0; line < 4 * lanes; line += 16) hwy::Prefetch(from + i + kAhead + line);
      const V v0 = pruned(hn::LoadU(d, from + i));
      const V v1 = pruned(hn::LoadU(d, from + i + lanes));
      const V v2 = pruned(hn::LoadU(d, from + i + 2 * lanes));
      const V v3 = pruned(hn::LoadU(d, from + i + 3 * lanes));
      hn::Stream(v0, d, to + i);
      hn::Stream(v1, d, to + i + lanes);
      hn::Stream(v2, d, to + i + 2 * lanes);
      hn::Stream(v3, d, to + i + 3 * lanes);
    }
    hwy::FlushStream();
  }
  for (; i + lanes <= n; i += lanes) hn::StoreU(pruned(hn::LoadU(d, from + i)), d, to + i);
#endif
  (void)past_cache;
  for (; i < n; i += 4) prune_group(x + i, out + i);
}

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {

HWY_EXPORT(two_of_four);

void prune_two_of_four(const std::uint32_t* x, std::uint32_t* out, std::int64_t n, bool past_cache) {
  HWY_DYNAMIC_DISPATCH(two_of_four)(x, out, n, past_cache);
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
