// bench/peers/library.hpp — a shared library opened at run time.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sparsert::bench {

/// An open library. It stays open: peers keep threads and handlers of their own.
class Library {
 public:
  /// Opens `path`; libraries it needs and the linker does not find are looked for beside it.
  static std::optional<Library> open(const std::string& path);

  const std::string& path() const noexcept { return path_; }

  /// The function of that name, or null.
  template <class Function>
  Function* get(const char* name) const {
    return reinterpret_cast<Function*>(address(name));
  }

 private:
  Library(void* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  void* address(const char* name) const;

  void* handle_;
  std::string path_;
};

/// Every file below `paths` whose name starts with one of `stems`, one per real file; then each stem itself, for the
/// dynamic linker to find.
std::vector<std::string> candidates(const std::vector<std::string>& paths, const std::vector<std::string>& stems);

/// Sets the threads of whatever OpenMP library a peer has pulled in.
void set_openmp_threads(int threads);

}  // namespace sparsert::bench
