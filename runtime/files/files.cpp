// runtime/files/files.cpp — opening a model by its content, reading its tensors, saving.
#include "sparsert/files.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "runtime/files/bytes.hpp"
#include "runtime/files/io.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/safetensors.hpp"

namespace sparsert {
namespace files {
namespace {

constexpr std::size_t kSniffedBytes = 16;
constexpr std::size_t kMaxListed = 20;  // choices in a message

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

struct Magic {
  std::string_view bytes;
  const char* what;
};

// Containers that a user may well hold in his hands, told apart so that the error says what the file is.
constexpr std::array<Magic, 5> kNotRead{{
    {{"PK\x03\x04", 4}, "a zip archive (PyTorch, npz or Keras)"},
    {{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9", 9}, "a legacy PyTorch file (pickle)"},
    {{"\x93NUMPY", 6}, "a NumPy array file"},
    {{"\x89HDF\r\n\x1a\n", 8}, "an HDF5 file"},
    {{"GGUF", 4}, "a GGUF file"},
}};

/// Throws unless the content is safetensors: its header begins with '{' after eight bytes.
void check_content(const InputFile& file) {
  std::array<char, kSniffedBytes> first{};
  const std::size_t count = std::min<std::size_t>(file.size(), first.size());
  file.read(0, first.data(), count);
  const std::string_view text(first.data(), count);
  if (text.size() > safetensors::kPrefixBytes && text[safetensors::kPrefixBytes] == '{') return;
  for (const Magic& magic : kNotRead) {
    if (text.starts_with(magic.bytes)) {
      throw FileError(std::string("is ") + magic.what + ", expected safetensors; no other format is read");
    }
  }
}

/// The one safetensors file of a folder.
std::filesystem::path only_model_in(const std::filesystem::path& folder) {
  std::vector<std::string> found;
  std::size_t count = 0;
  std::error_code code;
  for (std::filesystem::directory_iterator entry(folder, code), end; !code && entry != end; entry.increment(code)) {
    const std::string name = entry->path().filename().string();
    if (name.ends_with(".safetensors.index.json")) {
      throw FileError("holds a model in several files (" + in_quotes(name) + "), which is not read");
    }
    if (!name.ends_with(".safetensors")) continue;
    if (++count <= kMaxListed) found.push_back(name);
  }
  if (code) throw FileError("cannot read the folder: " + code.message());
  if (count == 0) throw FileError("is a folder without a .safetensors file");
  if (count > 1) {
    std::sort(found.begin(), found.end());
    std::string list;
    for (const std::string& name : found) list += (list.empty() ? "" : ", ") + in_quotes(name);
    throw FileError("is a folder with " + std::to_string(count) + " models, expected one; name one of " + list +
                    (count > kMaxListed ? ", ..." : ""));
  }
  return folder / found.front();
}

/// The positions of the tensors that the globs name.
std::vector<std::size_t> selected(const FileInfo& info, const std::vector<std::string>& globs) {
  for (const std::string& glob : globs) {
    const bool used = std::any_of(info.tensors.begin(), info.tensors.end(),
                                  [&](const TensorInfo& tensor) { return glob_match(glob, tensor.name); });
    require(used, [&] {
      std::vector<std::string_view> names;
      for (const TensorInfo& tensor : info.tensors) names.push_back(tensor.name);
      return "load: include " + in_quotes(glob) + " matches no tensor" + close_names(glob, names);
    });
  }
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < info.tensors.size(); ++i) {
    const auto matches = [&](const std::string& glob) { return glob_match(glob, info.tensors[i].name); };
    if (globs.empty() || std::any_of(globs.begin(), globs.end(), matches)) positions.push_back(i);
  }
  return positions;
}

DType checked_storage(const TensorInfo& tensor) {
  if (!tensor.storage) {
    throw FileError("tensor " + in_quotes(tensor.name) + " is " + tensor.dtype +
                    ", which is not stored here; leave it out with `include`");
  }
  return *tensor.storage;
}

/// Proves that the tensors can be loaded before the first is.
void check_selection(const FileInfo& info, const std::vector<std::size_t>& positions, std::uint64_t max_bytes) {
  std::uint64_t bytes = 0;
  for (const std::size_t i : positions) {
    checked_storage(info.tensors[i]);
    bytes += info.tensors[i].nbytes;  // at most the bytes of the file
  }
  if (bytes > max_bytes) {
    throw FileError("the tensors have " + std::to_string(bytes) +
                    " bytes, expected at most max_bytes = " + std::to_string(max_bytes));
  }
}

/// A byte that is neither 0 nor 1 is no bool: to read it as one would be undefined.
void check_booleans(const Tensor& tensor, const TensorInfo& info) {
  const auto* const bytes = static_cast<const unsigned char*>(tensor.data());
  const auto* const end = bytes + tensor.nbytes();
  const auto* const bad = std::find_if(bytes, end, [](unsigned char byte) { return byte > 1; });
  if (bad != end) {
    malformed(safetensors::kFormat, info.offset + static_cast<std::uint64_t>(bad - bytes),
              "tensor " + in_quotes(info.name) + ": a BOOL is " + std::to_string(*bad) + ", expected 0 or 1");
  }
}

}  // namespace
}  // namespace files

struct ModelFile::Impl {
  explicit Impl(const std::filesystem::path& path) : file(path) {}

  files::InputFile file;
  FileInfo info;
};

ModelFile::ModelFile(const std::filesystem::path& path, const LoadOptions& options) {
  std::error_code ignored;  // what cannot be looked at cannot be opened either, which says why
  const bool is_folder = std::filesystem::is_directory(path, ignored);
  const auto found = is_folder ? files::with_path(path, [&] { return files::only_model_in(path); }) : path;
  files::with_path(found, [&] {
    impl_ = std::make_unique<Impl>(found);
    files::check_content(impl_->file);
    impl_->info = files::safetensors::inspect(impl_->file, options);
    impl_->info.path = found;
    impl_->file.check_unchanged();
  });
}

ModelFile::ModelFile(ModelFile&&) noexcept = default;
ModelFile& ModelFile::operator=(ModelFile&&) noexcept = default;
ModelFile::~ModelFile() = default;

const FileInfo& ModelFile::info() const noexcept { return impl_->info; }

Tensor ModelFile::read(std::size_t position, const Device& device) const {
  require_usable(device);
  const FileInfo& info = impl_->info;
  require(position < info.tensors.size(), [&] {
    return "read: got tensor " + std::to_string(position) + ", expected less than " +
           std::to_string(info.tensors.size());
  });
  const TensorInfo& entry = info.tensors[position];
  return files::with_path(info.path, [&] {
    const DType dtype = files::checked_storage(entry);
    Tensor tensor = Tensor::empty(entry.shape, dtype, device.is_host() ? device : cpu_device);
    impl_->file.read(entry.offset, tensor.mutable_data(), entry.nbytes);
    impl_->file.check_unchanged();
    if (dtype == DType::boolean) files::check_booleans(tensor, entry);
    return tensor.to(device);
  });
}

FileInfo inspect_file(const std::filesystem::path& path, const LoadOptions& options) {
  return ModelFile(path, options).info();
}

StateDict load(const std::filesystem::path& path, const LoadOptions& options) {
  require_usable(options.device);
  const ModelFile model(path, options);
  const FileInfo& info = model.info();
  const auto positions = files::with_path(info.path, [&] {
    auto chosen = files::selected(info, options.include);
    files::check_selection(info, chosen, options.max_bytes);
    return chosen;
  });
  return files::with_memory(info.path, [&] {
    StateDict state;
    for (const std::size_t i : positions) state.insert(info.tensors[i].name, model.read(i, options.device));
    state.metadata() = info.metadata;
    return state;
  });
}

void save(const std::filesystem::path& path, const StateDict& state) {
  files::with_path(path, [&] {
    files::OutputFile file(path);
    files::safetensors::write(file, state);
    file.commit();
  });
}

}  // namespace sparsert
