// runtime/files/root.cpp — opening files beneath a folder, and nowhere else.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <system_error>
#include <utility>

#include "runtime/files/io.hpp"
#include "runtime/files/names.hpp"
#include "sparsert/error.hpp"

namespace sparsert::files {
namespace {

constexpr int kMaxLinks = 40;  // followed on the way to one file, as in the kernel
constexpr std::size_t kMaxParts = 4096;
constexpr std::size_t kMaxListed = 100'000;
constexpr std::string_view kHubFolder = "models--";  // of a hub cache: blobs/, refs/ and snapshots/ lie in it

[[noreturn]] void refuse(std::string_view name, const std::string& reason,
                         SourceLocation where = SourceLocation::current()) {
  throw FileError("cannot open " + in_quotes(name) + ": " + reason, where);
}

[[noreturn]] void refuse(std::string_view name, int code, SourceLocation where = SourceLocation::current()) {
  refuse(name, std::generic_category().message(code), where);
}

/// Puts the parts of `path` on top of `parts`, the first one last.
void push_parts(std::string_view path, std::vector<std::string>& parts) {
  while (!path.empty()) {
    const std::size_t slash = path.rfind('/');
    const std::string_view part = path.substr(slash == path.npos ? 0 : slash + 1);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    path = slash == path.npos ? std::string_view() : path.substr(0, slash);
  }
}

}  // namespace

Root::Root(std::filesystem::path folder)
    : path_(std::move(folder)), fd_(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (fd_.get() < 0) throw FileError("cannot open the folder: " + std::generic_category().message(errno));
}

std::shared_ptr<const Root> Root::of_file(const std::filesystem::path& path, std::string* name) {
  std::filesystem::path folder = path.parent_path();
  std::filesystem::path below = path.filename();
  for (std::filesystem::path up = folder, rest = below; !up.filename().empty(); up = up.parent_path()) {
    if (up.filename().string().starts_with(kHubFolder)) {
      folder = up;
      below = rest;
      break;
    }
    rest = up.filename() / rest;
  }
  *name = below.string();
  return std::make_shared<const Root>(folder.empty() ? "." : folder);
}

// The folders walked through stay open on a stack, so that ".." means the one we came from even if somebody moves it.
Descriptor Root::walk(std::string_view name, int flags) const {
  if (name.starts_with('/')) refuse(name, "an absolute name leaves the folder of the model");
  if (name.find('\0') != name.npos) refuse(name, "the name has a zero byte");
  std::vector<std::string> parts;
  push_parts(name, parts);
  std::vector<Descriptor> stack;
  const auto top = [&] { return stack.empty() ? fd_.get() : stack.back().get(); };
  int links = 0;
  for (std::size_t steps = 0; !parts.empty(); ++steps) {
    if (steps > kMaxParts || parts.size() > kMaxParts) refuse(name, "the name has too many parts");
    const std::string part = std::move(parts.back());
    parts.pop_back();
    if (part == "..") {
      if (stack.empty()) refuse(name, "it leaves the folder of the model");
      stack.pop_back();
      continue;
    }
    std::array<char, PATH_MAX> target;
    const ssize_t length = ::readlinkat(top(), part.c_str(), target.data(), target.size());
    if (length >= 0) {
      const std::string_view link(target.data(), static_cast<std::size_t>(length));
      if (++links > kMaxLinks) refuse(name, "too many symbolic links");
      if (link.starts_with('/')) refuse(name, "a symbolic link leaves the folder of the model");
      push_parts(link, parts);
      continue;
    }
    const int how = parts.empty() ? flags : O_PATH | O_DIRECTORY;
    Descriptor next(::openat(top(), part.c_str(), how | O_NOFOLLOW | O_CLOEXEC));
    if (next.get() < 0) refuse(name, errno);
    stack.push_back(std::move(next));
  }
  if (!stack.empty()) return std::move(stack.back());
  Descriptor self(::openat(fd_.get(), ".", flags | O_CLOEXEC));
  if (self.get() < 0) refuse(name, errno);
  return self;
}

std::shared_ptr<const InputFile> Root::open(std::string_view name) const {
  Descriptor fd = walk(name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  try {
    return std::make_shared<const InputFile>(std::move(fd));
  } catch (const FileError& error) {
    throw FileError(in_quotes(name) + " " + error.what(), error.where());
  }
}

Root::Kind Root::kind(std::string_view name) const {
  try {
    const Descriptor fd = walk(name, O_PATH);
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) return Kind::missing;
    return S_ISDIR(status.st_mode) ? Kind::folder : Kind::file;
  } catch (const FileError&) {
    return Kind::missing;
  }
}

std::vector<std::string> Root::list(std::string_view name) const {
  Descriptor fd = walk(name, O_RDONLY | O_DIRECTORY);
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::fdopendir(fd.get()), &::closedir);
  if (folder == nullptr) refuse(name, errno);
  fd.release();
  std::vector<std::string> names;
  while (const dirent* const entry = ::readdir(folder.get())) {
    const std::string_view found = entry->d_name;
    if (found == "." || found == "..") continue;
    if (names.size() == kMaxListed) {
      throw FileError("the folder " + in_quotes(name) + " has more than " + std::to_string(kMaxListed) + " entries");
    }
    names.emplace_back(found);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace sparsert::files
