// tests/tools/sweep_statistics_test.cpp — the sweep's statistics: intervals, medians and the knee.
#include "tools/sweep/statistics.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace sparsert::tools::sweep {
namespace {

TEST(Wilson, SolvesItsEquation) {
  // The ends are the two p with (share - p)² = z²·p·(1 - p) / n.
  constexpr double kZ = 1.959963984540054;
  for (const std::int64_t n : {1, 2, 10, 599, 100'000}) {
    for (const std::int64_t right : {std::int64_t{0}, std::int64_t{1}, n / 2, n - 1, n}) {
      const Interval interval = wilson(right, n);
      const double share = static_cast<double>(right) / static_cast<double>(n);
      for (const double p : {interval.low, interval.high}) {
        EXPECT_NEAR((share - p) * (share - p), kZ * kZ * p * (1 - p) / static_cast<double>(n), 1e-12)
            << right << " of " << n;
      }
      EXPECT_LE(interval.low, share);
      EXPECT_GE(interval.high, share);
      EXPECT_LT(interval.low, interval.high);
    }
  }
}

TEST(Wilson, EndsTouchZeroAndOne) {
  EXPECT_EQ(wilson(0, 10).low, 0);
  EXPECT_NEAR(wilson(0, 10).high, 0.27753, 1e-5);
  EXPECT_NEAR(wilson(10, 10).low, 0.72247, 1e-5);
  EXPECT_EQ(wilson(10, 10).high, 1);
  EXPECT_EQ(wilson(0, 0).low, 0);
  EXPECT_EQ(wilson(0, 0).high, 1);
}

TEST(Median, OfOddAndEvenCounts) {
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
}

TEST(Knee, IsTheLastAmountThatIsAsAccurateAndFaster) {
  EXPECT_EQ(knee({{0, 0.98, 10}, {0.5, 0.98, 6}, {0.8, 0.97, 3}, {0.9, 0.93, 2}}, 0.96), 0.8);
}

TEST(Knee, TakesAnAccuracyAtTheEndOfTheInterval) {
  EXPECT_EQ(knee({{0, 0.98, 10}, {0.5, 0.96, 6}}, 0.96), 0.5);
  EXPECT_EQ(knee({{0, 0.98, 10}, {0.5, std::nextafter(0.96, 0.0), 6}}, 0.96), 0);
}

TEST(Knee, StopsWhereLatencyNoLongerFalls) {
  EXPECT_EQ(knee({{0, 0.98, 10}, {0.5, 0.98, 6}, {0.8, 0.98, 6.5}, {0.9, 0.98, 5.9}}, 0.96), 0.5);
  EXPECT_EQ(knee({{0, 0.98, 10}, {0.5, 0.98, 6}, {0.8, 0.98, 6.5}, {0.9, 0.98, 5.8}}, 0.96), 0.9);
}

TEST(Knee, DoesNotJumpOverAnInaccurateAmount) {
  EXPECT_EQ(knee({{0, 0.98, 10}, {0.5, 0.90, 6}, {0.8, 0.98, 3}}, 0.96), 0);
}

TEST(Knee, IsNoneWhereTheSmallestAmountIsInaccurate) {
  EXPECT_FALSE(knee({{0.9, 0.93, 2}, {0.95, 0.97, 1}}, 0.96));
  EXPECT_FALSE(knee({{0, std::nan(""), 2}}, 0.96));
  EXPECT_FALSE(knee({}, 0.96));
}

}  // namespace
}  // namespace sparsert::tools::sweep
