// tools/sweep/sweep.hpp — what the parts of `sparsert sweep` hand to one another.
//
// model (files) -> measure (prune, run, verify, time) -> text, JSON and HTML.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "sparsert/sparsert.hpp"
#include "tools/sweep/statistics.hpp"

namespace sparsert::tools::sweep {

/// y = x·weightᵀ + bias; ReLU follows every layer but the last.
struct Layer {
  std::string name;  ///< what stands before ".weight"
  Tensor weight;     ///< (out, in), float32, on the CPU
  Tensor bias;       ///< (out), float32; zeros where the file has none
};

struct Network {
  std::string name;  ///< of the file
  std::vector<Layer> layers;

  std::int64_t features() const { return layers.front().weight.size(1); }
  std::int64_t classes() const { return layers.back().weight.size(0); }
};

/// The images that the network was not trained on.
struct HeldOut {
  Tensor images;  ///< (count, features), float32, on the CPU
  std::vector<std::int64_t> labels;

  std::int64_t count() const { return images.size(0); }
};

/// A file of data/ by its name: in SPARSERT_DATA, beside the installed program, or in the source tree it was built in.
/// Throws `FileError` that lists the places.
std::filesystem::path data_file(const std::string& name);

/// An MLP: tensors `*.weight` (out, in) and `*.bias` (out). Layers follow one another in the file's order; where names
/// differ in their numbers alone, by those numbers. Throws `FileError`, `Error{invalid_argument}`.
Network load_network(const std::filesystem::path& path);

/// Tensors `images` (n, features) or (n, height, width), `labels` (n) and, if there, `split` (n): not 0 where an image
/// is held out. Throws `FileError`, `Error{invalid_argument}`.
HeldOut load_held_out(const std::filesystem::path& path, const Network& network);

/// One amount on one device.
struct Row {
  double amount = 0;
  double accuracy = 0;
  Interval interval;
  std::int64_t bytes = 0;  ///< offsets, columns, values and biases
  double latency_ms = 0;
  double dense_ms = 0;
  std::optional<double> blas_ms;
  std::vector<std::int64_t> dead_neurons;  ///< of each hidden layer
  Device device;
  std::vector<std::int64_t> readings;  ///< the class given to each example
};

/// A device whose logits were the same bits.
struct Verified {
  Device device;
  std::int64_t images = 0;
};

struct Report {
  std::string network;
  std::vector<std::int64_t> widths;  ///< features, hidden layers, classes
  std::int64_t weights = 0;
  std::int64_t held_out = 0;
  std::int64_t dense_bytes = 0;
  double dense_accuracy = 0;
  Interval dense_interval;
  std::string blas;                        ///< its name, or why there is none
  int rounds = 0;                          ///< runs behind each median
  std::vector<std::int64_t> examples;      ///< held-out images shown in the page: one of each class
  std::vector<std::vector<float>> pixels;  ///< of the examples
  std::vector<std::int64_t> example_labels;
  std::vector<Row> rows;  ///< by device, then amount
  std::vector<Verified> verified;
  std::optional<double> knee;  ///< on the first device
};

inline constexpr std::int64_t kBatch = 256;

/// Prunes, runs, verifies and times. `amounts` ascend; `devices` are the ones to time.
/// Throws `Error{internal}` where two devices, or the sparse and the dense product, give different bits.
Report measure(const Network& network, const HeldOut& held_out, const std::vector<double>& amounts,
               const std::vector<Device>& devices);

/// The rows of one device.
std::vector<Row> rows_of(const Report& report, const Device& device);

/// Are more zeros better? "Yes, up to 80 %."
std::string answer(const Report& report);

/// The findings in plain sentences; the first supports the answer.
std::vector<std::string> findings(const Report& report);

/// What the figures mean: how each was measured, and what the knee is.
std::vector<std::string> definitions(const Report& report);

void write_text(std::ostream& out, const Report& report);
void write_json(std::ostream& out, const Report& report);

/// A page that needs nothing beside itself: no network, no script.
void write_html(std::ostream& out, const Report& report);

/// A share of zeros as people write it: "95 %", "99.5 %".
std::string amount_text(double amount);

/// 1234567 bytes as "1.23 MB", 12345 as "12.35 kB".
std::string bytes_text(std::int64_t bytes);

/// `value` with `decimals` digits behind the point.
std::string fixed(double value, int decimals);

}  // namespace sparsert::tools::sweep
