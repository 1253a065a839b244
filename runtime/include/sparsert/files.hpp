// sparsert/files.hpp — model files: names to tensors, read safely.
//
// Nothing in a model file is executed, and any bytes give a model or `FileError`, whose message reads
// `path: format, offset: what was got, what was expected`. docs/files.md has the rules of each format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sparsert/tensor.hpp"

namespace sparsert {

/// Names to tensors, in the file's order, with the file's metadata.
class StateDict {
 public:
  using Entry = std::pair<std::string, Tensor>;

  /// Throws `Error{invalid_argument}` for a name that is there already.
  void insert(std::string name, Tensor tensor);
  bool contains(const std::string& name) const;
  /// Throws `Error{invalid_argument}` that lists close names.
  const Tensor& at(const std::string& name) const;
  const std::vector<Entry>& entries() const noexcept { return entries_; }
  std::size_t size() const noexcept { return entries_.size(); }
  std::int64_t nbytes() const noexcept;

  std::map<std::string, std::string>& metadata() noexcept { return metadata_; }
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }

  StateDict to(const Device& device, const Stream& stream = {}) const;

 private:
  std::vector<Entry> entries_;
  std::map<std::string, std::size_t> positions_;
  std::map<std::string, std::string> metadata_;
};

/// What a file says of one tensor, without reading its data.
struct TensorInfo {
  std::string name;
  std::string dtype;             ///< as the file spells it
  std::optional<DType> storage;  ///< what it loads as; none: it is listed, and refused by `load`
  Shape shape;
  std::uint64_t offset = 0;  ///< of the data, from the start of the file
  std::uint64_t nbytes = 0;
};

struct FileInfo {
  std::filesystem::path path;  ///< of the file itself, where a folder was named
  std::string format;          ///< "safetensors"
  std::vector<TensorInfo> tensors;
  std::map<std::string, std::string> metadata;
};

/// Limits that a file has to keep to.
struct LoadOptions {
  Device device = cpu_device;
  std::vector<std::string> include;  ///< globs of the names to load (see `glob_match`); empty: all
  std::uint64_t max_tensors = 1'000'000;
  std::uint64_t max_header_bytes = 100'000'000;
  std::uint64_t max_bytes = std::uint64_t{16} << 30;  ///< of the tensors that are loaded
};

/// An open model file: its table of contents is read and checked, its tensors are read when asked for.
class ModelFile {
 public:
  /// Takes a model file, or a folder that holds exactly one. Throws `FileError`.
  explicit ModelFile(const std::filesystem::path& path, const LoadOptions& options = {});
  ModelFile(ModelFile&&) noexcept;
  ModelFile& operator=(ModelFile&&) noexcept;
  ~ModelFile();

  const FileInfo& info() const noexcept;

  /// Reads the tensor `info().tensors.at(position)`. Throws `FileError` where it is of a dtype that is not stored
  /// here, or where the file has changed since it was opened.
  Tensor read(std::size_t position, const Device& device = cpu_device) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Reads names, types, shapes and places only. Throws `FileError` with format, offset and reason.
FileInfo inspect_file(const std::filesystem::path& path, const LoadOptions& options = {});

/// Reads a model file, or the one that a folder holds. Throws `FileError`; `Error{invalid_argument}` for a glob that
/// matches no tensor, with close names.
StateDict load(const std::filesystem::path& path, const LoadOptions& options = {});

/// Writes safetensors: to a temporary file beside `path`, renamed when complete. Throws `FileError`;
/// `Error{invalid_argument}` for names, metadata or shapes that the format cannot hold.
void save(const std::filesystem::path& path, const StateDict& state);

/// True where a glob matches the whole of `name`: * stands for any characters, dots and slashes too, ? for one.
bool glob_match(std::string_view pattern, std::string_view name) noexcept;

}  // namespace sparsert
