// runtime/files/source.hpp — what a reader of a format reads from: bytes with a known end, and the folder around them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/files/io.hpp"
#include "sparsert/files.hpp"

namespace sparsert::files {

/// A file, a part of one, or memory (a member of an archive that had to be inflated). Copies share what they read.
class Bytes {
 public:
  /// `mapped`: `view` gives memory instead of nothing.
  explicit Bytes(std::shared_ptr<const InputFile> file, bool mapped = false)
      : file_(std::move(file)), size_(file_->size()), mapped_(mapped) {}
  explicit Bytes(std::vector<std::byte> memory)
      : memory_(std::make_shared<const std::vector<std::byte>>(std::move(memory))), size_(memory_->size()) {}

  std::uint64_t size() const noexcept { return size_; }
  /// The place of byte `offset` in the file, for messages.
  std::uint64_t place(std::uint64_t offset) const noexcept { return begin_ + offset; }

  /// Reads exactly `bytes` bytes. Throws `FileError` past the end, and where the file has been written meanwhile.
  void read(std::uint64_t offset, void* to, std::uint64_t bytes) const;

  /// The same into fresh memory, which is allocated only once the bytes are known to exist.
  std::vector<std::byte> read(std::uint64_t offset, std::uint64_t bytes) const;

  /// The same without a copy, valid for as long as the result is held; null where the file is not mapped.
  std::shared_ptr<const std::byte> view(std::uint64_t offset, std::uint64_t bytes) const;

  /// A part of them. Throws `FileError` past the end.
  Bytes part(std::uint64_t offset, std::uint64_t bytes) const;

 private:
  void check(std::uint64_t offset, std::uint64_t bytes) const;

  std::shared_ptr<const InputFile> file_;
  std::shared_ptr<const std::vector<std::byte>> memory_;
  std::uint64_t begin_ = 0;
  std::uint64_t size_ = 0;
  bool mapped_ = false;
};

/// A model file to be opened: its bytes, and where its other files would be.
struct Source {
  Bytes bytes;
  std::shared_ptr<const Root> root;  ///< other files of the model are opened through it, and through nothing else
  std::string name;                  ///< of this file beneath the root
  const LoadOptions* options;        ///< valid while the reader is made
  std::string select = {};           ///< which part of the file, where it holds several; "": the one that is the model
};

}  // namespace sparsert::files
