// tools/sweep/html.cpp — a sweep as one page to look at: answer first, then pictures, plots, figures and definitions.
#include <algorithm>
#include <cmath>
#include <ostream>
#include <utility>

#include "tools/cli.hpp"
#include "tools/sweep/plot.hpp"
#include "tools/sweep/style.hpp"
#include "tools/sweep/sweep.hpp"

namespace sparsert::tools::sweep {
namespace {

constexpr std::int64_t kMaxSide = 28;  // of images that are drawn

std::string one_decimal(double share) { return fixed(100 * share, 1) + " %"; }

std::string times(double ratio) { return fixed(ratio, ratio < 10 ? 1 : 0) + "×"; }

bool at_knee(const Report& report, const Row& row) {
  return report.knee && row.amount == *report.knee && row.device == report.rows.front().device;
}

std::string tag(const Report& report, const Row& row) {
  return at_knee(report, row) ? "<span class=\"tag\">knee</span>" : "";
}

/// The row that the answer is about: the knee, else the first.
const Row& answer_row(const Report& report) {
  for (const Row& row : report.rows) {
    if (at_knee(report, row)) return row;
  }
  return report.rows.front();
}

void write_tile(std::ostream& out, const std::string& what, const std::string& figure, double share,
                const std::string& beside) {
  out << "<div><dt>" << escaped(what) << "</dt><dd><span class=\"figure\">" << escaped(figure)
      << "</span><div class=\"meter\" aria-hidden=\"true\"><span style=\"width:" << fixed(100 * std::min(share, 1.0), 1)
      << "%\"></span></div><span class=\"beside\">" << escaped(beside) << "</span></dd></div>\n";
}

void write_tiles(std::ostream& out, const Report& report) {
  const Row& row = answer_row(report);
  out << "<dl class=\"tiles\">\n";
  write_tile(out, "Right answers", one_decimal(row.accuracy), row.accuracy,
             "dense: " + one_decimal(report.dense_accuracy));
  write_tile(
      out, "Time", fixed(row.latency_ms, 2) + " ms", row.latency_ms / row.dense_ms,
      "dense: " + fixed(row.dense_ms, 2) + " ms" + (row.blas_ms ? ", BLAS: " + fixed(*row.blas_ms, 2) + " ms" : ""));
  write_tile(out, "Room", bytes_text(row.bytes),
             static_cast<double>(row.bytes) / static_cast<double>(report.dense_bytes),
             "dense: " + bytes_text(report.dense_bytes));
  out << "</dl>\n";
}

/// One image of each class, and what the network reads in it at each amount.
void write_readings(std::ostream& out, const Report& report, const std::vector<Row>& rows) {
  const auto side = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(report.widths.front()))));
  if (report.examples.empty() || side * side != report.widths.front() || side > kMaxSide) return;
  out << "<h2>What it still reads</h2>\n<p class=\"note\">The first held-out image of each class, and what the network "
         "reads in "
         "it at each share of zeros. Wrong readings are boxed.</p>\n"
         "<div class=\"card scroll\"><table class=\"readings\"><thead><tr><th scope=\"col\">zeros</th>";
  for (std::size_t i = 0; i < report.examples.size(); ++i) {
    out << "<th scope=\"col\">"
        << picture(report.pixels[i], side, "an image of class " + std::to_string(report.example_labels[i])) << "</th>";
  }
  out << "</tr></thead><tbody>\n";
  for (const Row& row : rows) {
    out << "<tr" << (at_knee(report, row) ? " class=\"is-knee\"" : "") << "><th scope=\"row\">"
        << amount_text(row.amount) << "</th>";
    for (std::size_t i = 0; i < row.readings.size(); ++i) {
      const bool right = row.readings[i] == report.example_labels[i];
      out << "<td><span" << (right ? "" : " class=\"wrong\" title=\"wrong\"") << ">" << row.readings[i]
          << "</span></td>";
    }
    out << "</tr>\n";
  }
  out << "</tbody></table></div>\n";
}

template <class F>
Series series_of(const std::vector<Row>& rows, const std::string& label, const std::string& kind, F value,
                 const std::string& unit, int decimals, bool points = true) {
  Series series{label, kind, {}, {}, points};
  for (const Row& row : rows) {
    series.y.push_back(value(row));
    series.values.push_back(fixed(series.y.back(), decimals) + unit);
  }
  return series;
}

Chart chart_of(const Report& report, const std::vector<Row>& rows, std::string title, std::string unit) {
  Chart chart;
  chart.title = std::move(title);
  chart.unit = std::move(unit);
  for (const Row& row : rows) chart.amounts.push_back(row.amount);
  if (rows.front().device == report.rows.front().device) chart.knee = report.knee;
  return chart;
}

Chart accuracy_chart(const Report& report, const std::vector<Row>& rows) {
  Chart chart = chart_of(report, rows, "Accuracy", "% of held-out images read right; the band is the 95 % interval");
  chart.y_max = 100;
  chart.series.push_back(series_of(
      rows, "pruned", "sparse", [](const Row& row) { return 100 * row.accuracy; }, " %", 1));
  chart.series.push_back(series_of(
      rows, "dense", "dense", [&](const Row&) { return 100 * report.dense_accuracy; }, " %", 1, false));
  for (const Row& row : rows) {
    chart.band_low.push_back(100 * row.interval.low);
    chart.band_high.push_back(100 * row.interval.high);
  }
  return chart;
}

Chart latency_chart(const Report& report, const std::vector<Row>& rows) {
  Chart chart = chart_of(report, rows, "Time",
                         "ms for a batch of " + std::to_string(kBatch) + ", the whole network; lower is better");
  chart.series.push_back(series_of(
      rows, "sparse", "sparse", [](const Row& row) { return row.latency_ms; }, " ms", 3));
  chart.series.push_back(series_of(
      rows, "dense", "dense", [](const Row& row) { return row.dense_ms; }, " ms", 3, false));
  if (rows.front().blas_ms) {
    chart.series.push_back(series_of(
        rows, "BLAS, dense", "blas", [](const Row& row) { return *row.blas_ms; }, " ms", 3, false));
  }
  return chart;
}

Chart bytes_chart(const Report& report, const std::vector<Row>& rows) {
  const bool small = report.dense_bytes < 1'000'000;
  const double scale = small ? 1e-3 : 1e-6;
  const std::string unit = small ? "kB" : "MB";
  Chart chart = chart_of(report, rows, "Room", unit + " as stored; lower is better");
  const auto sparse = [&](const Row& row) { return static_cast<double>(row.bytes) * scale; };
  const auto dense = [&](const Row&) { return static_cast<double>(report.dense_bytes) * scale; };
  chart.series.push_back(series_of(rows, "sparse (CSR)", "sparse", sparse, " " + unit, 2));
  chart.series.push_back(series_of(rows, "dense", "dense", dense, " " + unit, 2, false));
  return chart;
}

Chart dead_chart(const Report& report, const std::vector<Row>& rows) {
  constexpr std::size_t kKinds = 4;
  Chart chart = chart_of(report, rows, "Dead neurons", "hidden neurons that no longer say anything");
  for (std::size_t layer = 0; layer < rows.front().dead_neurons.size(); ++layer) {
    const std::string label =
        "hidden layer " + std::to_string(layer + 1) + " (of " + std::to_string(report.widths[layer + 1]) + ")";
    chart.series.push_back(series_of(
        rows, label, "layer" + std::to_string(layer % kKinds + 1),
        [&](const Row& row) { return static_cast<double>(row.dead_neurons[layer]); }, " dead", 0));
  }
  return chart;
}

void write_plots(std::ostream& out, const Report& report, const std::vector<Row>& rows) {
  out << "<h2>What zeros cost, and what they give</h2>\n<p class=\"note\">Left of the knee zeros pay. The axis is "
         "stretched to "
         "the right, where few weights are left.</p>\n<div class=\"plots\">\n"
      << figure(accuracy_chart(report, rows)) << figure(latency_chart(report, rows))
      << figure(bytes_chart(report, rows));
  if (!rows.front().dead_neurons.empty()) out << figure(dead_chart(report, rows));
  out << "</div>\n";
}

void write_table(std::ostream& out, const Report& report, const std::vector<Row>& rows) {
  out << "<h2>The figures</h2>\n<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-label=\"The "
         "figures\"><table><thead><tr>";
  for (const char* const head : {"zeros", "accuracy", "95 % interval", "bytes", "of dense", "latency",
                                 "speed-up on dense", "speed-up on BLAS", "dead neurons"}) {
    out << "<th scope=\"col\">" << head << "</th>";
  }
  out << "</tr></thead><tbody>\n";
  for (const Row& row : rows) {
    std::string dead;
    for (const std::int64_t count : row.dead_neurons) dead += (dead.empty() ? "" : " + ") + std::to_string(count);
    const std::vector<std::string> cells{
        one_decimal(row.accuracy),
        fixed(100 * row.interval.low, 1) + " to " + fixed(100 * row.interval.high, 1),
        grouped(static_cast<std::uint64_t>(row.bytes)),
        one_decimal(static_cast<double>(row.bytes) / static_cast<double>(report.dense_bytes)),
        fixed(row.latency_ms, 3) + " ms",
        times(row.dense_ms / row.latency_ms),
        row.blas_ms ? times(*row.blas_ms / row.latency_ms) : "-",
        dead.empty() ? "-" : dead};
    out << "<tr" << (at_knee(report, row) ? " class=\"is-knee\"" : "") << "><th scope=\"row\">"
        << amount_text(row.amount) << tag(report, row) << "</th>";
    for (const std::string& cell : cells) out << "<td>" << escaped(cell) << "</td>";
    out << "</tr>\n";
  }
  out << "</tbody></table></div>\n";
}

void write_definitions(std::ostream& out, const Report& report) {
  out << "<h2>What the words mean</h2>\n<dl class=\"words\">\n";
  for (const std::string& sentence : definitions(report)) {
    const std::size_t colon = sentence.find(": ");
    out << "<dt>" << escaped(sentence.substr(0, colon)) << "</dt><dd>" << escaped(sentence.substr(colon + 2))
        << "</dd>\n";
  }
  out << "</dl>\n";
}

}  // namespace

void write_html(std::ostream& out, const Report& report) {
  out << "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<title>Are more zeros better?</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>"
      << kStyle << "</style>\n</head>\n<body>\n<main>\n<h1>Are more zeros better?</h1>\n<p class=\"answer\">"
      << escaped(answer(report)) << "</p>\n<p class=\"lead\">";
  const std::vector<std::string> sentences = findings(report);
  out << escaped(sentences.front()) << "</p>\n";
  write_tiles(out, report);
  out << "<ul class=\"findings\">\n";
  for (std::size_t i = 1; i < sentences.size(); ++i) out << "<li>" << escaped(sentences[i]) << "</li>\n";
  out << "</ul>\n";
  const std::vector<Row> first = rows_of(report, report.rows.front().device);
  write_readings(out, report, first);
  std::vector<Device> done;
  for (const Row& row : report.rows) {
    if (std::find(done.begin(), done.end(), row.device) != done.end()) continue;
    done.push_back(row.device);
    const std::vector<Row> rows = rows_of(report, row.device);
    write_plots(out, report, rows);
    write_table(out, report, rows);
  }
  write_definitions(out, report);
  std::string widths;
  for (const std::int64_t width : report.widths) widths += (widths.empty() ? "" : "-") + std::to_string(width);
  out << "<footer>" << escaped(report.network) << ", " << escaped(widths) << ", "
      << grouped(static_cast<std::uint64_t>(report.weights)) << " weights. sparsert " << kVersion << " on "
      << escaped(cpu_info().name) << ", " << escaped(cpu_info().simd) << ", " << num_threads()
      << " threads.</footer>\n</main>\n</body>\n</html>\n";
}

}  // namespace sparsert::tools::sweep
