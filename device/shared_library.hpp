// device/shared_library.hpp — a shared library opened at run time, and the functions found in it.
#pragma once

#include <span>
#include <string>

namespace sparsert {

/// Never closed again: a library may keep threads and handles of its own.
class SharedLibrary {
 public:
  /// Nothing opened.
  SharedLibrary() = default;

  /// The first of `files` that the loader finds; else nothing.
  static SharedLibrary open(std::span<const char* const> files);

  explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// The name it was found under.
  const std::string& file() const noexcept { return file_; }

  /// A function, or null where the library lacks it.
  template <class Function>
  Function* get(const char* name) const {
    return reinterpret_cast<Function*>(address_of(name));
  }

 private:
  void* address_of(const char* name) const;

  void* handle_ = nullptr;
  std::string file_;
};

}  // namespace sparsert
