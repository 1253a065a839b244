// tools/sweep/statistics.cpp — Wilson's interval, the median, the knee.
#include "tools/sweep/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sparsert::tools::sweep {

Interval wilson(std::int64_t successes, std::int64_t trials) {
  if (trials <= 0) return {};
  constexpr double kZ = 1.959963984540054;  // of a two-sided 95 %
  const auto n = static_cast<double>(trials);
  const double share = static_cast<double>(successes) / n;
  const double denominator = 1 + kZ * kZ / n;
  const double center = (share + kZ * kZ / (2 * n)) / denominator;
  const double half = kZ * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n)) / denominator;
  // The ends touch 0 and 1 exactly where no trial, or every one, succeeded: rounding must not cross them.
  return {successes == 0 ? 0 : std::max(0.0, center - half), successes == trials ? 1 : std::min(1.0, center + half)};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::optional<double> knee(const std::vector<Point>& points, double dense_low) {
  std::optional<double> found;
  double lowest = std::numeric_limits<double>::infinity();
  for (const Point& point : points) {
    if (!(point.accuracy >= dense_low)) break;
    if (!found || point.latency_ms <= lowest * (1 - kLatencyMargin)) found = point.amount;
    lowest = std::min(lowest, point.latency_ms);
  }
  return found;
}

}  // namespace sparsert::tools::sweep
