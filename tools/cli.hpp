// tools/cli.hpp — what the subcommands of `sparsert` share: how they are declared, how they write to people.
//
// Results go to standard output; errors and progress to standard error. Exit codes: 0, 1 for a failure, 2 for usage.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace sparsert::tools {

inline constexpr int kSuccess = 0;
inline constexpr int kFailure = 1;
inline constexpr int kUsage = 2;

/// What a subcommand does once its options are parsed; gives the exit code. An `Error` means kFailure.
using Action = std::function<int()>;

/// A subcommand: adds its options to `app`, and returns the action that reads them.
using Declare = Action (*)(CLI::App& app);

Action declare_bench(CLI::App& app);
Action declare_inspect(CLI::App& app);
Action declare_prune(CLI::App& app);
Action declare_convert(CLI::App& app);
Action declare_verify(CLI::App& app);
Action declare_sweep(CLI::App& app);
Action declare_layers(CLI::App& app);

/// For options that name an output: it ends in .safetensors.
CLI::Validator safetensors_name();

/// The same, or .npz.
CLI::Validator model_name();

/// For options that name a share: a number from 0 to 1.
CLI::Validator share();

/// Text of a file, fit for a terminal: control characters escaped, at most `limit` bytes.
std::string printable(std::string_view text, std::size_t limit = SIZE_MAX);

/// 1234567 as "1,234,567".
std::string grouped(std::uint64_t number);

/// "1 tensor", "2,000 tensors".
std::string counted(std::uint64_t number, const std::string& what);

/// 0.125 as "12.50 %".
std::string percent(double share);

/// Text that stands out, where standard output is a terminal and NO_COLOR is not set.
std::string bold(const std::string& text);

/// "reading 3 of 103", rewritten in place on a terminal; nothing in a pipe.
class Progress {
 public:
  Progress(std::string what, std::size_t total);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void advance();

 private:
  std::string what_;
  std::size_t total_;
  std::size_t done_ = 0;
  bool shown_;
};

}  // namespace sparsert::tools
