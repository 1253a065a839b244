// runtime/files/format.hpp — what a reader of a model format is, and the table of all of them.
//
// A new format is one file `runtime/files/<format>.cpp` with a class derived from `Reader`, a function that looks
// whether content is of the format, one that opens it, and one row in the table of formats.cpp.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "runtime/files/source.hpp"
#include "sparsert/files.hpp"

namespace sparsert::files {

/// An opened model. `info` is complete and proven when the constructor returns; tensors are read when asked for.
class Reader {
 public:
  virtual ~Reader() = default;

  FileInfo info;
  bool used_selection = false;  ///< `Source::select` named a part of the file

  /// Tensor `position` in host memory, where `info` says that it is dense and has a storage type. Throws `FileError`.
  virtual Tensor read(std::size_t position) const = 0;

  /// The same where `info` says that it is sparse.
  virtual SparseTensor read_sparse(std::size_t position) const;
};

/// A format: its name as in messages and `FileInfo`, how to know it, how to open it.
struct Format {
  const char* name;
  /// True where the content is of this format. Reads little; may throw `FileError` for a broken container.
  bool (*sniff)(const Source& source);
  /// Throws `FileError`.
  std::unique_ptr<Reader> (*open)(const Source& source);
};

/// All formats, those with an unmistakable beginning first.
std::span<const Format> formats() noexcept;

/// Opens a file with the reader that its content asks for. Throws `FileError`, also where no format fits.
std::unique_ptr<Reader> open_source(const Source& source);

/// Throws `FileError` unless the names are UTF-8 and none is there twice.
void check_names(const FileInfo& info);

/// True where the content begins with `magic`.
bool begins_with(const Bytes& bytes, std::string_view magic, std::uint64_t offset = 0);

}  // namespace sparsert::files
