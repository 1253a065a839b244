// tools/sweep/report.cpp — a sweep in sentences, as a table for terminals, and as JSON.
#include <algorithm>
#include <array>
#include <cstdio>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>
#include <utility>

#include "tools/cli.hpp"
#include "tools/sweep/sweep.hpp"

namespace sparsert::tools::sweep {
namespace {

std::string times(double ratio) { return fixed(ratio, ratio < 10 ? 1 : 0) + "×"; }

std::string short_percent(double share) { return fixed(100 * share, 1) + " %"; }

double byte_share(const Row& row, const Report& report) {
  return static_cast<double>(row.bytes) / static_cast<double>(report.dense_bytes);
}

const Row* row_at(const std::vector<Row>& rows, std::optional<double> amount) {
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const Row& row) { return amount && row.amount == *amount; });
  return found == rows.end() ? nullptr : &*found;
}

std::string against(double latency, double other, const std::string& name) {
  return latency <= other ? times(other / latency) + " faster than " + name
                          : times(latency / other) + " slower than " + name;
}

std::string speed_sentence(const Row& row) {
  std::string out = "It takes " + fixed(row.latency_ms, 2) + " ms for " + std::to_string(kBatch) + " images, " +
                    against(row.latency_ms, row.dense_ms, "our dense product");
  if (row.blas_ms) out += " and " + against(row.latency_ms, *row.blas_ms, "BLAS");
  return out + ".";
}

/// The smallest amount from which on sparse beats our dense product.
std::optional<double> faster_from(const std::vector<Row>& rows) {
  std::optional<double> from;
  for (const Row& row : rows) {
    if (row.latency_ms >= row.dense_ms) {
      from.reset();
    } else if (!from) {
      from = row.amount;
    }
  }
  return from;
}

std::string verified_on(const Report& report) {
  std::string out;
  for (const Verified& one : report.verified) out += (out.empty() ? "" : ", ") + to_string(one.device);
  return out;
}

std::string dead_text(const Row& row) {
  std::string out;
  for (const std::int64_t count : row.dead_neurons) out += (out.empty() ? "" : " + ") + std::to_string(count);
  return out.empty() ? "-" : out;
}

/// Pads by characters, not bytes: "×" is two bytes.
std::string padded(const std::string& text, std::size_t width) {
  const auto continued =
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; });
  const std::size_t length = text.size() - static_cast<std::size_t>(continued);
  return std::string(width > length ? width - length : 0, ' ') + text;
}

std::string table_line(const std::vector<std::pair<std::string, std::size_t>>& cells) {
  std::string out;
  for (const auto& [text, width] : cells) out += padded(text, width);
  return out;
}

void write_table(std::ostream& out, const Report& report, const Device& device) {
  out << bold(table_line({{"zeros", 7},
                          {"accuracy", 11},
                          {"95 % interval", 17},
                          {"bytes", 11},
                          {"of dense", 10},
                          {"latency", 12},
                          {"× dense", 10},
                          {"× BLAS", 10},
                          {"dead neurons", 15}}))
      << '\n';
  for (const Row& row : rows_of(report, device)) {
    const bool is_knee = report.knee && row.amount == *report.knee && device == report.rows.front().device;
    const std::string line =
        table_line({{amount_text(row.amount), 7},
                    {short_percent(row.accuracy), 11},
                    {fixed(100 * row.interval.low, 1) + " to " + fixed(100 * row.interval.high, 1), 17},
                    {bytes_text(row.bytes), 11},
                    {short_percent(byte_share(row, report)), 10},
                    {fixed(row.latency_ms, 3) + " ms", 12},
                    {times(row.dense_ms / row.latency_ms), 10},
                    {row.blas_ms ? times(*row.blas_ms / row.latency_ms) : "-", 10},
                    {dead_text(row), 15}});
    out << (is_knee ? bold(line + "  <- knee") : line) << '\n';
  }
}

}  // namespace

std::string fixed(double value, int decimals) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

std::string bytes_text(std::int64_t bytes) {
  constexpr std::int64_t kMega = 1'000'000;
  return bytes < kMega / 10 ? fixed(static_cast<double>(bytes) / 1e3, 2) + " kB"
                            : fixed(static_cast<double>(bytes) / 1e6, 2) + " MB";
}

std::string amount_text(double amount) {
  std::string text = fixed(100 * amount, 4);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + " %";
}

std::string answer(const Report& report) {
  const std::vector<Row> rows = rows_of(report, report.rows.front().device);
  const Row* const best = row_at(rows, report.knee);
  const bool pays = best != nullptr && best->amount > 0 && best->latency_ms < best->dense_ms;
  return pays ? "Yes, up to " + amount_text(best->amount) + "." : "No, not here.";
}

std::vector<std::string> findings(const Report& report) {
  const std::vector<Row> rows = rows_of(report, report.rows.front().device);
  const Row* const best = row_at(rows, report.knee);
  std::vector<std::string> out;
  if (best == nullptr) {
    out.push_back("Already at " + amount_text(rows.front().amount) + " zeros the network gets " +
                  short_percent(rows.front().accuracy) + " of the held-out images right, clearly fewer than the " +
                  short_percent(report.dense_accuracy) + " of the dense one.");
  } else if (best->amount == 0) {
    out.push_back(rows.size() == 1 ? "Nothing was pruned: only 0 % zeros was tried."
                                   : "More zeros than none make the network no faster, or less accurate.");
  } else {
    out.push_back("With " + amount_text(best->amount) + " of its weights gone the network gets " +
                  short_percent(best->accuracy) + " of " + std::to_string(report.held_out) +
                  " held-out images right. The dense one gets " + short_percent(report.dense_accuracy) +
                  ", and so few images cannot tell the two apart.");
    out.push_back(speed_sentence(*best));
    out.push_back("It is stored in " + bytes_text(best->bytes) + ", " + short_percent(byte_share(*best, report)) +
                  " of the dense " + bytes_text(report.dense_bytes) + ".");
  }
  const Row& last = rows.back();
  if (last.accuracy < report.dense_interval.low) {
    out.push_back("Zeros beyond that cost answers: at " + amount_text(last.amount) + " only " +
                  short_percent(last.accuracy) + " are right.");
  }
  const auto larger =
      std::find_if(rows.rbegin(), rows.rend(), [&](const Row& row) { return row.bytes >= report.dense_bytes; });
  if (larger != rows.rend()) {
    out.push_back("Few zeros cost room: each weight that stays carries its column number, so at " +
                  amount_text(larger->amount) + " zeros the sparse network is still " +
                  (larger->bytes == report.dense_bytes ? "as large as" : "larger than") + " the dense one.");
  }
  const auto from = faster_from(rows);
  out.push_back(from ? "The sparse product beats our dense one from " + amount_text(*from) + " zeros on."
                     : std::string("At none of these amounts does the sparse product stay ahead of our dense one."));
  return out;
}

std::vector<std::string> definitions(const Report& report) {
  std::vector<std::string> out{
      "Zeros: the share of each weight matrix set to zero, smallest magnitudes first; biases stay. The network is not "
      "trained again afterwards.",
      "Accuracy: on " + std::to_string(report.held_out) + " held-out images, with Wilson's 95 % interval.",
      "Bytes: the matrices as stored in CSR (32-bit row offsets and columns, 32-bit floats) and the biases.",
      "Latency: the whole network at batch " + std::to_string(kBatch) + ", median of " + std::to_string(report.rounds) +
          " runs, each warmed, all amounts and both dense yardsticks in turn; the weights are packed beforehand.",
      "Dense: our own dense product, in the same order of sums. BLAS: " + report.blas + ".",
      "Dead neurons: hidden neurons that are never positive on a held-out image, or have no incoming weight left.",
      "Knee: the largest amount at which accuracy is not below the dense network's interval (" +
          short_percent(report.dense_interval.low) + " to " + short_percent(report.dense_interval.high) +
          "), neither at any smaller amount, and latency is lower than at every smaller amount by " +
          fixed(100 * kLatencyMargin, 0) + " % at least.",
  };
  out.push_back("Verified: at every amount the logits of " + std::to_string(report.verified.front().images) +
                " images are the same bits on " + verified_on(report) +
                "; on all held-out images the sparse and the dense product give the same bits.");
  return out;
}

void write_text(std::ostream& out, const Report& report) {
  std::string widths;
  for (const std::int64_t width : report.widths) widths += (widths.empty() ? "" : "-") + std::to_string(width);
  out << bold("Are more zeros better?") << '\n'
      << printable(report.network) << ": a " << widths << " network, "
      << grouped(static_cast<std::uint64_t>(report.weights)) << " weights, " << bytes_text(report.dense_bytes)
      << " dense\n";
  std::vector<Device> done;
  for (const Row& row : report.rows) {
    if (std::find(done.begin(), done.end(), row.device) != done.end()) continue;
    done.push_back(row.device);
    out << '\n' << to_string(row.device);
    if (row.device == cpu_device)
      out << ": " << cpu_info().name << ", " << cpu_info().simd << ", " << num_threads() << " threads";
    out << '\n';
    write_table(out, report, row.device);
  }
  out << '\n' << bold(answer(report)) << '\n';
  for (const std::string& sentence : findings(report)) out << sentence << '\n';
  out << '\n';
  for (const std::string& sentence : definitions(report)) out << sentence << '\n';
}

void write_json(std::ostream& out, const Report& report) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Row& row : report.rows) {
    rows.push_back({{"amount", row.amount},
                    {"accuracy", row.accuracy},
                    {"accuracy_low", row.interval.low},
                    {"accuracy_high", row.interval.high},
                    {"bytes", row.bytes},
                    {"latency_ms", row.latency_ms},
                    {"dense_ms", row.dense_ms},
                    {"blas_ms", row.blas_ms ? nlohmann::ordered_json(*row.blas_ms) : nlohmann::ordered_json()},
                    {"dead_neurons", row.dead_neurons},
                    {"device", to_string(row.device)}});
  }
  const nlohmann::ordered_json document{
      {"rows", std::move(rows)},
      {"knee", report.knee ? nlohmann::ordered_json(*report.knee) : nlohmann::ordered_json()}};
  out << document.dump(2) << '\n';
}

}  // namespace sparsert::tools::sweep
