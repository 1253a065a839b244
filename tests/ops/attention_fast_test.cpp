// tests/ops/attention_fast_test.cpp — order=fast: what tensor cores give stays within the bound, and leaks nothing.
#include "device/simt/simt.hpp"
#include "tests/ops/attention_runs.hpp"

namespace sparsert::test {
namespace {

const Family& family_named(const std::string& name) {
  for (const Family& family : families()) {
    if (family.name == name) return family;
  }
  throw std::out_of_range(name);
}

template <class T>
void expect_fast_within_bound(const Attention<T>& x, const Mask& mask, const std::string& what) {
  const auto naive = naive_attention<T, Wide<T>>(x);
  const auto exact = widened_to_double(naive_attention<T, Exact<T>>(x));
  for (const Device& device : devices_under_test()) {
    expect_within_bound(x, run(x, mask, device, Order::fast), naive, exact, to_string(device) + " " + what);
  }
}

template <class T>
class FastAttention : public testing::Test {};
using Types = testing::Types<float16, bfloat16>;
TYPED_TEST_SUITE(FastAttention, Types);

/// The formula has no value for a query that sees nothing.
template <class T>
bool every_query_sees(const Attention<T>& x) {
  for (std::int64_t i = 0; i < x.n.query; ++i) {
    bool any = false;
    for (std::int64_t j = 0; j < x.n.key; ++j) any |= x.sees(0, i, j);
    if (!any) return false;
  }
  return true;
}

TYPED_TEST(FastAttention, EveryFamily) {
  int families_run = 0;
  for (const Family& family : families()) {
    const auto x = attention_of<TypeParam>(family, 100, 16, Values::normal);
    if (!every_query_sees(x)) continue;
    expect_fast_within_bound(x, family.make(100, {}), family.name);
    ++families_run;
  }
  EXPECT_GE(families_run, 12);
}

TYPED_TEST(FastAttention, LengthsAndDepths) {
  const Family& family = family_named("causal");
  for (const std::int64_t n : {1, 15, 17, 63, 64, 65, 130}) {
    expect_fast_within_bound(attention_of<TypeParam>(family, n, 8, Values::normal), family.make(n, {}),
                             describe(family.name, n, 8));
  }
  // Whole vectors and not, one slice of the depth and several, one piece of the result and several.
  for (const std::int64_t depth : {1, 7, 16, 24, 61, 64, 65, 96, 128, 136, 253}) {
    Attention<TypeParam> x = attention_of<TypeParam>(family, 70, depth, Values::normal);
    x.value_depth = depth % 8 == 0 ? 256 - depth : depth;
    x.fill(Values::normal);
    expect_fast_within_bound(x, family.make(70, {}), describe(family.name, 70, depth));
  }
}

TYPED_TEST(FastAttention, SharedKeysBiasAndMasksByHead) {
  Attention<TypeParam> x;
  x.batch = 2;
  x.heads = 4;
  x.key_heads = 2;
  x.n = {70, 90};
  x.sees = [](std::int64_t head, std::int64_t i, std::int64_t j) {
    return head % 2 == 0 ? j <= i : std::abs(i - j) < 7;
  };
  x.fill(Values::normal);
  x.fill_bias(Values::normal);
  const Mask causal = attention::causal(x.n);
  const Mask window = attention::sliding_window(x.n, 7);
  expect_fast_within_bound(x, attention::per_head(std::vector<Mask>{causal, window, causal, window}), "by head");
}

TYPED_TEST(FastAttention, NothingLeaksAndEmptyRowsGiveZeros) {
  // Even tokens see even ones; the odd ones see nobody, are seen by nobody, and are not finite.
  Attention<TypeParam> x;
  x.n = 140;
  x.depth = 16;
  x.value_depth = 16;
  x.sees = [](std::int64_t, std::int64_t i, std::int64_t j) { return i % 2 == 0 && j % 2 == 0 && j <= i; };
  x.fill(Values::normal);
  Tensor dense = Tensor::zeros({140, 140}, DType::uint8);
  for (std::int64_t i = 0; i < 140; ++i) {
    for (std::int64_t j = 0; j < 140; ++j)
      static_cast<std::uint8_t*>(dense.mutable_data())[i * 140 + j] = x.sees(0, i, j);
  }
  const Mask mask = attention::from_dense(dense);
  Attention<TypeParam> y = x;
  for (auto* operand : {&y.q, &y.k, &y.v, &y.grad}) {
    const auto bad = poison(operand->size());
    for (std::size_t e = 0; e < operand->size(); ++e) {
      if (e / 16 % 140 % 2 == 1) (*operand)[e] = stored<TypeParam>(bad[e]);
    }
  }
  for (const Device& device : devices_under_test()) {
    const auto clean = run(x, mask, device, Order::fast);
    EXPECT_TRUE(same_bits(run(y, mask, device, Order::fast).out, clean.out)) << to_string(device);
    for (std::size_t e = 0; e < clean.out.size(); ++e) {
      const bool is_empty = e / 16 % 140 % 2 == 1;
      ASSERT_TRUE(!is_empty || std::bit_cast<std::uint32_t>(clean.out[e]) == 0) << to_string(device);
    }
    for (std::size_t row = 0; row < clean.log_sum_exp.size(); ++row) {
      EXPECT_EQ(std::isinf(clean.log_sum_exp[row]), row % 140 % 2 == 1) << to_string(device);
    }
  }
}

TYPED_TEST(FastAttention, WhatIsSeenAndNotFiniteArrives) {
  // Behind a causal mask the values of key 40 reach the queries from 40 on, and no other.
  Attention<TypeParam> x;
  x.heads = 1;
  x.n = 80;
  x.fill(Values::normal);
  x.v[40 * 8 + 3] = stored<TypeParam>(std::numeric_limits<double>::infinity());
  for (const Device& device : devices_under_test()) {
    const auto out = run(x, attention::causal(80), device, Order::fast).out;
    for (std::int64_t e = 0; e < 80 * 8; ++e) {
      const bool reached = e / 8 >= 40 && e % 8 == 3;
      ASSERT_EQ(std::isinf(out[static_cast<std::size_t>(e)]), reached) << to_string(device) << " " << e;
    }
  }
}

TYPED_TEST(FastAttention, RunsOnTensorCoresInAnyOrderOfThreads) {
  const Family& family = family_named("causal and (window or global)");
  const auto x = attention_of<TypeParam>(family, 200, 16, Values::normal);
  const Mask mask = family.make(200, {});
  for (const Device& device : devices_under_test()) {
    if (device.type != Device::Type::simt) continue;
    std::vector<AttentionResult<float>> results;
    const simt::ThreadOrder before = simt::order();
    for (const simt::ThreadOrder order : {simt::ThreadOrder::forward, simt::ThreadOrder::reverse}) {
      simt::set_order(order);
      simt::reset_counters();
      simt::set_profiling(true);
      results.push_back(run(x, mask, device, Order::fast));
      simt::set_profiling(false);
      const simt::Counters fast = simt::counters("attend_mma_kernel");
      EXPECT_EQ(fast.launches, 1);
      EXPECT_EQ(fast.blocks, 2 * 4);
      EXPECT_EQ(simt::counters("attend_kernel").launches, 0);
      EXPECT_EQ(fast.bank_conflicts, 0);
    }
    simt::set_order(before);
    EXPECT_TRUE(same_bits(results[0].out, results[1].out));
    EXPECT_TRUE(same_bits(results[0].log_sum_exp, results[1].log_sum_exp));
  }
}

}  // namespace
}  // namespace sparsert::test
