// runtime/files/io.hpp — opening, reading and writing files so that surprises become FileError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace sparsert::files {

/// A file descriptor, closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  int get() const noexcept { return fd_; }
  /// Closes now; false where the system reports an error of an earlier write.
  bool close() noexcept;

 private:
  int fd_;
};

/// A regular file, open for reading. Its size is taken once; memory is never mapped, so that a file which shrinks
/// under us is an error and not a signal.
class InputFile {
 public:
  /// Throws `FileError`; a pipe, socket, device or folder is refused without waiting for it.
  explicit InputFile(const std::filesystem::path& path);

  std::uint64_t size() const noexcept { return identity_.size; }

  /// Reads exactly `bytes` bytes. Throws `FileError` where the file is shorter by now.
  void read(std::uint64_t offset, void* to, std::uint64_t bytes) const;

  /// Throws `FileError` where the file has been written since it was opened.
  void check_unchanged() const;

 private:
  struct Identity {
    std::uint64_t size = 0;
    std::int64_t seconds = 0;
    std::int64_t nanoseconds = 0;
    friend bool operator==(const Identity&, const Identity&) = default;
  };
  Identity identify() const;

  Descriptor fd_;
  Identity identity_;
};

/// A file that appears under its name only when it is complete: written beside it, synchronized, renamed.
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  /// Without `commit` the temporary file is removed, and nothing else has changed.
  ~OutputFile();

  void write(const void* from, std::uint64_t bytes);
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path folder_;
  std::filesystem::path temporary_;
  Descriptor fd_;
};

}  // namespace sparsert::files
