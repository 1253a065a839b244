// device/libraries.cpp — opening the CUDA toolkit's libraries at run time, to tell which are there.
#include <dlfcn.h>

#include <array>
#include <string>

#include "sparsert/device.hpp"

namespace sparsert::cuda {
namespace {

struct Candidate {
  const char* name;
  std::array<const char*, 3> files;  // newest first
  const char* version_query;         // int (int part, int* value): the parts are major, minor, patch
};

constexpr Candidate kCandidates[] = {
    {"cusparse", {"libcusparse.so.12", "libcusparse.so.11", "libcusparse.so"}, "cusparseGetProperty"},
    {"cublas", {"libcublas.so.13", "libcublas.so.12", "libcublas.so"}, "cublasGetProperty"},
};

std::string version_of(void* handle, const char* query) {
  using Query = int (*)(int part, int* value);
  const auto ask = reinterpret_cast<Query>(dlsym(handle, query));
  std::string version;
  for (int part = 0; part < 3; ++part) {
    int value = 0;
    if (ask == nullptr || ask(part, &value) != 0) return "unknown";
    if (part != 0) version += '.';
    version += std::to_string(value);
  }
  return version;
}

Library open_library(const Candidate& candidate) {
  Library library;
  library.name = candidate.name;
  if (!is_available()) return library;  // loading them takes a second, and nothing could use them
  for (const char* file : candidate.files) {
    // Never closed again: whoever uses the library gets this handle's reference.
    if (void* const handle = dlopen(file, RTLD_LAZY | RTLD_LOCAL)) {
      library.found = true;
      library.version = version_of(handle, candidate.version_query);
      break;
    }
  }
  return library;
}

}  // namespace

const std::vector<Library>& libraries() {
  static const auto* const all = [] {
    auto* found = new std::vector<Library>;
    for (const Candidate& candidate : kCandidates) found->push_back(open_library(candidate));
    return found;
  }();
  return *all;
}

}  // namespace sparsert::cuda
