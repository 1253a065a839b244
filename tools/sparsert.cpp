// tools/sparsert.cpp — the command: a table of subcommands, and what becomes of their errors.
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "sparsert/error.hpp"
#include "sparsert/version.hpp"
#include "tools/cli.hpp"

namespace sparsert::tools {
namespace {

struct Subcommand {
  const char* name;
  const char* summary;
  Declare declare;
};

constexpr Subcommand kSubcommands[] = {
    {"inspect", "what a model file holds: tensors, types, shapes, bytes, density", declare_inspect},
    {"prune", "set the smallest weights of a model to zero", declare_prune},
    {"convert", "write any readable model as safetensors", declare_convert},
    {"verify", "do all devices give the same bits? the equivalence suite on this machine", declare_verify},
    {"bench", "every operation against this machine's ceilings and the libraries installed", declare_bench},
    {"sweep", "are more zeros better? accuracy, bytes and latency at each share of zeros", declare_sweep},
    {"layers", "how long each matrix of a model takes, dense and pruned", declare_layers},
};

int run(int argc, char** argv) {
  CLI::App app("Sparse compute for deep learning.", "sparsert");
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  Action action;
  for (const Subcommand& subcommand : kSubcommands) {
    CLI::App* const parser = app.add_subcommand(subcommand.name, subcommand.summary);
    parser->callback([&action, chosen = subcommand.declare(*parser)] { action = chosen; });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool failed = error.get_exit_code() != 0;  // --help and --version come here too
    app.exit(error, std::cout, std::cerr);
    return failed ? kUsage : kSuccess;
  }
  try {
    const int code = action();
    std::cout.flush();
    if (!std::cout) throw FileError("standard output: cannot write");
    return code;
  } catch (const std::exception& error) {
    std::cerr << "sparsert: " << printable(error.what()) << '\n';
    return kFailure;
  }
}

}  // namespace
}  // namespace sparsert::tools

int main(int argc, char** argv) { return sparsert::tools::run(argc, argv); }
