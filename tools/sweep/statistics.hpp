// tools/sweep/statistics.hpp — the arithmetic behind a sweep: how sure an accuracy is, and where zeros stop paying.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace sparsert::tools::sweep {

/// Both ends of a confidence interval.
struct Interval {
  double low = 0;
  double high = 1;
};

/// Wilson's 95 % interval of a proportion; (0, 1) where nothing was tried.
Interval wilson(std::int64_t successes, std::int64_t trials);

/// The middle value; the mean of the middle two where the count is even. `values` is not empty.
double median(std::vector<double> values);

/// What the knee is found from, one for each amount.
struct Point {
  double amount = 0;
  double accuracy = 0;
  double latency_ms = 0;
};

/// A latency counts as lower only by this share, so that noise makes no knee.
inline constexpr double kLatencyMargin = 0.02;

/// The amount beyond which zeros stop paying: the largest one that is as accurate as the unpruned network as far as
/// the held-out images can tell (`accuracy >= dense_low`, the lower end of the dense network's interval), as is every
/// smaller one, and whose latency is lower than at every smaller one by `kLatencyMargin`. The smallest amount has no
/// smaller one to beat. `points` ascend by amount. None where already the smallest is too inaccurate.
std::optional<double> knee(const std::vector<Point>& points, double dense_low);

}  // namespace sparsert::tools::sweep
