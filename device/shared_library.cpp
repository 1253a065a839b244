// device/shared_library.cpp — dlopen and dlsym.
#include "device/shared_library.hpp"

#include <dlfcn.h>

namespace sparsert {

SharedLibrary SharedLibrary::open(std::span<const char* const> files) {
  SharedLibrary library;
  for (const char* const file : files) {
    library.handle_ = dlopen(file, RTLD_LAZY | RTLD_LOCAL);
    if (library.handle_ == nullptr) continue;
    library.file_ = file;
    break;
  }
  return library;
}

void* SharedLibrary::address_of(const char* name) const { return handle_ != nullptr ? dlsym(handle_, name) : nullptr; }

}  // namespace sparsert
