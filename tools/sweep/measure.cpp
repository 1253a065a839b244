// tools/sweep/measure.cpp — prunes a network to each amount, counts what it still gets right, proves its bits on every
// device, and times it against dense products.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "tools/cli.hpp"
#include "tools/stopwatch.hpp"
#include "tools/sweep/blas.hpp"
#include "tools/sweep/sweep.hpp"

namespace sparsert::tools::sweep {
namespace {

constexpr std::int64_t kProofImages = 4;  // the proof devices are slow

/// A network on one device, with weights of one kind: packed, sparse or dense.
template <class Weight>
struct Prepared {
  std::vector<Weight> weights;
  std::vector<Tensor> biases;
};

/// The output of every layer; the logits are last. `outputs` is reused where it has the right shapes.
template <class Weight>
void forward(const Prepared<Weight>& network, const Tensor& x, std::vector<Tensor>& outputs, const Stream& stream) {
  for (std::size_t i = 0; i < network.weights.size(); ++i) {
    LinearOptions options;
    options.bias = &network.biases[i];
    options.relu = i + 1 < network.weights.size();
    options.out = &outputs[i];
    linear(i == 0 ? x : outputs[i - 1], network.weights[i], options, stream);
  }
}

std::vector<Tensor> make_outputs(const Network& network, std::int64_t batch, const Device& device) {
  std::vector<Tensor> outputs;
  for (const Layer& layer : network.layers)
    outputs.push_back(Tensor::empty({batch, layer.weight.size(0)}, DType::float32, device));
  return outputs;
}

/// The network with its smallest weights gone, on the CPU: dense weights with zeros, and the same as CSR.
struct Pruned {
  double amount;
  std::vector<Tensor> dense;
  std::vector<Csr> sparse;
};

Pruned prune_to(const Network& network, double amount) {
  Pruned out{amount, {}, {}};
  for (const Layer& layer : network.layers) {
    out.dense.push_back(prune::magnitude(layer.weight, amount));
    out.sparse.push_back(to_csr(out.dense.back()));
  }
  return out;
}

std::vector<Tensor> biases_on(const Network& network, const Device& device) {
  std::vector<Tensor> biases;
  for (const Layer& layer : network.layers) biases.push_back(layer.bias.to(device));
  return biases;
}

Prepared<Plan> packed_on(const Network& network, const Pruned& pruned, const Device& device) {
  Prepared<Plan> out{{}, biases_on(network, device)};
  for (const Csr& a : pruned.sparse) out.weights.emplace_back(a.to(device), kBatch);
  return out;
}

Prepared<Tensor> dense_on(const Network& network, const std::vector<Tensor>& weights, const Device& device) {
  Prepared<Tensor> out{{}, biases_on(network, device)};
  for (const Tensor& weight : weights) out.weights.push_back(weight.to(device));
  return out;
}

/// Rows first to first + count - 1 of a matrix in host memory, starting over at the end.
Tensor take_rows(const Tensor& matrix, std::int64_t count) {
  const auto values = matrix.span<float>();
  const auto width = static_cast<std::size_t>(matrix.size(1));
  std::vector<float> out;
  for (std::int64_t row = 0; row < count; ++row) {
    const auto first =
        values.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(row % matrix.size(0)) * width);
    out.insert(out.end(), first, first + static_cast<std::ptrdiff_t>(width));
  }
  return Tensor::from(out, {count, matrix.size(1)});
}

std::vector<std::int64_t> readings(const Tensor& logits) {
  const Tensor host = logits.cpu();
  const auto values = host.span<float>();
  const auto classes = static_cast<std::size_t>(host.size(1));
  std::vector<std::int64_t> out;
  for (std::size_t row = 0; row < static_cast<std::size_t>(host.size(0)); ++row) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(row * classes);
    out.push_back(std::max_element(first, first + static_cast<std::ptrdiff_t>(classes)) - first);
  }
  return out;
}

std::int64_t count_right(const std::vector<std::int64_t>& got, const std::vector<std::int64_t>& labels) {
  std::int64_t right = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) right += got[i] == labels[i] ? 1 : 0;
  return right;
}

/// Hidden neurons that tell the next layer nothing: never positive on a held-out image, or without a weight.
std::vector<std::int64_t> dead_neurons(const std::vector<Tensor>& outputs, const std::vector<Csr>& weights) {
  std::vector<std::int64_t> dead;
  for (std::size_t layer = 0; layer + 1 < outputs.size(); ++layer) {
    const Tensor host = outputs[layer].cpu();
    const auto values = host.span<float>();
    const auto width = static_cast<std::size_t>(host.size(1));
    const auto offsets = weights[layer].row_offsets().span<std::int32_t>();
    std::vector<bool> alive(width, false);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i] > 0) alive[i % width] = true;
    }
    std::int64_t count = 0;
    for (std::size_t j = 0; j < width; ++j) count += !alive[j] || offsets[j] == offsets[j + 1] ? 1 : 0;
    dead.push_back(count);
  }
  return dead;
}

std::int64_t bytes_of(const Network& network, const Pruned& pruned) {
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < network.layers.size(); ++i)
    bytes += pruned.sparse[i].nbytes() + network.layers[i].bias.nbytes();
  return bytes;
}

void require_same_bits(const Tensor& got, const Tensor& expected, const std::string& what, double amount) {
  const Tensor a = got.cpu();
  const Tensor b = expected.cpu();
  const auto x = a.span<float>();
  const auto y = b.span<float>();
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::memcmp(&x[i], &y[i], sizeof(float)) == 0 || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
    const auto classes = static_cast<std::size_t>(a.size(1));
    throw Error(ErrorCode::internal, "sweep: " + what + " at amount " + std::to_string(amount) + ": image " +
                                         std::to_string(i / classes) + ", class " + std::to_string(i % classes) +
                                         ": got " + std::to_string(x[i]) + ", expected the same bits as " +
                                         std::to_string(y[i]));
  }
}

/// Everything about one amount on one device but its time. `packed` is left for the timing.
Row evaluate(const Network& network, const HeldOut& held_out, const Pruned& pruned, const Prepared<Plan>& packed,
             const Device& device, const std::vector<std::int64_t>& examples) {
  const Stream stream(device);
  const Tensor x = held_out.images.to(device);
  std::vector<Tensor> outputs = make_outputs(network, held_out.count(), device);
  forward(packed, x, outputs, stream);
  std::vector<Tensor> dense_outputs = make_outputs(network, held_out.count(), device);
  forward(dense_on(network, pruned.dense, device), x, dense_outputs, stream);
  stream.synchronize();
  require_same_bits(outputs.back(), dense_outputs.back(), "sparse against dense on " + to_string(device),
                    pruned.amount);

  const auto got = readings(outputs.back());
  const std::int64_t right = count_right(got, held_out.labels);
  Row row;
  row.amount = pruned.amount;
  row.accuracy = static_cast<double>(right) / static_cast<double>(held_out.count());
  row.interval = wilson(right, held_out.count());
  row.bytes = bytes_of(network, pruned);
  row.dead_neurons = dead_neurons(outputs, pruned.sparse);
  row.device = device;
  for (const std::int64_t example : examples) row.readings.push_back(got[static_cast<std::size_t>(example)]);
  return row;
}

/// Runs a few images on every device, and throws unless all logits are the same bits.
std::vector<Verified> verify(const Network& network, const HeldOut& held_out, const std::vector<Pruned>& amounts) {
  const Tensor x = take_rows(held_out.images, std::min(kProofImages, held_out.count()));
  const std::vector<Device> all = devices();
  Progress progress("verifying", amounts.size() * all.size());
  for (const Pruned& pruned : amounts) {
    Tensor expected;
    for (const Device& device : all) {
      std::vector<Tensor> outputs = make_outputs(network, x.size(0), device);
      forward(packed_on(network, pruned, device), x.to(device), outputs, Stream(device));
      Stream(device).synchronize();
      if (expected.numel() == 0) expected = outputs.back();
      require_same_bits(outputs.back(), expected, to_string(device) + " against " + to_string(all.front()),
                        pruned.amount);
      progress.advance();
    }
  }
  std::vector<Verified> out;
  for (const Device& device : all) out.push_back({device, x.size(0)});
  return out;
}

/// The whole network by BLAS on the CPU.
class BlasNetwork {
 public:
  BlasNetwork(const Blas& blas, const Network& network, const Tensor& x)
      : blas_(&blas), network_(&network), x_(x), outputs_(make_outputs(network, x.size(0), cpu_device)) {}

  void run() {
    const float* in = x_.span<float>().data();
    for (std::size_t i = 0; i < network_->layers.size(); ++i) {
      const Layer& layer = network_->layers[i];
      float* const out = outputs_[i].mutable_span<float>().data();
      blas_->linear(in, layer.weight.span<float>().data(), layer.bias.span<float>().data(),
                    i + 1 < network_->layers.size(), x_.size(0), layer.weight.size(1), layer.weight.size(0), out);
      in = out;
    }
  }

  const Tensor& logits() const { return outputs_.back(); }

 private:
  const Blas* blas_;
  const Network* network_;
  Tensor x_;
  std::vector<Tensor> outputs_;
};

/// Checked before timed: a library that computes something else is no yardstick.
bool agrees(const Tensor& got, const Tensor& expected) {
  const Tensor host = expected.cpu();
  const auto x = got.span<float>();
  const auto y = host.span<float>();
  double largest = 0;
  double error = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(y[i])));
    error = std::max(error, std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
  }
  return error <= 1e-3 * largest;
}

/// Fills the times of `rows`, which are of one device and go with `packed`. Gives the number of rounds.
int time_rows(const Network& network, const HeldOut& held_out, const std::vector<Prepared<Plan>>& packed,
              std::vector<Row>& rows, std::string& blas_name) {
  const Device device = rows.front().device;
  const Stream stream(device);
  const Tensor host_batch = take_rows(held_out.images, kBatch);
  const Tensor x = host_batch.to(device);
  std::vector<Tensor> outputs = make_outputs(network, kBatch, device);
  std::vector<Tensor> weights;
  for (const Layer& layer : network.layers) weights.push_back(layer.weight);
  const Prepared<Tensor> dense = dense_on(network, weights, device);

  Stopwatch stopwatch;
  for (const Prepared<Plan>& sparse : packed) {
    stopwatch.add([&] {
      forward(sparse, x, outputs, stream);
      stream.synchronize();
    });
  }
  const auto run_dense = [&] {
    forward(dense, x, outputs, stream);
    stream.synchronize();
  };
  stopwatch.add(run_dense);

  const std::optional<Blas> blas = Blas::find();
  std::optional<BlasNetwork> by_blas;
  blas_name = "none found (looked for OpenBLAS and MKL)";
  if (blas) {
    by_blas.emplace(*blas, network, host_batch);
    by_blas->run();
    run_dense();
    blas_name = blas->name();
    if (!agrees(by_blas->logits(), outputs.back())) {
      by_blas.reset();
      blas_name += " gives other results: not timed";
    } else {
      stopwatch.add([&] { by_blas->run(); }, Blas::kPause);
    }
  }
  const int rounds = stopwatch.run({});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].latency_ms = stopwatch.median_ms(i);
    rows[i].dense_ms = stopwatch.median_ms(rows.size());
    if (by_blas) rows[i].blas_ms = stopwatch.median_ms(rows.size() + 1);
  }
  return rounds;
}

/// One held-out image of each class, to look at.
void choose_examples(const HeldOut& held_out, std::int64_t classes, Report& report) {
  constexpr std::int64_t kMaxExamples = 10;
  const auto pixels = held_out.images.span<float>();
  const auto width = static_cast<std::size_t>(held_out.images.size(1));
  for (std::int64_t label = 0; label < std::min(classes, kMaxExamples); ++label) {
    const auto found = std::find(held_out.labels.begin(), held_out.labels.end(), label);
    if (found == held_out.labels.end()) continue;
    const auto row = static_cast<std::size_t>(found - held_out.labels.begin());
    report.examples.push_back(static_cast<std::int64_t>(row));
    report.example_labels.push_back(label);
    const auto first = pixels.begin() + static_cast<std::ptrdiff_t>(row * width);
    report.pixels.emplace_back(first, first + static_cast<std::ptrdiff_t>(width));
  }
}

void describe(const Network& network, const HeldOut& held_out, Report& report) {
  report.network = network.name;
  report.widths.push_back(network.features());
  for (const Layer& layer : network.layers) {
    report.widths.push_back(layer.weight.size(0));
    report.weights += layer.weight.numel();
    report.dense_bytes += layer.weight.nbytes() + layer.bias.nbytes();
  }
  report.held_out = held_out.count();
  choose_examples(held_out, network.classes(), report);
}

void measure_dense(const Network& network, const HeldOut& held_out, const Device& device, Report& report) {
  std::vector<Tensor> weights;
  for (const Layer& layer : network.layers) weights.push_back(layer.weight);
  std::vector<Tensor> outputs = make_outputs(network, held_out.count(), device);
  forward(dense_on(network, weights, device), held_out.images.to(device), outputs, Stream(device));
  const std::int64_t right = count_right(readings(outputs.back()), held_out.labels);
  report.dense_accuracy = static_cast<double>(right) / static_cast<double>(held_out.count());
  report.dense_interval = wilson(right, held_out.count());
}

}  // namespace

std::vector<Row> rows_of(const Report& report, const Device& device) {
  std::vector<Row> rows;
  for (const Row& row : report.rows) {
    if (row.device == device) rows.push_back(row);
  }
  return rows;
}

Report measure(const Network& network, const HeldOut& held_out, const std::vector<double>& amounts,
               const std::vector<Device>& devices) {
  Report report;
  describe(network, held_out, report);
  std::vector<Pruned> pruned;
  for (const double amount : amounts) pruned.push_back(prune_to(network, amount));
  report.verified = verify(network, held_out, pruned);
  measure_dense(network, held_out, devices.front(), report);
  for (const Device& device : devices) {
    std::vector<Prepared<Plan>> packed;
    std::vector<Row> rows;
    for (const Pruned& one : pruned) {
      packed.push_back(packed_on(network, one, device));
      rows.push_back(evaluate(network, held_out, one, packed.back(), device, report.examples));
    }
    report.rounds = time_rows(network, held_out, packed, rows, report.blas);
    report.rows.insert(report.rows.end(), rows.begin(), rows.end());
  }
  std::vector<Point> points;
  for (const Row& row : rows_of(report, devices.front())) points.push_back({row.amount, row.accuracy, row.latency_ms});
  report.knee = knee(points, report.dense_interval.low);
  return report;
}

}  // namespace sparsert::tools::sweep
