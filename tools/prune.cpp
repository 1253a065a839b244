// tools/prune.cpp — `sparsert prune`: sets the smallest weights of a model to zero, and says what that saves and not.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sparsert/sparsert.hpp"
#include "tools/cli.hpp"

namespace sparsert::tools {
namespace {

constexpr std::size_t kMaxNameWidth = 72;

struct Options {
  std::string in;
  std::string out;
  std::string method = "magnitude";
  double amount = 0;
  std::string scope = "layer";
  std::vector<std::string> exclude;
};

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

/// The chosen tensors, pruned, in the order of `chosen`.
std::vector<Tensor> pruned(const StateDict& state, const std::vector<std::size_t>& chosen, const Options& options) {
  std::vector<Tensor> out;
  if (options.scope == "global") {
    prune::NamedTensors all;
    for (const std::size_t i : chosen) all.push_back(state.entries()[i]);
    for (auto& entry : prune::global_magnitude(all, options.amount)) out.push_back(std::move(entry.second));
    return out;
  }
  Progress progress("pruning tensor", chosen.size());
  for (const std::size_t i : chosen) {
    out.push_back(prune::magnitude(state.entries()[i].second, options.amount));
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

void print_bytes(const Account& total, std::uint64_t bytes_before, std::uint64_t bytes_after) {
  std::cout << "pruned: " << grouped(total.elements) << " elements, zeros "
            << percent(ratio(total.zeros_before, total.elements)) << " before, "
            << percent(ratio(total.zeros_after, total.elements)) << " after\n"
            << "file: " << grouped(bytes_before) << " bytes before, " << grouped(bytes_after)
            << " bytes after (dense: zeros are stored, so it is no smaller)\n"
            << "as CSR: the pruned tensors would take " << grouped(total.csr_bytes) << " bytes instead of "
            << grouped(total.dense_bytes) << " (" << percent(ratio(total.csr_bytes, total.dense_bytes))
            << "; 32-bit indices)\n";
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
  save(options.out, result);
  print_tensors(state, chosen, accounts);
  std::cout << '\n';
  print_left(state, choices);
  print_bytes(total, bytes_before, std::filesystem::file_size(options.out));
  return kSuccess;
}

}  // namespace

Action declare_prune(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("IN", options->in, "a model file, or a folder that holds one")->required();
  app.add_option("-o,--out", options->out, "where to write the pruned model")->required()->check(safetensors_name());
  app.add_option("--method", options->method, "magnitude: the smallest absolute values go")
      ->check(CLI::IsMember({"magnitude"}))
      ->capture_default_str();
  app.add_option("--amount", options->amount, "share of the elements to set to zero")->required()->check(share());
  app.add_option("--scope", options->scope, "layer: that share of each tensor; global: of all together")
      ->check(CLI::IsMember({"layer", "global"}))
      ->capture_default_str();
  app.add_option("--exclude", options->exclude, "globs of tensors to leave alone");
  return [options] { return run(*options); };
}

}  // namespace sparsert::tools
