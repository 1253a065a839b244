// runtime/files/io.cpp — opening, reading and writing files so that surprises become FileError.
#include "runtime/files/io.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <random>
#include <system_error>
#include <utility>

#include "sparsert/error.hpp"

namespace sparsert::files {
namespace {

// Linux moves at most 2 GiB a call.
constexpr std::uint64_t kMaxTransfer = std::uint64_t{1} << 30;

[[noreturn]] void system_error(const std::string& action, SourceLocation where = SourceLocation::current()) {
  const int code = errno;
  throw FileError("cannot " + action + ": " + std::generic_category().message(code), where);
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "not a regular file";
}

std::string temporary_name() {
  std::random_device random;
  char name[48];
  std::snprintf(name, sizeof(name), ".sparsert-%08x%08x.tmp", random(), random());
  return name;
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Descriptor::~Descriptor() { close(); }

bool Descriptor::close() noexcept {
  const int fd = std::exchange(fd_, -1);
  return fd < 0 || ::close(fd) == 0;
}

// O_NONBLOCK: opening a pipe that nobody writes to must not wait. It has no effect on regular files.
InputFile::InputFile(const std::filesystem::path& path)
    : InputFile(Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY))) {}

InputFile::InputFile(Descriptor fd) : fd_(std::move(fd)) {
  if (fd_.get() < 0) system_error("open");
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) system_error("read the status");
  if (!S_ISREG(status.st_mode))
    throw FileError(std::string("is ") + kind_of(status.st_mode) + ", expected a regular file");
  identity_ = identify();
  // Only a hint: a failure changes nothing.
  static_cast<void>(::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL));
}

InputFile::Identity InputFile::identify() const {
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) system_error("read the status");
  return {static_cast<std::uint64_t>(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

void InputFile::read(std::uint64_t offset, void* to, std::uint64_t bytes) const {
  auto* out = static_cast<std::byte*>(to);
  while (bytes != 0) {
    const ssize_t got =
        ::pread(fd_.get(), out, static_cast<std::size_t>(std::min(bytes, kMaxTransfer)), static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      system_error("read at offset " + std::to_string(offset));
    }
    if (got == 0) {
      throw FileError("ends at offset " + std::to_string(offset) + ", expected " + std::to_string(bytes) +
                      " more bytes: it was truncated while being read");
    }
    out += got;
    offset += static_cast<std::uint64_t>(got);
    bytes -= static_cast<std::uint64_t>(got);
  }
}

std::shared_ptr<const std::byte> InputFile::mapping() const {
  const std::lock_guard lock(mutex_);
  if (mapping_ == nullptr && size() != 0) {
    const auto bytes = static_cast<std::size_t>(size());
    void* const memory = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd_.get(), 0);
    if (memory == MAP_FAILED) system_error("map");
    mapping_ = {static_cast<const std::byte*>(memory),
                [memory, bytes](const std::byte*) { static_cast<void>(::munmap(memory, bytes)); }};
  }
  return mapping_;
}

void InputFile::check_unchanged() const {
  if (identify() != identity_) throw FileError("changed while being read");
}

OutputFile::OutputFile(const std::filesystem::path& path) : path_(path), folder_(path.parent_path()) {
  if (path.filename().empty()) throw FileError("cannot write: the path names no file");
  if (folder_.empty()) folder_ = ".";
  struct stat status {};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (exists && !S_ISREG(status.st_mode)) {
    throw FileError(std::string("is ") + kind_of(status.st_mode) + ", expected a regular file to replace");
  }
  // A rename would replace a symbolic link; what is meant is the file behind it.
  if (exists) {
    std::error_code code;
    path_ = std::filesystem::canonical(path, code);
    if (code) throw FileError("cannot resolve: " + code.message());
    folder_ = path_.parent_path();
  }
  do {
    temporary_ = folder_ / temporary_name();
    fd_ = Descriptor(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  } while (fd_.get() < 0 && errno == EEXIST);
  if (fd_.get() < 0) {
    temporary_.clear();
    system_error("create a file in its folder");
  }
  // A file that is replaced keeps its permissions, as if it had been written in place.
  if (exists && ::fchmod(fd_.get(), status.st_mode & 0777) != 0) {
    static_cast<void>(::unlink(temporary_.c_str()));
    system_error("set the permissions");
  }
}

OutputFile::~OutputFile() {
  if (!temporary_.empty()) static_cast<void>(::unlink(temporary_.c_str()));
}

void OutputFile::write(const void* from, std::uint64_t bytes) {
  const auto* data = static_cast<const std::byte*>(from);
  while (bytes != 0) {
    const ssize_t put = ::write(fd_.get(), data, static_cast<std::size_t>(std::min(bytes, kMaxTransfer)));
    if (put < 0) {
      if (errno == EINTR) continue;
      system_error("write");
    }
    data += put;
    bytes -= static_cast<std::uint64_t>(put);
  }
}

void OutputFile::commit() {
  if (::fsync(fd_.get()) != 0) system_error("write to the disk");
  if (!fd_.close()) system_error("close");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) system_error("rename the finished file");
  temporary_.clear();
  // Makes the new name durable. Some file systems cannot synchronize a folder; the data is safe by now.
  const Descriptor folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) static_cast<void>(::fsync(folder.get()));
}

}  // namespace sparsert::files
