// tools/convert.cpp — `sparsert convert`: any readable model as safetensors or npz.
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sparsert/files.hpp"
#include "tools/cli.hpp"

namespace sparsert::tools {
namespace {

struct Options {
  std::string in;
  std::string out;
  LoadOptions load;
  SaveOptions save;
  std::vector<std::string> rename;
  std::string layout = "stored";
  bool dense = false;
};

CLI::Validator renaming() {
  return CLI::Validator(
      [](const std::string& text) {
        return text.find('=') != text.npos ? std::string() : "got \"" + text + "\", expected OLD=NEW";
      },
      "OLD=NEW");
}

/// The sparse tensors as dense ones, behind those that are dense.
StateDict made_dense(const StateDict& state) {
  StateDict dense;
  for (const auto& [name, tensor] : state.entries()) dense.insert(name, tensor);
  for (const auto& [name, tensor] : state.sparse_entries()) dense.insert(name, tensor.to_dense());
  dense.metadata() = state.metadata();
  return dense;
}

int convert(Options& options) {
  for (const std::string& text : options.rename) {
    const std::size_t equals = text.find('=');
    options.load.rename[text.substr(0, equals)] = text.substr(equals + 1);
  }
  options.load.torch_layout = options.layout == "torch";
  StateDict state = load(options.in, options.load);
  if (options.dense) state = made_dense(state);
  save(options.out, state, options.save);
  std::cout << printable(options.out) << ": " << counted(state.size(), "tensor") << ", "
            << grouped(static_cast<std::uint64_t>(state.nbytes())) << " bytes\n";
  if (options.out.ends_with(".npz") && !state.metadata().empty()) std::cout << "metadata is not in an .npz\n";
  return kSuccess;
}

}  // namespace

Action declare_convert(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  app.add_option("IN", options->in, "a model file or folder of any format that is read")->required();
  app.add_option("-o,--out", options->out, "where to write: .safetensors or .npz")->required()->check(model_name());
  app.add_option("--include", options->load.include, "globs of the tensors to take (default: all)");
  app.add_option("--exclude", options->load.exclude, "globs of the tensors to leave out");
  app.add_option("--rename", options->rename, "a new name for a tensor")->check(renaming());
  app.add_option("--select", options->load.select, "which model, where a folder or checkpoint holds several");
  app.add_option("--max-shard-size", options->save.max_shard_bytes, "several files and an index, such as 5GB")
      ->transform(CLI::AsSizeValue(true));
  app.add_option("--layout", options->layout, "stored, or torch: weights with known axes in PyTorch's order")
      ->check(CLI::IsMember({"stored", "torch"}));
  app.add_flag("--dequantize", options->load.dequantize, "quantized integers as float32");
  app.add_flag("--dense", options->dense, "sparse tensors as dense ones");
  app.add_flag("--strict", options->load.strict, "refuse files that hold more than tensors and plain values");
  return [options] { return convert(*options); };
}

}  // namespace sparsert::tools
