// tools/sweep/plot.hpp — line charts over the share of zeros, as SVG that a page's style sheet colors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sparsert::tools::sweep {

/// One line of a chart. `kind` is a class of the style sheet: sparse, dense, blas, layer1 to layer4.
struct Series {
  std::string label;
  std::string kind;
  std::vector<double> y;
  std::vector<std::string> values;  ///< what a pointer reads at each point
  bool points = true;               ///< dots on the line; not for a yardstick
};

struct Chart {
  std::string title;
  std::string unit;  ///< what the y axis counts
  std::vector<double> amounts;
  std::vector<Series> series;
  std::vector<double> band_low;  ///< empty: no band; else around the first series
  std::vector<double> band_high;
  std::optional<double> knee;
  std::optional<double> y_max;  ///< where the axis ends; else behind the largest value
};

/// A figure with title, legend and drawing. The x axis is logarithmic in what is left, so that 90, 95 and 99 % stand
/// apart.
std::string figure(const Chart& chart);

/// An image of `side` × `side` gray values, the largest of them darkest.
std::string picture(const std::vector<float>& pixels, std::int64_t side, const std::string& description);

/// Text fit for HTML.
std::string escaped(const std::string& text);

}  // namespace sparsert::tools::sweep
