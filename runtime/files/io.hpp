// runtime/files/io.hpp — opening, reading and writing files so that surprises become FileError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace sparsert::files {

/// A file descriptor, closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  int get() const noexcept { return fd_; }
  /// Gives it up: somebody else closes it.
  void release() noexcept { fd_ = -1; }
  /// Closes now; false where the system reports an error of an earlier write.
  bool close() noexcept;

 private:
  int fd_;
};

/// A regular file, open for reading. Its size is taken once. Its bytes are copied, so that a file which shrinks under
/// us is an error and not a signal, unless somebody asks for a mapping.
class InputFile {
 public:
  /// Throws `FileError`; a pipe, socket, device or folder is refused without waiting for it.
  explicit InputFile(const std::filesystem::path& path);
  /// Of a file that is open already; the same checks.
  explicit InputFile(Descriptor fd);

  std::uint64_t size() const noexcept { return identity_.size; }

  /// Reads exactly `bytes` bytes. Throws `FileError` where the file is shorter by now.
  void read(std::uint64_t offset, void* to, std::uint64_t bytes) const;

  /// The whole file as memory, mapped at the first call, until the last owner of the result goes. Throws `FileError`.
  std::shared_ptr<const std::byte> mapping() const;

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
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const std::byte> mapping_;
};

/// The folder that the files of a model lie beneath. Nothing outside it is opened, whatever a name or a symbolic link
/// says: names are walked part by part, each opened without following links, and a link is followed by walking what it
/// says from the same place. An absolute name or link, and a `..` that leaves the folder, are errors.
class Root {
 public:
  /// Throws `FileError`.
  explicit Root(std::filesystem::path folder);

  /// The root for a model file: its folder, or the `models--*` folder of a hub cache that it lies in. `name` becomes
  /// the file's name beneath it.
  static std::shared_ptr<const Root> of_file(const std::filesystem::path& path, std::string* name);

  const std::filesystem::path& path() const noexcept { return path_; }

  /// Opens the file `name` beneath the root. Throws `FileError`, with the name.
  std::shared_ptr<const InputFile> open(std::string_view name) const;

  /// What `name` is: a folder, a file or nothing that can be reached. Never throws for a missing file.
  enum class Kind { missing, file, folder };
  Kind kind(std::string_view name) const;

  /// The names in the folder `name` ("" is the root), sorted. Throws `FileError`, also for more than 100,000.
  std::vector<std::string> list(std::string_view name = {}) const;

 private:
  Descriptor walk(std::string_view name, int flags) const;

  std::filesystem::path path_;
  Descriptor fd_;
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
