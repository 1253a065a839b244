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
#include <variant>
#include <vector>

#include "sparsert/sparse.hpp"
#include "sparsert/tensor.hpp"

namespace sparsert {

/// A tensor that a file holds sparse. The matrix has the tensor's first dimension as rows and all others, row-major,
/// as columns; a vector is one row.
struct SparseTensor {
  std::variant<Csr, Coo> matrix;
  Shape shape;

  std::int64_t nnz() const noexcept;
  std::int64_t nbytes() const noexcept;
  DType dtype() const noexcept;
  SparseTensor to(const Device& device, const Stream& stream = {}) const;
  Tensor to_dense(const Stream& stream = {}) const;  ///< of the tensor's own shape
};

/// Names to tensors, in the file's order, with the file's metadata. What the file holds sparse stays sparse and is kept
/// apart; a name is in one of the two.
class StateDict {
 public:
  using Entry = std::pair<std::string, Tensor>;
  using SparseEntry = std::pair<std::string, SparseTensor>;

  /// Throws `Error{invalid_argument}` for a name that is there already.
  void insert(std::string name, Tensor tensor);
  void insert(std::string name, SparseTensor tensor);
  bool contains(const std::string& name) const;
  bool is_sparse(const std::string& name) const;
  /// Throws `Error{invalid_argument}` that lists close names, or says that the tensor is sparse.
  const Tensor& at(const std::string& name) const;
  /// Throws `Error{invalid_argument}` that lists close names, or says that the tensor is dense.
  const SparseTensor& sparse_at(const std::string& name) const;
  const std::vector<Entry>& entries() const noexcept { return entries_; }
  const std::vector<SparseEntry>& sparse_entries() const noexcept { return sparse_entries_; }
  std::size_t size() const noexcept { return entries_.size() + sparse_entries_.size(); }
  std::int64_t nbytes() const noexcept;

  std::map<std::string, std::string>& metadata() noexcept { return metadata_; }
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }

  StateDict to(const Device& device, const Stream& stream = {}) const;

 private:
  struct Position {
    bool sparse;
    std::size_t index;
  };
  Position find(const std::string& name) const;

  std::vector<Entry> entries_;
  std::vector<SparseEntry> sparse_entries_;
  std::map<std::string, Position> positions_;
  std::map<std::string, std::string> metadata_;
};

/// How a file holds a tensor.
enum class Layout : std::uint8_t { dense, coo, csr };

/// Quantized integers: the real value is scale · (stored value - zero point), with one pair for the whole tensor or
/// one for each index of dimension `axis`.
struct Quantization {
  std::vector<float> scales;
  std::vector<std::int64_t> zero_points;  ///< as many as scales, or none where all are 0
  int axis = 0;
};

/// What a file says of one tensor, without reading its data.
struct TensorInfo {
  std::string name;
  std::string dtype;             ///< as the file spells it
  std::optional<DType> storage;  ///< what it loads as; none: it is listed, and refused by `load`
  Shape shape;
  std::uint64_t offset = 0;  ///< of the data, from the start of its file
  std::uint64_t nbytes = 0;  ///< in the file
  Layout layout = Layout::dense;
  std::int64_t nnz = 0;   ///< entries of a sparse tensor
  std::string file;       ///< beneath the model's folder, where the model has more than one
  std::string tied_to;    ///< an earlier tensor that is the same memory; `load` shares it
  std::string refusal;    ///< why it is not loaded, where there is no storage and the dtype is not the reason
  std::string_view axes;  ///< order of a weight's dimensions where the format says so: "HWIO", "IO"; else empty
  std::shared_ptr<const Quantization> quantization;  ///< null: not quantized
};

struct FileInfo {
  std::filesystem::path path;  ///< of the file itself, where a folder was named
  std::string format;          ///< "safetensors", "torch", "npz", ...
  std::vector<TensorInfo> tensors;
  std::map<std::string, std::string> metadata;
};

/// What to load and how, and the limits that a file has to keep to.
struct LoadOptions {
  Device device = cpu_device;
  std::vector<std::string> include;           ///< globs of the names to load (see `glob_match`); empty: all
  std::vector<std::string> exclude;           ///< globs of the names to leave out
  std::map<std::string, std::string> rename;  ///< new names by the file's; each key must be loaded
  std::string select;         ///< which model, where a folder holds several: a file or folder in it, or a glob
  bool dequantize = false;    ///< quantized integers as float32
  bool torch_layout = false;  ///< weights whose `axes` are known in PyTorch's order: (out, in), OIHW
  /// Tensors on the CPU are read-only views of the mapped file, without a copy, where the file has them as they are:
  /// dense, aligned, of the same type, not compressed. A file that is cut short while views are in use raises SIGBUS,
  /// and one that is written changes them: for files that nobody writes.
  bool mmap = false;
  bool strict = false;  ///< refuse files that hold anything besides tensors and plain values
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

  /// The same for a tensor whose `layout` is not dense.
  SparseTensor read_sparse(std::size_t position, const Device& device = cpu_device) const;

 private:
  friend StateDict load(const std::filesystem::path& path, const LoadOptions& options);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Reads names, types, shapes and places only. Throws `FileError` with format, offset and reason.
FileInfo inspect_file(const std::filesystem::path& path, const LoadOptions& options = {});

/// Reads a model file, or the one that a folder holds. Throws `FileError`; `Error{invalid_argument}` for a glob that
/// matches no tensor, with close names.
StateDict load(const std::filesystem::path& path, const LoadOptions& options = {});

struct SaveOptions {
  /// Tensors of at most this many bytes to a file, and an index beside the files; 0: one file. For safetensors.
  std::uint64_t max_shard_bytes = 0;
};

/// Writes safetensors, or a NumPy archive (without metadata) where the name ends in .npz: to a temporary file beside
/// `path`, renamed when complete. Throws `FileError`; `Error{invalid_argument}` for names, metadata, shapes or sparse
/// tensors that the format cannot hold.
void save(const std::filesystem::path& path, const StateDict& state, const SaveOptions& options = {});

/// True where a glob matches the whole of `name`: * stands for any characters, dots and slashes too, ? for one.
bool glob_match(std::string_view pattern, std::string_view name) noexcept;

}  // namespace sparsert
