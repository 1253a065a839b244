// tools/prune.cpp — `sparsert prune`: sets the smallest weights of a model to zero, and says what that saves and not.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sparsert/sparsert.hpp"
#include "tools/cli.hpp"
#include "tools/sweep/sweep.hpp"

namespace sparsert::tools {
namespace {

constexpr std::size_t kMaxNameWidth = 72;

struct Options {
  std::string in;
  std::string out;
  std::string method = "magnitude";
  double amount = -1;  // not given
  std::string scope = "layer";
  std::vector<std::string> exclude;
  std::string pattern = "2:4";
  std::string block = "4x4";
  int axis = 0;
  std::string norm = "2";
  std::int64_t width = 1;
  std::uint64_t seed = 0;
  std::string inputs;
  std::string budget = "uniform";
  bool dense = false;
  std::int64_t batch = 0;  ///< of the products to time; 0: none
};

/// "AxB" or "A:B" as two numbers.
std::pair<std::int64_t, std::int64_t> two_numbers(const std::string& text, char between, const char* option) {
  std::size_t used = 0;
  try {
    const std::int64_t first = std::stoll(text, &used);
    if (used < text.size() && text[used] == between) {
      const std::string rest = text.substr(used + 1);
      const std::int64_t second = std::stoll(rest, &used);
      if (used == rest.size()) return {first, second};
    }
  } catch (const std::logic_error&) {
  }
  throw Error(ErrorCode::invalid_argument,
              std::string("prune: ") + option + " is " + text + ", expected two numbers with " + between + " between");
}

prune::Norm norm_of(const std::string& name) {
  if (name == "1") return prune::Norm::l1;
  return name == "2" ? prune::Norm::l2 : prune::Norm::max;
}

/// Norms of a weight's inputs: a vector of them, or rows of activations to make them of.
Tensor input_norms(const StateDict& inputs, const std::string& weight) {
  const Tensor& given = inputs.at(weight);
  if (given.rank() == 1) return given;
  prune::InputNorms norms;
  norms.add(given);
  return norms.norms();
}

/// A tensor of the model, and why it is left alone, if it is.
struct Choice {
  std::size_t position;
  std::string reason;  ///< empty: it is pruned
};

std::string reason_to_leave(const std::string& name, const Tensor& tensor, const std::vector<std::string>& exclude) {
  for (const std::string& glob : exclude) {
    if (glob_match(glob, name)) return "excluded by " + printable(glob);
  }
  if (!is_floating(tensor.dtype())) return "not of a floating type";
  if (tensor.rank() < 2) return "not a matrix (a bias, a norm or a scalar)";
  return "";
}

std::vector<Choice> choose(const StateDict& state, const std::vector<std::string>& exclude) {
  for (const std::string& glob : exclude) {
    const bool used = std::any_of(state.entries().begin(), state.entries().end(),
                                  [&](const auto& entry) { return glob_match(glob, entry.first); });
    require(used, [&] { return "prune: --exclude \"" + glob + "\" matches no tensor"; });
  }
  std::vector<Choice> choices;
  for (std::size_t i = 0; i < state.size(); ++i) {
    const auto& [name, tensor] = state.entries()[i];
    choices.push_back({i, reason_to_leave(name, tensor, exclude)});
  }
  return choices;
}

/// One tensor by itself.
Tensor pruned_alone(const std::string& name, const Tensor& x, double amount, const Options& options,
                    const StateDict& inputs) {
  if (options.method == "magnitude") return prune::magnitude(x, amount);
  if (options.method == "random") return prune::random(x, amount, options.seed);
  if (options.method == "n_m") {
    const auto [n, m] = two_numbers(options.pattern, ':', "--pattern");
    return prune::n_m(x, static_cast<int>(n), static_cast<int>(m));
  }
  if (options.method == "block") {
    const auto [rows, cols] = two_numbers(options.block, 'x', "--block");
    return prune::block(x, {rows, cols}, amount, norm_of(options.norm));
  }
  if (options.method == "structured") {
    return prune::structured(x, amount, {options.axis, norm_of(options.norm), options.width});
  }
  require(x.rank() == 2, [&] { return "prune: " + name + " has not two dimensions, which wanda takes"; });
  const Tensor norms = input_norms(inputs, name);
  return prune::wanda(x, norms, amount, options.scope == "layer" ? prune::Group::row : prune::Group::tensor);
}

/// The amount of each chosen tensor.
std::vector<double> amounts_of(const StateDict& state, const std::vector<std::size_t>& chosen, const Options& options) {
  std::vector<prune::Layer> layers;
  for (const std::size_t i : chosen) layers.push_back({state.entries()[i].first, state.entries()[i].second.shape()});
  std::vector<double> amounts(chosen.size(), options.amount);
  if (options.budget == "erk") {
    const prune::Budget budget = prune::erk_budget(layers, options.amount);
    for (std::size_t i = 0; i < amounts.size(); ++i) amounts[i] = budget[i].second;
  }
  return amounts;
}

/// The chosen tensors, pruned, in the order of `chosen`.
std::vector<Tensor> pruned(const StateDict& state, const std::vector<std::size_t>& chosen, const Options& options) {
  std::vector<Tensor> out;
  if (options.scope == "global") {
    require(options.method == "magnitude" || options.method == "block",
            [] { return std::string("prune: --scope global takes the methods magnitude and block"); });
    prune::NamedTensors all;
    for (const std::size_t i : chosen) all.push_back(state.entries()[i]);
    const auto [rows, cols] = two_numbers(options.block, 'x', "--block");
    auto result = options.method == "magnitude"
                      ? prune::global_magnitude(all, options.amount)
                      : prune::global_block(all, {rows, cols}, options.amount, norm_of(options.norm));
    for (auto& entry : result) out.push_back(std::move(entry.second));
    return out;
  }
  require(options.method != "wanda" || !options.inputs.empty(),
          [] { return std::string("prune: wanda needs --inputs, a file with the norms or the rows of each input"); });
  const StateDict inputs = options.inputs.empty() ? StateDict() : load(options.inputs);
  const std::vector<double> amounts = amounts_of(state, chosen, options);
  Progress progress("pruning tensor", chosen.size());
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const auto& [name, tensor] = state.entries()[chosen[i]];
    out.push_back(pruned_alone(name, tensor, amounts[i], options, inputs));
    progress.advance();
  }
  return out;
}

/// What pruning did to some tensors. Bytes are of the data; as CSR, a tensor is (first dimension, the rest).
struct Account {
  std::uint64_t elements = 0;
  std::uint64_t zeros_before = 0;
  std::uint64_t zeros_after = 0;
  std::uint64_t dense_bytes = 0;
  std::uint64_t csr_bytes = 0;

  Account& operator+=(const Account& other) {
    elements += other.elements;
    zeros_before += other.zeros_before;
    zeros_after += other.zeros_after;
    dense_bytes += other.dense_bytes;
    csr_bytes += other.csr_bytes;
    return *this;
  }
};

Account account_of(const Tensor& before, const Tensor& after) {
  const auto n = static_cast<std::uint64_t>(after.numel());
  const auto nonzeros = static_cast<std::uint64_t>(count_nonzero(after));
  const auto rows = static_cast<std::uint64_t>(after.size(0));
  constexpr std::uint64_t kIndexBytes = sizeof(std::int32_t);
  return {n, n - static_cast<std::uint64_t>(count_nonzero(before)), n - nonzeros,
          static_cast<std::uint64_t>(after.nbytes()),
          nonzeros * (size_of(after.dtype()) + kIndexBytes) + (rows + 1) * kIndexBytes};
}

double ratio(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

void print_tensors(const StateDict& state, const std::vector<std::size_t>& chosen,
                   const std::vector<Account>& accounts) {
  std::size_t width = 4;
  for (const std::size_t i : chosen) width = std::max(width, printable(state.entries()[i].first, kMaxNameWidth).size());
  const auto line = [&](const std::string& name, const std::string& n, const std::string& before,
                        const std::string& after) {
    std::ostringstream out;
    out << std::left << std::setw(static_cast<int>(width)) << name << std::right << std::setw(16) << n << std::setw(14)
        << before << std::setw(14) << after;
    return out.str();
  };
  std::cout << bold(line("name", "elements", "zeros before", "zeros after")) << '\n';
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const Account& account = accounts[i];
    std::cout << line(printable(state.entries()[chosen[i]].first, kMaxNameWidth), grouped(account.elements),
                      percent(ratio(account.zeros_before, account.elements)),
                      percent(ratio(account.zeros_after, account.elements)))
              << '\n';
  }
}

void print_left(const StateDict& state, const std::vector<Choice>& choices) {
  std::vector<std::pair<std::string, std::size_t>> reasons;
  std::uint64_t elements = 0;
  for (const Choice& choice : choices) {
    if (choice.reason.empty()) continue;
    elements += static_cast<std::uint64_t>(state.entries()[choice.position].second.numel());
    const auto known =
        std::find_if(reasons.begin(), reasons.end(), [&](const auto& r) { return r.first == choice.reason; });
    if (known == reasons.end()) {
      reasons.emplace_back(choice.reason, 1);
    } else {
      ++known->second;
    }
  }
  for (const auto& [reason, count] : reasons)
    std::cout << "left alone: " << counted(count, "tensor") << ", " << reason << '\n';
  if (!reasons.empty()) std::cout << "left alone in all: " << counted(elements, "element") << "\n";
}

/// How the zeros left the file, or why they did not.
std::string how_packed(const std::vector<PackedTensor>& packed, bool dense) {
  if (dense) return "dense: zeros are stored, as --dense asks";
  std::string text;
  for (const char* encoding : {"bitmap", "csr", "nm"}) {
    const auto count = std::count_if(packed.begin(), packed.end(),
                                     [&](const PackedTensor& tensor) { return tensor.encoding == encoding; });
    if (count == 0) continue;
    text += (text.empty() ? "" : ", ") + counted(static_cast<std::uint64_t>(count), "tensor") + " as " + encoding;
  }
  return text.empty() ? "dense: zeros are stored, since no tensor takes fewer bytes without"
                      : "without zeros: " + text + "; `load` expands them";
}

void print_bytes(const Account& total, std::uint64_t bytes_before, std::uint64_t bytes_after, const std::string& how) {
  std::cout << "pruned: " << grouped(total.elements) << " elements, zeros "
            << percent(ratio(total.zeros_before, total.elements)) << " before, "
            << percent(ratio(total.zeros_after, total.elements)) << " after\n"
            << "file: " << grouped(bytes_before) << " bytes before, " << grouped(bytes_after) << " bytes after (" << how
            << ")\n"
            << "as CSR: the pruned tensors would take " << grouped(total.csr_bytes) << " bytes instead of "
            << grouped(total.dense_bytes) << " (" << percent(ratio(total.csr_bytes, total.dense_bytes))
            << "; 32-bit indices)\n";
}

/// Time of each pruned matrix's product on this machine, dense and in the fastest sparse format.
void print_times(const StateDict& state, const std::vector<std::size_t>& chosen, const std::vector<Tensor>& tensors,
                 std::int64_t batch) {
  std::size_t width = 4;
  for (const std::size_t i : chosen) width = std::max(width, printable(state.entries()[i].first, kMaxNameWidth).size());
  const auto ms = [](double seconds) { return sweep::fixed(1e3 * seconds, 3); };
  const auto line = [&](const std::string& name, const std::string& dense, const std::string& sparse,
                        const std::string& how) {
    std::ostringstream out;
    out << std::left << std::setw(static_cast<int>(width)) << name << std::right << std::setw(14) << dense
        << std::setw(14) << sparse << "  " << how;
    return out.str();
  };
  std::cout << '\n' << bold(line("name", "dense ms", "sparse ms", "fastest sparse format")) << '\n';
  Progress progress("timing tensor", chosen.size());
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    progress.advance();
    if (tensors[i].rank() != 2 || tensors[i].numel() == 0) continue;
    std::string dense = "-";
    std::string sparse = "-";
    std::string how;
    for (const AdviceCandidate& candidate : advise(to_csr(tensors[i]), batch).candidates) {  // fastest first
      if (candidate.seconds < 0) continue;
      if (candidate.format == "dense") {
        dense = ms(candidate.seconds);
      } else if (how.empty()) {
        sparse = ms(candidate.seconds);
        how = candidate.format + (candidate.note.empty() ? "" : ", " + candidate.note);
      }
    }
    std::cout << line(printable(state.entries()[chosen[i]].first, kMaxNameWidth), dense, sparse, how) << '\n';
  }
  std::cout << "times: a product with " << grouped(static_cast<std::uint64_t>(batch)) << " columns on "
            << cpu_info().name << ", " << num_threads() << " threads\n";
}

int run(const Options& options) {
  const FileInfo info = inspect_file(options.in);
  const StateDict state = load(info.path);
  const std::uint64_t bytes_before = std::filesystem::file_size(info.path);
  const std::vector<Choice> choices = choose(state, options.exclude);
  std::vector<std::size_t> chosen;
  for (const Choice& choice : choices) {
    if (choice.reason.empty()) chosen.push_back(choice.position);
  }
  require(!chosen.empty(), [] { return std::string("prune: the model has no matrix of a floating type to prune"); });
  const std::vector<Tensor> tensors = pruned(state, chosen, options);

  StateDict result;
  result.metadata() = state.metadata();
  std::vector<Account> accounts;
  Account total;
  for (std::size_t i = 0, next = 0; i < state.size(); ++i) {
    const auto& [name, tensor] = state.entries()[i];
    if (next == chosen.size() || chosen[next] != i) {
      result.insert(name, tensor);
      continue;
    }
    accounts.push_back(account_of(tensor, tensors[next]));
    total += accounts.back();
    result.insert(name, tensors[next++]);
  }
  std::vector<PackedTensor> packed;
  save(options.out, options.dense ? result : pack_zeros(result, &packed));
  print_tensors(state, chosen, accounts);
  std::cout << '\n';
  print_left(state, choices);
  print_bytes(total, bytes_before, std::filesystem::file_size(options.out), how_packed(packed, options.dense));
  if (options.batch > 0) print_times(state, chosen, tensors, options.batch);
  return kSuccess;
}

}  // namespace

Action declare_prune(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("IN", options->in, "a model file, or a folder that holds one")->required();
  app.add_option("-o,--out", options->out, "where to write the pruned model")->required()->check(safetensors_name());
  app.add_option("--method", options->method,
                 "magnitude, random, n_m, block, structured (whole slices), or wanda (magnitude times input norm)")
      ->check(CLI::IsMember({"magnitude", "random", "n_m", "block", "structured", "wanda"}))
      ->capture_default_str();
  app.add_option("--amount", options->amount, "share of the elements to set to zero; n_m needs none")->check(share());
  app.add_option("--scope", options->scope, "layer: that share of each tensor; global: of all together")
      ->check(CLI::IsMember({"layer", "global"}))
      ->capture_default_str();
  app.add_option("--exclude", options->exclude, "globs of tensors to leave alone");
  app.add_option("--pattern", options->pattern, "n_m: how many of how many stay")->capture_default_str();
  app.add_option("--block", options->block, "block: rows x columns")->capture_default_str();
  app.add_option("--axis", options->axis, "structured: which dimension's slices")->capture_default_str();
  app.add_option("--width", options->width, "structured: neighbors that go together, as in a head")
      ->capture_default_str();
  app.add_option("--norm", options->norm, "block, structured: what they are ranked by")
      ->check(CLI::IsMember({"1", "2", "inf"}))
      ->capture_default_str();
  app.add_option("--seed", options->seed, "random: the same entries for the same seed")->capture_default_str();
  app.add_option(
      "--inputs", options->inputs,
      "wanda: a model file with the inputs' norms (in), or rows of inputs (n, in), under the weights' names");
  app.add_option("--budget", options->budget, "how the amount is shared out: uniform, or erk (small layers keep more)")
      ->check(CLI::IsMember({"uniform", "erk"}))
      ->capture_default_str();
  app.add_flag("--dense", options->dense, "store every zero, for readers that do not know the packed encoding");
  constexpr std::int64_t kMaxBatch = 1 << 20;
  app.add_option("--time", options->batch, "also time each matrix, dense and sparse, with a batch of so many rows")
      ->check(CLI::Range(std::int64_t{1}, kMaxBatch));
  app.parse_complete_callback([options] {
    if (options->amount < 0 && options->method != "n_m") throw CLI::RequiredError("--amount");
  });
  return [options] { return run(*options); };
}

}  // namespace sparsert::tools
