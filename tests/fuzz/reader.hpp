// tests/fuzz/reader.hpp — what the fuzz targets of the readers share: a file in memory, and reading all of a model.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "sparsert/files.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace sparsert::fuzz {

/// A file in memory that has a path.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("fuzz", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(fd_)) {
    if (fd_ < 0) std::abort();
  }

  void set(const std::uint8_t* data, std::size_t size) {
    if (ftruncate(fd_, 0) != 0 || pwrite(fd_, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  }
  const std::string& path() const { return path_; }

 private:
  int fd_;
  std::string path_;
};

/// A folder for as long as the process runs.
class Folder {
 public:
  Folder() {
    std::string name =
        std::filesystem::exists("/dev/shm") ? "/dev/shm/sparsert-fuzz-XXXXXX" : "/tmp/sparsert-fuzz-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }

  /// Writes the file `name` anew; its path.
  std::string set(const char* name, const std::uint8_t* data, std::size_t size) const {
    std::ofstream file(path_ / name, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

/// True for content of a format with a magic number in front, which another target looks after.
inline bool is_of_another_format(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  return text.starts_with("PK") || text.starts_with("\x89HDF") || text.substr(0, 8).ends_with("TFL3");
}

/// Opens a model and reads every tensor of up to a MiB. Any bytes give a model or FileError; a tensor that is listed
/// has the shape and the type that are listed, and every index of a sparse one is in range.
inline void read_all(const std::string& path) {
  constexpr std::uint64_t kMaxRead = std::uint64_t{1} << 20;
  try {
    const ModelFile model(path);
    for (std::size_t i = 0; i < model.info().tensors.size(); ++i) {
      const TensorInfo& tensor = model.info().tensors[i];
      if (!tensor.storage || tensor.nbytes > kMaxRead) continue;
      try {
        if (tensor.layout == Layout::dense) {
          const Tensor read = model.read(i);
          if (read.shape() != tensor.shape || read.dtype() != *tensor.storage) std::abort();
          continue;
        }
        const SparseTensor read = model.read_sparse(i);
        if (read.shape != tensor.shape || read.nnz() != tensor.nnz || read.dtype() != *tensor.storage) std::abort();
        const auto check = [](const Tensor& indices, std::int64_t limit) {
          for (const std::int64_t index : indices.span<std::int64_t>()) {
            if (index < 0 || index >= limit) std::abort();
          }
        };
        if (const Coo* const coo = std::get_if<Coo>(&read.matrix)) {
          check(coo->rows(), coo->shape()[0]);
          check(coo->columns(), coo->shape()[1]);
        } else {
          const Csr& csr = std::get<Csr>(read.matrix);
          check(csr.columns(), csr.cols());
          const auto offsets = csr.row_offsets().span<std::int64_t>();
          if (!std::is_sorted(offsets.begin(), offsets.end()) || offsets.back() != csr.nnz()) std::abort();
        }
      } catch (const FileError&) {
      }
    }
  } catch (const FileError&) {
  }
}

}  // namespace sparsert::fuzz
