// runtime/files/files.cpp — opening a model by its content, reading its tensors, saving.
#include "sparsert/files.hpp"

#include <algorithm>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "runtime/files/adapt.hpp"
#include "runtime/files/folder.hpp"
#include "runtime/files/format.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/packed.hpp"
#include "runtime/files/safetensors.hpp"
#include "runtime/files/write.hpp"
#include "sparsert/packed.hpp"

namespace sparsert {
namespace files {
namespace {

/// Runs `action`; makes its failed allocations ours.
template <class Action>
auto with_memory(const std::filesystem::path& path, Action&& action) {
  try {
    return action();
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(path.string() + ": out of memory");
  } catch (const std::length_error&) {
    throw OutOfMemory(path.string() + ": out of memory");
  }
}

/// The same, and puts the path in front of its FileError.
template <class Action>
auto with_path(const std::filesystem::path& path, Action&& action) {
  try {
    return with_memory(path, action);
  } catch (const FileError& error) {
    throw FileError(path.string() + ": " + error.what(), error.where());
  }
}

/// Throws `Error{invalid_argument}` for a glob that matches no tensor at all.
void check_globs(const FileInfo& info, const char* option, const std::vector<std::string>& globs) {
  for (const std::string& glob : globs) {
    const bool used = std::any_of(info.tensors.begin(), info.tensors.end(),
                                  [&](const TensorInfo& tensor) { return glob_match(glob, tensor.name); });
    require(used, [&] {
      std::vector<std::string_view> names;
      for (const TensorInfo& tensor : info.tensors) names.push_back(tensor.name);
      return "load: " + std::string(option) + " " + in_quotes(glob) + " matches no tensor" + close_names(glob, names);
    });
  }
}

/// The positions of the tensors that the globs name.
std::vector<std::size_t> selected(const FileInfo& info, const LoadOptions& options) {
  check_globs(info, "include", options.include);
  check_globs(info, "exclude", options.exclude);
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < info.tensors.size(); ++i) {
    const auto matches = [&](const std::string& glob) { return glob_match(glob, info.tensors[i].name); };
    const auto any_of = [&](const auto& globs) { return std::any_of(globs.begin(), globs.end(), matches); };
    if ((options.include.empty() || any_of(options.include)) && !any_of(options.exclude)) positions.push_back(i);
  }
  return positions;
}

/// The name that each of the tensors gets.
std::vector<std::string> new_names(const FileInfo& info, const std::vector<std::size_t>& positions,
                                   const std::map<std::string, std::string>& rename) {
  std::vector<std::string> names;
  std::set<std::string_view> used;
  for (const std::size_t i : positions) {
    const auto renamed = rename.find(info.tensors[i].name);
    if (renamed != rename.end()) used.insert(renamed->first);
    names.push_back(renamed != rename.end() ? renamed->second : info.tensors[i].name);
  }
  for (const auto& entry : rename) {
    const std::string& from = entry.first;
    require(used.contains(from), [&] {
      std::vector<std::string_view> loaded;
      for (const std::size_t i : positions) loaded.push_back(info.tensors[i].name);
      return "load: rename " + in_quotes(from) + " is the name of no tensor that is loaded" + close_names(from, loaded);
    });
  }
  return names;
}

void check_storage(const TensorInfo& tensor) {
  if (tensor.storage) return;
  const std::string reason =
      tensor.refusal.empty() ? "is " + tensor.dtype + ", which is not stored here" : tensor.refusal;
  throw FileError("tensor " + in_quotes(tensor.name) + " " + reason + "; leave it out with `include` or `exclude`");
}

/// Bytes of a tensor once it is loaded.
std::uint64_t loaded_bytes(const TensorInfo& tensor) {
  if (tensor.layout != Layout::dense) return tensor.nbytes;
  return static_cast<std::uint64_t>(element_count(tensor.shape, size_of(*tensor.storage)));
}

/// Proves that the tensors can be loaded before the first is.
void check_selection(const FileInfo& info, const std::vector<std::size_t>& positions, std::uint64_t max_bytes) {
  std::uint64_t bytes = 0;
  for (const std::size_t i : positions) {
    const TensorInfo& tensor = info.tensors[i];
    check_storage(tensor);
    if (!tensor.tied_to.empty()) continue;
    const std::uint64_t more = loaded_bytes(tensor);
    bytes = more > UINT64_MAX - bytes ? UINT64_MAX : bytes + more;
  }
  if (bytes > max_bytes) {
    throw FileError("the tensors have " + std::to_string(bytes) +
                    " bytes, expected at most max_bytes = " + std::to_string(max_bytes));
  }
}

/// Runs `action`, which reads the tensor, and puts its name behind a FileError.
template <class Action>
auto with_name(const TensorInfo& tensor, Action&& action) {
  try {
    return action();
  } catch (const FileError& error) {
    throw FileError(std::string(error.what()) + " (tensor " + in_quotes(tensor.name) + ")", error.where());
  }
}

}  // namespace
}  // namespace files

struct ModelFile::Impl {
  std::unique_ptr<files::Reader> reader;
  std::filesystem::path path;  // of what was opened, for messages

  const TensorInfo& entry(std::size_t position, bool sparse) const {
    const auto& tensors = reader->info.tensors;
    require(position < tensors.size(), [&] {
      return "read: got tensor " + std::to_string(position) + ", expected less than " + std::to_string(tensors.size());
    });
    const TensorInfo& tensor = tensors[position];
    files::with_path(path, [&] { files::check_storage(tensor); });
    require((tensor.layout != Layout::dense) == sparse, [&] {
      return "read: tensor " + files::in_quotes(tensor.name) +
             (sparse ? " is dense; see read" : " is sparse; see read_sparse");
    });
    return tensor;
  }

  Tensor read(std::size_t position) const {
    return files::with_name(reader->info.tensors[position], [&] { return reader->read(position); });
  }

  SparseTensor read_sparse(std::size_t position) const {
    return files::with_name(reader->info.tensors[position], [&] { return reader->read_sparse(position); });
  }

  /// The tensor as the options want it.
  Tensor adapted(std::size_t position, const LoadOptions& options) const {
    const TensorInfo& tensor = reader->info.tensors[position];
    Tensor value = read(position);
    if (options.dequantize && tensor.quantization) value = files::dequantized(value, *tensor.quantization);
    if (options.torch_layout) value = files::in_torch_order(value, tensor.axes);
    return value;
  }
};

ModelFile::ModelFile(const std::filesystem::path& path, const LoadOptions& options) {
  std::error_code ignored;  // what cannot be looked at cannot be opened either, which says why
  const bool is_folder = std::filesystem::is_directory(path, ignored);
  files::with_path(path, [&] {
    impl_ = std::make_unique<Impl>(
        Impl{is_folder ? files::open_folder(path, options) : files::open_file(path, options), path});
    files::check_names(impl_->reader->info);
    if (impl_->reader->info.path.empty()) impl_->reader->info.path = path;
  });
}

ModelFile::ModelFile(ModelFile&&) noexcept = default;
ModelFile& ModelFile::operator=(ModelFile&&) noexcept = default;
ModelFile::~ModelFile() = default;

const FileInfo& ModelFile::info() const noexcept { return impl_->reader->info; }

Tensor ModelFile::read(std::size_t position, const Device& device) const {
  require_usable(device);
  impl_->entry(position, false);
  return files::with_path(impl_->path, [&] { return impl_->read(position).to(device); });
}

SparseTensor ModelFile::read_sparse(std::size_t position, const Device& device) const {
  require_usable(device);
  impl_->entry(position, true);
  return files::with_path(impl_->path, [&] { return impl_->read_sparse(position).to(device); });
}

FileInfo inspect_file(const std::filesystem::path& path, const LoadOptions& options) {
  return ModelFile(path, options).info();
}

StateDict load(const std::filesystem::path& path, const LoadOptions& options) {
  require_usable(options.device);
  const ModelFile model(path, options);
  const FileInfo& info = model.info();
  const ModelFile::Impl& impl = *model.impl_;
  return files::with_path(impl.path, [&] {
    if (info.metadata.contains(kPackedKey)) return files::load_packed(model, options);
    const auto positions = files::selected(info, options);
    const auto names = files::new_names(info, positions, options.rename);
    files::check_selection(info, positions, options.max_bytes);
    StateDict state;
    std::map<std::string_view, std::size_t> loaded;  // by the file's name, for ties
    for (std::size_t n = 0; n < positions.size(); ++n) {
      const TensorInfo& tensor = info.tensors[positions[n]];
      const auto twin = loaded.find(tensor.tied_to);
      if (tensor.layout != Layout::dense) {
        state.insert(names[n], impl.read_sparse(positions[n]).to(options.device));
      } else if (!tensor.tied_to.empty() && twin != loaded.end()) {
        state.insert(names[n], Tensor(state.at(names[twin->second])));
      } else {
        state.insert(names[n], impl.adapted(positions[n], options).to(options.device));
        loaded.emplace(tensor.name, n);
      }
    }
    state.metadata() = info.metadata;
    return state;
  });
}

void save(const std::filesystem::path& path, const StateDict& state, const SaveOptions& options) {
  files::with_path(path, [&] {
    const bool is_npz = path.extension() == ".npz";
    require(!is_npz || options.max_shard_bytes == 0, [] { return std::string("save: an .npz is one file"); });
    if (options.max_shard_bytes != 0) return files::write_shards(path, state, options.max_shard_bytes);
    files::OutputFile file(path);
    if (is_npz) {
      files::write_npz(file, state);
    } else {
      files::safetensors::write(file, state);
    }
    file.commit();
  });
}

}  // namespace sparsert
