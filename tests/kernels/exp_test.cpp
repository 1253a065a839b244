// tests/kernels/exp_test.cpp — the exponential function: its error against long double, and the same bits on every
// instruction set.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/kernels/exp_test.cpp"
#include <hwy/foreach_target.h>

#include "kernels/cpu/exp.hpp"
#include "tests/support.hpp"

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

template <class A>
void exp_all(const A* x, A* out, std::size_t n) {
  const hn::ScalableTag<A> d;
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) hn::StoreU(exp_vector(d, hn::LoadU(d, x + i)), d, out + i);
}
void exp_f32(const float* x, float* out, std::size_t n) { exp_all(x, out, n); }
void exp_f64(const double* x, double* out, std::size_t n) { exp_all(x, out, n); }

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
HWY_EXPORT(exp_f32);
HWY_EXPORT(exp_f64);
}  // namespace sparsert::backend::cpu

namespace sparsert::test {
namespace {

using backend::exp_of;

/// exp of every x by each instruction set of this machine, the portable one included.
template <class A, class F>
void for_each_target(const std::vector<A>& x, F&& f) {
  namespace kernels = backend::cpu;
  const auto targets = hwy::SupportedAndGeneratedTargets();
  ASSERT_FALSE(targets.empty());
  for (const std::int64_t target : targets) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    std::vector<A> out(x.size());
    if constexpr (sizeof(A) == 4) {
      using namespace kernels;
      HWY_DYNAMIC_DISPATCH(exp_f32)(x.data(), out.data(), x.size());
    } else {
      using namespace kernels;
      HWY_DYNAMIC_DISPATCH(exp_f64)(x.data(), out.data(), x.size());
    }
    f(hwy::TargetName(target), out);
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

/// Every so many bit patterns of one sign, up to `limit`.
template <class A>
std::vector<A> patterns(A limit, std::uint64_t step) {
  using Bits = typename backend::ExpConstants<A>::Bits;
  std::vector<A> x;
  for (std::uint64_t bits = 0; bits <= std::bit_cast<Bits>(limit); bits += step) {
    x.push_back(std::bit_cast<A>(static_cast<Bits>(bits)));
  }
  return x;
}

template <class A>
std::vector<A> with_both_signs(std::vector<A> x) {
  const std::size_t n = x.size();
  for (std::size_t i = 0; i < n; ++i) x.push_back(-x[i]);
  x.insert(x.end(),
           {std::numeric_limits<A>::quiet_NaN(), std::numeric_limits<A>::infinity(),
            -std::numeric_limits<A>::infinity(), std::numeric_limits<A>::max(), std::numeric_limits<A>::lowest()});
  while (x.size() % 64 != 0) x.push_back(A{-1});
  return x;
}

template <class A>
void expect_accurate(const std::vector<A>& all) {
  const long double u = std::numeric_limits<A>::epsilon() / 2;
  const long double eta = std::numeric_limits<A>::denorm_min();
  long double worst = 0;
  for (const A x : all) {
    const A got = exp_of(x);
    if (std::isnan(x)) {
      ASSERT_TRUE(std::isnan(got));
      continue;
    }
    const long double exact = std::exp(static_cast<long double>(x));
    if (exact > static_cast<long double>(std::numeric_limits<A>::max())) {
      if (exact > static_cast<long double>(std::numeric_limits<A>::max()) * (1 + u)) {
        ASSERT_TRUE(std::isinf(got) && got > 0) << x;
      }
      continue;
    }
    const long double error = std::abs(static_cast<long double>(got) - exact);
    ASSERT_LE(error, 3 * u * exact + eta * 0.51L) << x << ": got " << got << ", expected " << exact;
    if (exact >= static_cast<long double>(std::numeric_limits<A>::min())) worst = std::max(worst, error / (u * exact));
  }
  EXPECT_LT(worst, 3);  // 1.5 units in the last place
  EXPECT_GT(worst, 0.5) << "no rounding at all was seen";
}

TEST(Exp, AccurateEverywhere) {
  expect_accurate(with_both_signs(patterns<float>(110.0f, 1009)));
  expect_accurate(with_both_signs(patterns<double>(760.0, 4'611'686'018'427ull)));
  std::vector<double> dense;
  for (int i = 0; i < 400'000; ++i) dense.push_back(-750.0 + i * 0.0037511);
  expect_accurate(with_both_signs(dense));
}

TEST(Exp, SameBitsOnEveryInstructionSet) {
  const auto check = [](const auto& x) {
    using A = typename std::decay_t<decltype(x)>::value_type;
    std::vector<A> expected;
    for (const A v : x) expected.push_back(exp_of(v));
    int targets = 0;
    for_each_target(x, [&](const char* name, const std::vector<A>& got) {
      EXPECT_TRUE(same_bits(got, expected)) << name;
      ++targets;
    });
    EXPECT_GE(targets, 1);
  };
  check(with_both_signs(patterns<float>(110.0f, 4013)));
  check(with_both_signs(patterns<double>(760.0, 46'116'860'184'273ull)));
}

TEST(Exp, LandmarksAreExact) {
  EXPECT_EQ(exp_of(0.0f), 1.0f);
  EXPECT_EQ(exp_of(-0.0), 1.0);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(exp_of(-std::numeric_limits<float>::infinity())), 0u);
  EXPECT_EQ(std::bit_cast<std::uint64_t>(exp_of(-std::numeric_limits<double>::infinity())), 0u);
  EXPECT_EQ(exp_of(std::numeric_limits<float>::infinity()), std::numeric_limits<float>::infinity());
  EXPECT_EQ(exp_of(-103.0f), std::numeric_limits<float>::denorm_min());
}

}  // namespace
}  // namespace sparsert::test
#endif  // HWY_ONCE
