// bench/ceiling_kernels.cpp — FMA chains, read and copy loops with Highway, compiled once per instruction set.
#include "bench/ceiling_kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/ceiling_kernels.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sparsert::bench::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Keeps the compiler from merging or dropping the passes of a loop over memory.
HWY_INLINE void forget_memory() { asm volatile("" ::: "memory"); }

int64_t lanes() { return static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>())); }

// Twelve chains: more than latency times throughput of every core we know, and they fit sixteen registers. Each starts
// elsewhere: a compiler makes one chain of equal ones.
float fma_chains(int64_t iterations) {
  const hn::ScalableTag<float> d;
  const auto x = hn::Set(d, 0.999999f);
  const auto y = hn::Set(d, 1e-6f);
  auto a0 = hn::Set(d, 1.0f), a1 = hn::Set(d, 1.1f), a2 = hn::Set(d, 1.2f), a3 = hn::Set(d, 1.3f);
  auto a4 = hn::Set(d, 1.4f), a5 = hn::Set(d, 1.5f), a6 = hn::Set(d, 1.6f), a7 = hn::Set(d, 1.7f);
  auto a8 = hn::Set(d, 1.8f), a9 = hn::Set(d, 1.9f), a10 = hn::Set(d, 2.0f), a11 = hn::Set(d, 2.1f);
  for (int64_t i = 0; i < iterations; ++i) {
    a0 = hn::MulAdd(a0, x, y);
    a1 = hn::MulAdd(a1, x, y);
    a2 = hn::MulAdd(a2, x, y);
    a3 = hn::MulAdd(a3, x, y);
    a4 = hn::MulAdd(a4, x, y);
    a5 = hn::MulAdd(a5, x, y);
    a6 = hn::MulAdd(a6, x, y);
    a7 = hn::MulAdd(a7, x, y);
    a8 = hn::MulAdd(a8, x, y);
    a9 = hn::MulAdd(a9, x, y);
    a10 = hn::MulAdd(a10, x, y);
    a11 = hn::MulAdd(a11, x, y);
  }
  const auto low = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(a4, a5));
  const auto high = hn::Add(hn::Add(hn::Add(a6, a7), hn::Add(a8, a9)), hn::Add(a10, a11));
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(low, high)));
}

float read_loop(const float* data, int64_t count, int64_t repeats) {
  const hn::ScalableTag<float> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  auto a = hn::Zero(d), b = a, c = a, e = a, f = a, g = a, h = a, k = a;
  for (int64_t repeat = 0; repeat < repeats; ++repeat) {
    for (int64_t i = 0; i + 8 * n <= count; i += 8 * n) {
      a = hn::Add(a, hn::Load(d, data + i));
      b = hn::Add(b, hn::Load(d, data + i + n));
      c = hn::Add(c, hn::Load(d, data + i + 2 * n));
      e = hn::Add(e, hn::Load(d, data + i + 3 * n));
      f = hn::Add(f, hn::Load(d, data + i + 4 * n));
      g = hn::Add(g, hn::Load(d, data + i + 5 * n));
      h = hn::Add(h, hn::Load(d, data + i + 6 * n));
      k = hn::Add(k, hn::Load(d, data + i + 7 * n));
    }
    forget_memory();
  }
  const auto low = hn::Add(hn::Add(a, b), hn::Add(c, e));
  const auto high = hn::Add(hn::Add(f, g), hn::Add(h, k));
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(low, high)));
}

void copy_loop(const float* HWY_RESTRICT from, float* HWY_RESTRICT to, int64_t count, int64_t repeats,
               bool past_cache) {
  const hn::ScalableTag<float> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t repeat = 0; repeat < repeats; ++repeat) {
    for (int64_t i = 0; i + 4 * n <= count; i += 4 * n) {
      const auto a = hn::Load(d, from + i);
      const auto b = hn::Load(d, from + i + n);
      const auto c = hn::Load(d, from + i + 2 * n);
      const auto e = hn::Load(d, from + i + 3 * n);
      if (past_cache) {
        hn::Stream(a, d, to + i);
        hn::Stream(b, d, to + i + n);
        hn::Stream(c, d, to + i + 2 * n);
        hn::Stream(e, d, to + i + 3 * n);
      } else {
        hn::Store(a, d, to + i);
        hn::Store(b, d, to + i + n);
        hn::Store(c, d, to + i + 2 * n);
        hn::Store(e, d, to + i + 3 * n);
      }
    }
    if (past_cache) hwy::FlushStream();
    forget_memory();
  }
}

}  // namespace sparsert::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::bench {
namespace {

HWY_EXPORT(lanes);
HWY_EXPORT(fma_chains);
HWY_EXPORT(read_loop);
HWY_EXPORT(copy_loop);

constexpr int64_t kChains = 12;

void consume(float value) { asm volatile("" : : "g"(value) : "memory"); }

}  // namespace

int64_t vector_lanes() { return HWY_DYNAMIC_DISPATCH(lanes)(); }

int64_t run_fma(int64_t iterations) {
  consume(HWY_DYNAMIC_DISPATCH(fma_chains)(iterations));
  return iterations * kChains;
}

void run_read(const float* data, int64_t count, int64_t repeats) {
  consume(HWY_DYNAMIC_DISPATCH(read_loop)(data, count, repeats));
}

void run_copy(const float* from, float* to, int64_t count, int64_t repeats, bool past_cache) {
  HWY_DYNAMIC_DISPATCH(copy_loop)(from, to, count, repeats, past_cache);
}

}  // namespace sparsert::bench
#endif  // HWY_ONCE
