// tools/layers.cpp — `sparsert layers`: how long each weight matrix of a model takes as a layer y = x·Wᵀ, dense and
// pruned.
//
// It says what pruning would give in speed, not what it would cost in accuracy: that needs the model's task and data.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iomanip>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sparsert/sparsert.hpp"
#include "tools/cli.hpp"
#include "tools/stopwatch.hpp"
#include "tools/sweep/blas.hpp"
#include "tools/sweep/sweep.hpp"

namespace sparsert::tools {
namespace {

constexpr Stopwatch::Limits kLimits{5, 101, 1};  // of one layer

struct Options {
  std::string model;
  std::vector<std::string> include;
  std::vector<double> amounts{0.7, 0.8, 0.9, 0.95};
  std::int64_t batch = 256;
  bool json = false;
};

struct Timing {
  std::string name;
  Shape shape;
  double dense_ms = 0;
  std::optional<double> blas_ms;
  std::vector<double> sparse_ms;  ///< one for each amount
};

/// Values of a layer's input: their size does not matter to the time, but none is zero or denormal.
Tensor make_input(std::int64_t rows, std::int64_t cols) {
  std::vector<float> values(static_cast<std::size_t>(element_count({rows, cols})));
  std::uint32_t state = 1;
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = (static_cast<float>(state >> 8) + 1) * 0x1p-24f - 0.25f;
  }
  return Tensor::from(values, {rows, cols});
}

void require_same_bits(const Tensor& got, const Tensor& expected, const std::string& name, double amount) {
  if (std::memcmp(got.data(), expected.data(), static_cast<std::size_t>(got.nbytes())) == 0) return;
  throw Error(ErrorCode::internal, "layers: " + name + " at amount " + std::to_string(amount) +
                                       ": the sparse and the dense product differ, expected the same bits");
}

Timing time_layer(const std::string& name, const Tensor& weight, const Options& options,
                  const std::optional<sweep::Blas>& blas) {
  const Tensor x = make_input(options.batch, weight.size(1));
  const Tensor bias = Tensor::zeros({weight.size(0)}, DType::float32);
  Tensor out = Tensor::empty({options.batch, weight.size(0)}, DType::float32);
  LinearOptions to_out;
  to_out.out = &out;

  std::vector<Plan> plans;
  for (const double amount : options.amounts) {
    const Tensor pruned = prune::magnitude(weight, amount);
    plans.emplace_back(to_csr(pruned), options.batch);
    require_same_bits(linear(x, plans.back()), linear(x, pruned), name, amount);
  }
  Stopwatch stopwatch;
  stopwatch.add([&] { linear(x, weight, to_out); });
  for (const Plan& plan : plans) {
    stopwatch.add([&] { linear(x, plan, to_out); });
  }
  if (blas) {
    stopwatch.add(
        [&] {
          blas->linear(x.span<float>().data(), weight.span<float>().data(), bias.span<float>().data(), false,
                       options.batch, weight.size(1), weight.size(0), out.mutable_span<float>().data());
        },
        sweep::Blas::kPause);
  }
  stopwatch.run(kLimits);
  Timing timing{name, weight.shape(), stopwatch.median_ms(0), {}, {}};
  for (std::size_t i = 0; i < plans.size(); ++i) timing.sparse_ms.push_back(stopwatch.median_ms(i + 1));
  if (blas) timing.blas_ms = stopwatch.median_ms(plans.size() + 1);
  return timing;
}

bool is_chosen(const std::string& name, const std::vector<std::string>& include) {
  return include.empty() ||
         std::any_of(include.begin(), include.end(), [&](const std::string& glob) { return glob_match(glob, name); });
}

std::vector<Timing> time_layers(const Options& options, const std::optional<sweep::Blas>& blas) {
  const ModelFile model(options.model);
  std::vector<std::size_t> chosen;
  const auto& tensors = model.info().tensors;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const bool is_matrix = tensors[i].shape.size() == 2 && tensors[i].storage && is_floating(*tensors[i].storage);
    if (is_matrix && element_count(tensors[i].shape) > 0 && is_chosen(tensors[i].name, options.include))
      chosen.push_back(i);
  }
  require(!chosen.empty(), [] { return std::string("layers: no matrix of a floating type is named so"); });
  std::vector<Timing> timings;
  for (const std::size_t i : chosen) {
    const Tensor weight = model.read(i);
    timings.push_back(time_layer(
        tensors[i].name, weight.dtype() == DType::float32 ? weight : cast(weight, DType::float32), options, blas));
  }
  return timings;
}

Timing sum(const std::vector<Timing>& timings) {
  Timing total{"all", {}, 0, {}, std::vector<double>(timings.front().sparse_ms.size(), 0.0)};
  for (const Timing& timing : timings) {
    total.dense_ms += timing.dense_ms;
    if (timing.blas_ms) total.blas_ms = total.blas_ms.value_or(0) + *timing.blas_ms;
    for (std::size_t i = 0; i < timing.sparse_ms.size(); ++i) total.sparse_ms[i] += timing.sparse_ms[i];
  }
  return total;
}

void print_table(const std::vector<Timing>& timings, const Options& options, const std::string& blas_name) {
  constexpr int kColumn = 18;
  std::size_t width = 5;
  for (const Timing& timing : timings) width = std::max(width, printable(timing.name).size());
  const auto line = [&](const Timing& timing) {
    std::ostringstream out;
    out << std::left << std::setw(static_cast<int>(width)) << printable(timing.name) << std::right << std::setw(14)
        << (timing.shape.empty() ? std::string() : to_string(timing.shape)) << std::setw(11)
        << sweep::fixed(timing.dense_ms, 2) << std::setw(11)
        << (timing.blas_ms ? sweep::fixed(*timing.blas_ms, 2) : "-");
    for (const double ms : timing.sparse_ms) {
      out << std::setw(kColumn) << sweep::fixed(ms, 2) + " (" + sweep::fixed(timing.dense_ms / ms, 1) + "x)";
    }
    return out.str();
  };
  std::ostringstream head;
  head << std::left << std::setw(static_cast<int>(width)) << "layer" << std::right << std::setw(14) << "(out, in)"
       << std::setw(11) << "dense ms" << std::setw(11) << "BLAS ms";
  for (const double amount : options.amounts) head << std::setw(kColumn) << "at " + sweep::amount_text(amount) + " ms";
  std::cout << bold(head.str()) << '\n';
  for (const Timing& timing : timings) std::cout << line(timing) << '\n';
  if (timings.size() > 1) std::cout << bold(line(sum(timings))) << '\n';
  std::cout << "\nMedians at batch " << options.batch << " on " << cpu_info().name << ", " << num_threads()
            << " threads; in brackets: our dense product / sparse. BLAS: " << blas_name
            << ".\nThe sparse and the dense product gave the same bits.\n";
}

void print_json(const std::vector<Timing>& timings, const Options& options) {
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (const Timing& timing : timings) {
    layers.push_back({{"name", timing.name},
                      {"shape", timing.shape},
                      {"dense_ms", timing.dense_ms},
                      {"blas_ms", timing.blas_ms ? nlohmann::ordered_json(*timing.blas_ms) : nlohmann::ordered_json()},
                      {"sparse_ms", timing.sparse_ms}});
  }
  const nlohmann::ordered_json document{
      {"batch", options.batch}, {"amounts", options.amounts}, {"layers", std::move(layers)}};
  std::cout << document.dump(2) << '\n';
}

int run(const Options& options) {
  const std::optional<sweep::Blas> blas = sweep::Blas::find();
  const std::vector<Timing> timings = time_layers(options, blas);
  if (options.json) {
    print_json(timings, options);
  } else {
    print_table(timings, options, blas ? blas->name() : "none found (looked for OpenBLAS and MKL)");
  }
  return kSuccess;
}

}  // namespace

Action declare_layers(CLI::App& app) {
  constexpr std::int64_t kMaxBatch = 1 << 20;
  const auto options = std::make_shared<Options>();
  app.add_option("MODEL", options->model, "a model file, or a folder that holds one")->required();
  app.add_option("--include", options->include, "globs of the matrices to time (default: all)");
  app.add_option("--amounts", options->amounts, "shares of zeros, separated by commas")
      ->delimiter(',')
      ->check(share())
      ->capture_default_str();
  app.add_option("--batch", options->batch, "rows of the input")
      ->check(CLI::Range(std::int64_t{1}, kMaxBatch))
      ->capture_default_str();
  app.add_flag("--json", options->json, "one JSON object");
  return [options] { return run(*options); };
}

}  // namespace sparsert::tools
