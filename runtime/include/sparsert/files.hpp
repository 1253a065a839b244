// sparsert/files.hpp — model files: names to tensors, read safely.
#pragma once

#include <filesystem>
#include <map>
#include <string>
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
  std::string dtype;  ///< as the file spells it
  Shape shape;
  std::uint64_t offset = 0;  ///< of the data, from the start of the file
  std::uint64_t nbytes = 0;
};

struct FileInfo {
  std::string format;  ///< "safetensors"
  std::vector<TensorInfo> tensors;
  std::map<std::string, std::string> metadata;
};

/// Limits that a file has to keep to.
struct LoadOptions {
  Device device = cpu_device;
  std::vector<std::string> include;  ///< globs (* and ?) of names; empty: all
  std::uint64_t max_tensors = 1'000'000;
  std::uint64_t max_header_bytes = 100'000'000;
};

/// Reads names, types, shapes and places only. Throws `FileError` with format, offset and reason.
FileInfo inspect_file(const std::filesystem::path& path, const LoadOptions& options = {});

/// Reads a model file. Nothing in it is executed; any bytes give a model or `FileError`.
StateDict load(const std::filesystem::path& path, const LoadOptions& options = {});

/// Writes safetensors: to a temporary file beside `path`, renamed when complete. Throws `FileError`.
void save(const std::filesystem::path& path, const StateDict& state);

}  // namespace sparsert
