// tools/convert.cpp — `sparsert convert`: any readable model as safetensors.
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "sparsert/files.hpp"
#include "tools/cli.hpp"

namespace sparsert::tools {
namespace {

struct Options {
  std::string in;
  std::string out;
  std::vector<std::string> include;
};

}  // namespace

Action declare_convert(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("IN", options->in, "a model file, or a folder that holds one")->required();
  app.add_option("-o,--out", options->out, "where to write")->required()->check(safetensors_name());
  app.add_option("--include", options->include, "globs of the tensors to take (default: all)");
  return [options] {
    LoadOptions load_options;
    load_options.include = options->include;
    const StateDict state = load(options->in, load_options);
    save(options->out, state);
    std::cout << printable(options->out) << ": " << counted(state.size(), "tensor") << ", "
              << grouped(static_cast<std::uint64_t>(state.nbytes())) << " bytes\n";
    return kSuccess;
  };
}

}  // namespace sparsert::tools
