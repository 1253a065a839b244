// runtime/files/shards.cpp — writing a model as several safetensors files and their index.
#include <array>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/files/safetensors.hpp"
#include "runtime/files/write.hpp"

namespace sparsert::files {
namespace {

constexpr std::string_view kSuffix = ".safetensors";

std::string shard_name(const std::string& stem, std::size_t number, std::size_t count) {
  std::array<char, 48> text;
  std::snprintf(text.data(), text.size(), "-%05zu-of-%05zu", number, count);
  return stem + text.data() + std::string(kSuffix);
}

std::vector<StateDict> split(const StateDict& state, std::uint64_t max_bytes) {
  std::vector<StateDict> shards(1);
  for (const auto& [name, tensor] : state.entries()) {
    const auto have = static_cast<std::uint64_t>(shards.back().nbytes());
    if (shards.back().size() != 0 && have + static_cast<std::uint64_t>(tensor.nbytes()) > max_bytes) {
      shards.emplace_back();
    }
    shards.back().insert(name, tensor);
  }
  for (StateDict& shard : shards) shard.metadata() = state.metadata();
  return shards;
}

}  // namespace

void write_shards(const std::filesystem::path& path, const StateDict& state, std::uint64_t max_bytes) {
  require(state.sparse_entries().empty(), [] { return std::string("save: a sparse tensor; make it dense first"); });
  const std::vector<StateDict> shards = split(state, max_bytes);
  // All are complete before the first appears, and the index comes last.
  std::vector<std::unique_ptr<OutputFile>> files;
  std::string stem = path.filename().string();
  if (stem.ends_with(kSuffix)) stem.resize(stem.size() - kSuffix.size());
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shards.size() == 1 ? path.filename().string() : shard_name(stem, i + 1, shards.size());
    files.push_back(std::make_unique<OutputFile>(path.parent_path() / name));
    safetensors::write(*files.back(), shards[i]);
    for (const auto& entry : shards[i].entries()) map[entry.first] = name;
  }
  if (shards.size() > 1) {
    const nlohmann::ordered_json index{{"metadata", {{"total_size", state.nbytes()}}}, {"weight_map", std::move(map)}};
    const std::string text = index.dump(2) + "\n";
    files.push_back(std::make_unique<OutputFile>(path.parent_path() / (path.filename().string() + ".index.json")));
    files.back()->write(text.data(), text.size());
  }
  for (const auto& file : files) file->commit();
}

}  // namespace sparsert::files
