// tools/sweep/plot.cpp — charts and small pictures as SVG.
#include "tools/sweep/plot.hpp"

#include <algorithm>
#include <cmath>

#include "tools/cli.hpp"
#include "tools/sweep/sweep.hpp"

namespace sparsert::tools::sweep {
namespace {

constexpr double kWidth = 480;
constexpr double kHeight = 300;
constexpr double kLeft = 52;
constexpr double kRight = 16;
constexpr double kTop = 30;
constexpr double kBottom = 46;
constexpr double kLabelGap = 32;  // between the middles of two labels of the x axis

std::string number(double value) { return fixed(value, 1); }

/// Where each amount stands, 0 to 1: by the logarithm of the share that is left.
std::vector<double> positions(const std::vector<double>& amounts) {
  constexpr double kNothingLeft = 0.3;  // behind the last amount that leaves something: half of it
  std::vector<double> x;
  for (const double amount : amounts) {
    x.push_back(amount < 1 ? -std::log10(1 - amount) : (x.empty() ? 0 : x.back() + kNothingLeft));
  }
  const double first = x.front();
  const double span = x.back() - first;
  for (double& value : x) value = span > 0 ? (value - first) / span : 0.5;
  return x;
}

/// A round step that divides 0..`top` into four to ten parts.
double round_step(double top) {
  const double raw = top / 5;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * power) return factor * power;
  }
  return 10 * power;
}

class Drawing {
 public:
  explicit Drawing(const Chart& chart) : chart_(chart), x_(positions(chart.amounts)) {
    double largest = 0;
    for (const Series& series : chart.series) {
      for (const double y : series.y) largest = std::max(largest, y);
    }
    step_ = round_step(chart.y_max ? *chart.y_max : std::max(largest, 1e-9));
    top_ = chart.y_max ? *chart.y_max : std::ceil(largest * 1.02 / step_) * step_;
    if (!(top_ > 0)) top_ = step_;
  }

  std::string svg() {
    out_ = "<svg viewBox=\"0 0 " + number(kWidth) + " " + number(kHeight) + "\" role=\"img\" aria-label=\"" +
           escaped(chart_.title + ", " + chart_.unit + ", by share of zeros") + "\">";
    paying();
    grid();
    band();
    for (const Series& series : chart_.series) line(series);
    knee();
    for (const Series& series : chart_.series) {
      if (series.points) points(series);
    }
    return out_ + "</svg>";
  }

 private:
  double x(std::size_t i) const { return kLeft + x_[i] * (kWidth - kLeft - kRight); }
  double y(double value) const { return kHeight - kBottom - value / top_ * (kHeight - kTop - kBottom); }

  std::optional<std::size_t> knee_index() const {
    const auto found = std::find(chart_.amounts.begin(), chart_.amounts.end(), chart_.knee.value_or(-1));
    if (found == chart_.amounts.end()) return std::nullopt;
    return static_cast<std::size_t>(found - chart_.amounts.begin());
  }

  void text(double at_x, double at_y, const std::string& kind, const std::string& anchor, const std::string& content) {
    out_ += "<text x=\"" + number(at_x) + "\" y=\"" + number(at_y) + "\" class=\"" + kind + "\" text-anchor=\"" +
            anchor + "\">" + escaped(content) + "</text>";
  }

  /// The region up to the knee.
  void paying() {
    const auto index = knee_index();
    if (!index || x(*index) <= kLeft) return;
    out_ += "<rect class=\"paying\" x=\"" + number(kLeft) + "\" y=\"" + number(kTop) + "\" width=\"" +
            number(x(*index) - kLeft) + "\" height=\"" + number(kHeight - kTop - kBottom) + "\"/>";
  }

  void grid() {
    const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step_) + 1e-9)));
    for (double value = 0; value <= top_ * 1.0001; value += step_) {
      out_ += "<line class=\"grid\" x1=\"" + number(kLeft) + "\" x2=\"" + number(kWidth - kRight) + "\" y1=\"" +
              number(y(value)) + "\" y2=\"" + number(y(value)) + "\"/>";
      text(kLeft - 8, y(value) + 5, "tick", "end", fixed(value, decimals));
    }
    // From the right, where amounts stand apart and matter most; the knee's label always stays.
    const auto index = knee_index();
    double taken = 1e9;
    for (std::size_t i = chart_.amounts.size(); i-- > 0;) {
      const bool is_knee = index == i;
      const bool hides_knee = index && !is_knee && std::abs(x(i) - x(*index)) < kLabelGap;
      if (!is_knee && (hides_knee || taken - x(i) < kLabelGap)) continue;
      std::string label = amount_text(chart_.amounts[i]);
      label.resize(label.size() - 2);  // " %": the axis says it once
      text(x(i), kHeight - kBottom + 20, is_knee ? "tick strong" : "tick", "middle", label);
      taken = x(i);
    }
    text((kLeft + kWidth - kRight) / 2, kHeight - 6, "axis", "middle", "zeros, % of the weights");
  }

  void band() {
    if (chart_.band_low.empty()) return;
    out_ += "<polygon class=\"band\" points=\"";
    for (std::size_t i = 0; i < x_.size(); ++i) out_ += number(x(i)) + "," + number(y(chart_.band_high[i])) + " ";
    for (std::size_t i = x_.size(); i-- > 0;) out_ += number(x(i)) + "," + number(y(chart_.band_low[i])) + " ";
    out_ += "\"/>";
  }

  void line(const Series& series) {
    if (x_.size() == 1 && !series.points) {  // a yardstick beside a single amount still spans the drawing
      out_ += "<line class=\"line " + series.kind + "\" x1=\"" + number(kLeft) + "\" x2=\"" + number(kWidth - kRight) +
              "\" y1=\"" + number(y(series.y[0])) + "\" y2=\"" + number(y(series.y[0])) + "\"/>";
      return;
    }
    out_ += "<polyline class=\"line " + series.kind + "\" points=\"";
    for (std::size_t i = 0; i < x_.size(); ++i) out_ += number(x(i)) + "," + number(y(series.y[i])) + " ";
    out_ += "\"/>";
  }

  void points(const Series& series) {
    for (std::size_t i = 0; i < x_.size(); ++i) {
      out_ += "<circle class=\"dot " + series.kind + (knee_index() == i ? " at-knee" : "") + "\" cx=\"" + number(x(i)) +
              "\" cy=\"" + number(y(series.y[i])) + "\" r=\"" + (knee_index() == i ? "6" : "4") + "\"><title>" +
              escaped(amount_text(chart_.amounts[i]) + " zeros: " + series.values[i]) + "</title></circle>";
    }
  }

  void knee() {
    const auto index = knee_index();
    if (!index) return;
    out_ += "<line class=\"knee\" x1=\"" + number(x(*index)) + "\" x2=\"" + number(x(*index)) + "\" y1=\"" +
            number(kTop - 6) + "\" y2=\"" + number(kHeight - kBottom) + "\"/>";
    const std::string anchor = x_[*index] < 0.1 ? "start" : x_[*index] > 0.9 ? "end" : "middle";
    text(x(*index), kTop - 12, "knee-label", anchor, "knee " + amount_text(chart_.amounts[*index]));
  }

  const Chart& chart_;
  std::vector<double> x_;
  double step_ = 1;
  double top_ = 1;
  std::string out_;
};

std::string legend(const Chart& chart) {
  std::string out = "<p class=\"legend\">";
  for (const Series& series : chart.series) {
    out += "<span><svg viewBox=\"0 0 34 12\" class=\"swatch\" aria-hidden=\"true\"><line class=\"line " + series.kind +
           "\" x1=\"1\" y1=\"6\" x2=\"33\" y2=\"6\"/>" +
           (series.points ? "<circle class=\"dot " + series.kind + "\" cx=\"17\" cy=\"6\" r=\"4\"/>" : std::string()) +
           "</svg>" + escaped(series.label) + "</span>";
  }
  return out + "</p>";
}

}  // namespace

std::string figure(const Chart& chart) {
  return "<figure><figcaption><h3>" + escaped(chart.title) + "</h3><p class=\"unit\">" + escaped(chart.unit) +
         "</p></figcaption>" + legend(chart) + Drawing(chart).svg() + "</figure>\n";
}

std::string picture(const std::vector<float>& pixels, std::int64_t side, const std::string& description) {
  const float largest = *std::max_element(pixels.begin(), pixels.end());
  const std::string extent = std::to_string(side);
  std::string out = "<svg class=\"picture\" viewBox=\"0 0 " + extent + " " + extent + "\" role=\"img\" aria-label=\"" +
                    escaped(description) + "\">";
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    if (!(pixels[i] > 0)) continue;  // also NaN
    const auto at = static_cast<std::int64_t>(i);
    out += "<rect x=\"" + std::to_string(at % side) + "\" y=\"" + std::to_string(at / side) +
           "\" width=\"1\" height=\"1\" fill-opacity=\"" + fixed(pixels[i] / largest, 2) + "\"/>";
  }
  return out + "</svg>";
}

std::string escaped(const std::string& text) {
  std::string out;
  const std::string visible = printable(text);
  for (std::size_t i = 0; i < visible.size(); ++i) {
    switch (visible[i]) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      case ' ': {  // a number and its unit stay on one line
        const std::string unit = visible.substr(i + 1, 2);
        out += unit.starts_with('%') || unit == "ms" || unit == "MB" || unit == "kB" ? "&#160;" : " ";
        break;
      }
      default: out += visible[i];
    }
  }
  return out;
}

}  // namespace sparsert::tools::sweep
