// runtime/files/folder.cpp — which model a folder holds, and models of several files.
#include "runtime/files/folder.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>
#include <utility>

#include "runtime/files/gguf.hpp"
#include "runtime/files/json.hpp"
#include "runtime/files/names.hpp"

namespace sparsert::files {
namespace {

constexpr std::size_t kMaxListed = 20;     // choices in a message
constexpr std::size_t kMaxLooked = 2'000;  // files whose content is looked at
constexpr std::size_t kMaxShards = 10'000;
constexpr std::uint64_t kMaxReference = 256;  // bytes of a file in refs/
constexpr int kMaxDepth = 4;                  // of folders that lead to a model

constexpr std::string_view kIndexSuffix = ".index.json";
constexpr std::string_view kSavedModel = "saved_model.pb";

// A folder of the hub holds the same weights in several of these; the first that is there is taken.
constexpr std::array<std::string_view, 12> kWeights{"model.safetensors.index.json",
                                                    "model.safetensors",
                                                    "diffusion_pytorch_model.safetensors.index.json",
                                                    "diffusion_pytorch_model.safetensors",
                                                    "pytorch_model.bin.index.json",
                                                    "pytorch_model.bin",
                                                    "diffusion_pytorch_model.bin.index.json",
                                                    "diffusion_pytorch_model.bin",
                                                    "tf_model.h5",
                                                    "flax_model.msgpack.index.json",
                                                    "flax_model.msgpack",
                                                    kSavedModel};

// Folders that models are put in, looked into where the folder itself holds none.
constexpr std::array<std::string_view, 6> kFolders{"weights",     "checkpoints", "saved_model",
                                                   "onnx_models", "onnx",        "model"};

bool is_basename(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == name.npos && name.find('\0') == name.npos;
}

std::string in_folder(const std::string& folder, std::string_view name) {
  return folder.empty() ? std::string(name) : folder + "/" + std::string(name);
}

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kMaxListed; ++i) text += (i == 0 ? "" : ", ") + in_quotes(names[i]);
  return text + (names.size() > kMaxListed ? ", ..." : "");
}

constexpr const char* kPartCount = "split.count";
constexpr const char* kPartNumber = "split.no";

/// "-00002-of-00003.gguf": how the name of a part of a GGUF model ends.
std::string part_suffix(std::uint64_t part, std::uint64_t count) {
  const auto digits = [](std::uint64_t value) {
    const std::string text = std::to_string(value);
    return std::string(5 - std::min<std::size_t>(5, text.size()), '0') + text;
  };
  return "-" + digits(part) + "-of-" + digits(count) + ".gguf";
}

/// True for the name of a part behind the first, which is opened with it.
bool is_later_part(std::string_view name) {
  constexpr std::size_t kEnd = std::string_view("-00002-of-00003.gguf").size();
  if (name.size() < kEnd || !name.ends_with(".gguf")) return false;
  const std::string_view end = name.substr(name.size() - kEnd);
  return end.front() == '-' && end.substr(6, 4) == "-of-" && !end.starts_with("-00001-");
}

/// A number of the metadata; 0 where there is none.
std::uint64_t number_in(const FileInfo& info, const char* key) {
  const auto entry = info.metadata.find(key);
  std::uint64_t value = 0;
  if (entry != info.metadata.end()) {
    std::from_chars(entry->second.data(), entry->second.data() + entry->second.size(), value);
  }
  return value;
}

/// Several readers as one.
class Composite : public Reader {
 public:
  /// Adds the tensors of a part that `keep` names, or all; `prefix` goes in front of their names.
  void add(std::unique_ptr<Reader> part, const std::string& file, const std::string& prefix) {
    for (std::size_t i = 0; i < part->info.tensors.size(); ++i) add_tensor(*part, i, file, prefix);
    add_metadata(*part, prefix);
    parts_.push_back(std::move(part));
  }

  /// Adds the tensors at these positions alone, in this order.
  void add(std::unique_ptr<Reader> part, const std::string& file, const std::vector<std::size_t>& positions) {
    for (const std::size_t i : positions) add_tensor(*part, i, file, "");
    add_metadata(*part, "");
    parts_.push_back(std::move(part));
  }

  Tensor read(std::size_t position) const override {
    const auto& [part, index] = places_[position];
    return parts_[part]->read(index);
  }

  SparseTensor read_sparse(std::size_t position) const override {
    const auto& [part, index] = places_[position];
    return parts_[part]->read_sparse(index);
  }

 private:
  void add_tensor(const Reader& part, std::size_t position, const std::string& file, const std::string& prefix) {
    TensorInfo tensor = part.info.tensors[position];
    tensor.name = prefix + tensor.name;
    if (!tensor.tied_to.empty()) tensor.tied_to = prefix + tensor.tied_to;
    if (tensor.file.empty()) tensor.file = file;
    info.tensors.push_back(std::move(tensor));
    places_.emplace_back(parts_.size(), position);
  }

  void add_metadata(const Reader& part, const std::string& prefix) {
    for (const auto& [key, value] : part.info.metadata) info.metadata.emplace(prefix + key, value);
    if (info.format.empty()) info.format = part.info.format;
    if (info.format != part.info.format) info.format = "several";
  }

  std::vector<std::unique_ptr<Reader>> parts_;
  std::vector<std::pair<std::size_t, std::size_t>> places_;
};

/// Looks for the model of a folder.
class Finder {
 public:
  Finder(std::shared_ptr<const Root> root, const LoadOptions& options) : root_(std::move(root)), options_(options) {}

  /// The model of `folder`; null where it holds none.
  std::unique_ptr<Reader> open(const std::string& folder, const std::string& select, int depth = 0) const {
    if (depth > kMaxDepth) throw FileError("folders that lead to a model nest deeper than 4");
    if (const auto snapshot = snapshot_of(folder, select)) return open(*snapshot, "", depth + 1);
    if (!select.empty()) return open_selected(folder, select, depth);
    if (has_file(folder, "model_index.json")) return open_components(folder, "model_index.json", depth);
    for (const std::string_view name : kWeights) {
      if (has_file(folder, name)) {
        if (has_file(folder, "modules.json")) return open_components(folder, "modules.json", depth);
        return open_name(in_folder(folder, name), "");
      }
    }
    if (has_file(folder, "modules.json")) return open_components(folder, "modules.json", depth);
    return open_only(folder, depth);
  }

  /// A file beneath the root: a model, or the index of one.
  std::unique_ptr<Reader> open_name(const std::string& name, const std::string& select) const {
    const Source source{Bytes(root_->open(name), options_.mmap), root_, name, &options_, select};
    if (name.ends_with(kIndexSuffix)) return open_index(source);
    return with_parts(named(name, [&] { return open_source(source); }), name);
  }

  /// A GGUF model in several files, of which `first` was opened under `name`, with all of them; any other as it is.
  std::unique_ptr<Reader> with_parts(std::unique_ptr<Reader> first, const std::string& name) const {
    const std::uint64_t count = number_in(first->info, kPartCount);
    if (first->info.format != gguf::kFormat || count < 2) return first;
    const auto fail = [&](const std::string& reason) { throw FileError(in_quotes(name) + ": " + reason); };
    if (count > kMaxShards) fail("is one of " + std::to_string(count) + " parts, expected at most 10,000");
    if (!name.ends_with(part_suffix(1, count))) {
      fail("is one of " + std::to_string(count) + " parts, expected the first, with a name that ends with " +
           in_quotes(part_suffix(1, count)));
    }
    const std::string stem = name.substr(0, name.size() - part_suffix(1, count).size());
    auto model = std::make_unique<Composite>();
    for (std::uint64_t i = 1; i <= count; ++i) {
      const std::string file = stem + part_suffix(i, count);
      auto part = i == 1 ? std::move(first) : named(file, [&] { return open_part(file); });
      if (part->info.format != gguf::kFormat || number_in(part->info, kPartCount) != count ||
          number_in(part->info, kPartNumber) != i - 1) {
        throw FileError(in_quotes(file) + ": is not part " + std::to_string(i) + " of " + std::to_string(count));
      }
      model->add(std::move(part), file, "");
    }
    const std::uint64_t tensors = number_in(model->info, "split.tensors.count");
    if (tensors != model->info.tensors.size()) {
      fail("the parts have " + std::to_string(model->info.tensors.size()) + " tensors, expected " +
           std::to_string(tensors));
    }
    model->info.path = root_->path() / name;
    return model;
  }

  /// The files that the index names, as one model.
  std::unique_ptr<Reader> open_index(const Source& index) const {
    return named(index.name, [&] { return open_shards(index); });
  }

 private:
  template <class Action>
  std::unique_ptr<Reader> named(const std::string& name, Action&& action) const {
    try {
      auto reader = action();
      if (reader->info.path.empty()) reader->info.path = root_->path() / name;
      return reader;
    } catch (const FileError& error) {
      throw FileError(in_quotes(name) + ": " + error.what(), error.where());
    }
  }

  std::unique_ptr<Reader> open_part(const std::string& name) const {
    return open_source({Bytes(root_->open(name), options_.mmap), root_, name, &options_});
  }

  bool has_file(const std::string& folder, std::string_view name) const {
    return root_->kind(in_folder(folder, name)) == Root::Kind::file;
  }

  bool has_folder(const std::string& folder, std::string_view name) const {
    return root_->kind(in_folder(folder, name)) == Root::Kind::folder;
  }

  std::unique_ptr<Reader> open_shards(const Source& index) const {
    const std::string folder =
        index.name.find('/') == index.name.npos ? "" : index.name.substr(0, index.name.rfind('/'));
    std::vector<std::string> files;  // in the order of the index
    std::map<std::string, std::vector<std::string>> tensors;
    for (JsonString& string : json_strings(index.bytes)) {
      if (string.path.size() != 2 || string.path[0] != "weight_map") continue;
      if (!is_basename(string.value)) {
        throw FileError("the tensor " + in_quotes(string.path[1]) + " lies in " + in_quotes(string.value) +
                        ", expected a file of the same folder");
      }
      auto& of_file = tensors[string.value];
      if (of_file.empty()) files.push_back(string.value);
      of_file.push_back(std::move(string.path[1]));
    }
    if (files.empty()) throw FileError("the index names no tensor (weight_map)");
    if (files.size() > kMaxShards) throw FileError("the index names more than 10,000 files");
    auto model = std::make_unique<Composite>();
    for (const std::string& file : files) {
      auto shard = open_name(in_folder(folder, file), "");
      const auto positions = positions_in(*shard, file, tensors[file]);
      model->add(std::move(shard), in_folder(folder, file), positions);
    }
    return model;
  }

  std::vector<std::size_t> positions_in(const Reader& shard, const std::string& file,
                                        const std::vector<std::string>& names) const {
    std::map<std::string_view, std::size_t> positions;
    for (std::size_t i = 0; i < shard.info.tensors.size(); ++i) positions.emplace(shard.info.tensors[i].name, i);
    std::vector<std::size_t> found;
    for (const std::string& name : names) {
      const auto place = positions.find(name);
      if (place == positions.end()) {
        throw FileError("the index says that " + in_quotes(name) + " lies in " + in_quotes(file) +
                        ", which has no such tensor");
      }
      found.push_back(place->second);
    }
    if (options_.strict && found.size() != positions.size()) {
      throw FileError(in_quotes(file) + " holds tensors that the index does not name");
    }
    return found;
  }

  /// The snapshot that a hub cache's reference names; none where the folder is no hub cache.
  std::optional<std::string> snapshot_of(const std::string& folder, const std::string& select) const {
    if (!has_folder(folder, "snapshots") || !(has_folder(folder, "refs") || has_folder(folder, "blobs"))) {
      return std::nullopt;
    }
    const std::string snapshots = in_folder(folder, "snapshots");
    const std::string reference = in_folder(folder, "refs/" + (select.empty() ? std::string("main") : select));
    if (root_->kind(reference) == Root::Kind::file) {
      const Bytes bytes(root_->open(reference));
      const auto data = bytes.read(0, std::min(bytes.size(), kMaxReference));
      std::string commit(reinterpret_cast<const char*>(data.data()), data.size());
      while (!commit.empty() && (commit.back() == '\n' || commit.back() == ' ')) commit.pop_back();
      if (!is_basename(commit) || !has_folder(snapshots, commit)) {
        throw FileError(in_quotes(reference) + " names the snapshot " + in_quotes(commit) + ", which is not there");
      }
      return in_folder(snapshots, commit);
    }
    std::vector<std::string> names = root_->list(snapshots);
    if (!select.empty()) std::erase_if(names, [&](const std::string& name) { return !glob_match(select, name); });
    if (names.size() == 1) return in_folder(snapshots, names[0]);
    throw FileError("is a hub cache with " + std::to_string(names.size()) +
                    " snapshots, expected one; choose with `select`: " + list_of(root_->list(snapshots)));
  }

  std::unique_ptr<Reader> open_selected(const std::string& folder, const std::string& select, int depth) const {
    switch (root_->kind(in_folder(folder, select))) {
      case Root::Kind::file: return open_name(in_folder(folder, select), "");
      case Root::Kind::folder: return open(in_folder(folder, select), "", depth + 1);
      case Root::Kind::missing: break;
    }
    // A variant such as fp16: model.fp16.safetensors, model.safetensors.index.fp16.json.
    for (const std::string_view name : kWeights) {
      const std::size_t dot = name.rfind('.');
      const std::string variant = std::string(name.substr(0, dot)) + "." + select + std::string(name.substr(dot));
      if (!has_file(folder, variant)) continue;
      const std::string full = in_folder(folder, variant);
      if (!name.ends_with(kIndexSuffix)) return open_name(full, "");
      return open_index({Bytes(root_->open(full)), root_, full, &options_, {}});
    }
    std::vector<std::string> choices = candidates(folder);
    std::vector<std::string> matching = choices;
    std::erase_if(matching, [&](const std::string& name) { return !glob_match(select, name); });
    if (matching.size() == 1) return open_name(in_folder(folder, matching[0]), "");
    throw FileError("select " + in_quotes(select) + " names " + std::to_string(matching.size()) +
                    " models of the folder, expected one of " + list_of(matching.empty() ? choices : matching));
  }

  /// Models in folders of their own that a file lists: diffusers' components, the modules of sentence-transformers.
  std::unique_ptr<Reader> open_components(const std::string& folder, const std::string& list, int depth) const {
    const bool is_modules = list == "modules.json";
    std::vector<std::string> names;
    for (const JsonString& string : json_strings(Bytes(root_->open(in_folder(folder, list))))) {
      if (string.path.size() != 2) continue;
      if (is_modules ? string.path[1] != "path" : string.path[1] != "0") continue;
      const std::string& name = is_modules ? string.value : string.path[0];
      if (!name.empty() && !is_basename(name))
        throw FileError(in_quotes(list) + " names the folder " + in_quotes(name));
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    auto model = std::make_unique<Composite>();
    bool found = false;
    for (const std::string& name : names) {
      auto part = name.empty()               ? open_weights(folder)
                  : has_folder(folder, name) ? open_weights(in_folder(folder, name))
                                             : nullptr;
      if (part == nullptr) continue;
      found = true;
      model->add(std::move(part), name, name.empty() ? "" : name + ".");
    }
    if (!found) return open_only(folder, depth);
    model->info.path = root_->path() / folder;
    return model;
  }

  /// The weights of one component by the hub's names; null where it has none (a tokenizer).
  std::unique_ptr<Reader> open_weights(const std::string& folder) const {
    for (const std::string_view name : kWeights) {
      if (has_file(folder, name)) return open_name(in_folder(folder, name), "");
    }
    return nullptr;
  }

  /// The files of a folder that are models by their content.
  std::vector<std::string> candidates(const std::string& folder) const {
    std::vector<std::string> found;
    std::size_t looked = 0;
    for (const std::string& name : root_->list(folder)) {
      // The data of a TensorFlow checkpoint could begin like anything; its index is what is opened.
      if (name.find(".data-") != name.npos || is_later_part(name) || !has_file(folder, name)) continue;
      if (++looked > kMaxLooked) throw FileError("the folder has more than 2,000 files; name one of them");
      if (name.ends_with(kIndexSuffix) || is_model(in_folder(folder, name))) found.push_back(name);
    }
    return found;
  }

  bool is_model(const std::string& name) const {
    try {
      const Source source{Bytes(root_->open(name)), root_, name, &options_, {}};
      return std::any_of(formats().begin(), formats().end(),
                         [&](const Format& format) { return format.sniff(source); });
    } catch (const FileError&) {
      return true;  // a container that is broken, or cannot be opened: to open it says what is wrong
    }
  }

  std::unique_ptr<Reader> open_only(const std::string& folder, int depth) const {
    const auto found = candidates(folder);
    if (found.size() == 1) return open_name(in_folder(folder, found[0]), "");
    if (found.size() > 1) {
      throw FileError("is a folder with " + std::to_string(found.size()) +
                      " models, expected one; choose with `select`: " + list_of(found));
    }
    std::vector<std::string> folders;
    for (const std::string_view name : kFolders) {
      if (has_folder(folder, name)) folders.emplace_back(name);
    }
    for (const std::string& name : root_->list(folder)) {
      if (name.starts_with("models--") && has_folder(folder, name)) folders.push_back(name);
    }
    if (folders.size() == 1) return open(in_folder(folder, folders[0]), "", depth + 1);
    if (folders.size() > 1) {
      throw FileError("is a folder with models in " + std::to_string(folders.size()) +
                      " folders, expected one; choose with `select`: " + list_of(folders));
    }
    return nullptr;
  }

  std::shared_ptr<const Root> root_;
  const LoadOptions& options_;
};

}  // namespace

std::unique_ptr<Reader> open_folder(const std::filesystem::path& path, const LoadOptions& options) {
  std::string name;
  // Without a trailing slash, so that the folder has a name.
  const std::filesystem::path folder = path.filename().empty() && path.has_parent_path() ? path.parent_path() : path;
  auto root = Root::of_file(folder / "x", &name);
  const std::string below = name == "x" ? "" : name.substr(0, name.size() - 2);
  auto reader = Finder(std::move(root), options).open(below, options.select);
  if (reader == nullptr) throw FileError("is a folder without a model file");
  return reader;
}

std::unique_ptr<Reader> open_file(const std::filesystem::path& path, const LoadOptions& options) {
  Source source{Bytes(std::make_shared<const InputFile>(path), options.mmap), {}, {}, &options, options.select};
  source.root = Root::of_file(path, &source.name);
  if (source.name.ends_with(kIndexSuffix)) return Finder(source.root, options).open_index(source);
  const Finder finder(source.root, options);
  auto reader = finder.with_parts(open_source(source), source.name);
  if (reader->info.path.empty()) reader->info.path = path;
  return reader;
}

}  // namespace sparsert::files
