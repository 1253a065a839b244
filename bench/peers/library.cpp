// bench/peers/library.cpp — dlopen, with the neighbours that a library needs.
#include "bench/peers/library.hpp"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <filesystem>
#include <set>

namespace sparsert::bench {
namespace {

namespace fs = std::filesystem;

// The library that dlerror says is missing, or nothing. The loader's words are "name: cannot open shared object file".
std::string missing_library(const std::string& error) {
  const std::size_t end = error.find(": cannot open shared object file");
  return end == std::string::npos ? std::string() : error.substr(0, end);
}

// A library found beside another must stay visible to it: RTLD_GLOBAL is not needed, the name alone is matched.
void* open_with_neighbours(const std::string& path, int depth) {
  constexpr int kMaxMissing = 16;
  for (int attempt = 0; attempt < kMaxMissing; ++attempt) {
    void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle != nullptr) return handle;
    const char* const error = dlerror();
    const std::string missing = missing_library(error == nullptr ? "" : error);
    const fs::path neighbour = fs::path(path).parent_path() / missing;
    if (missing.empty() || depth == 0 || !fs::path(path).has_parent_path() || missing.find('/') != std::string::npos ||
        !fs::exists(neighbour) || open_with_neighbours(neighbour.string(), depth - 1) == nullptr) {
      return nullptr;
    }
  }
  return nullptr;
}

std::string real_path(void* handle, const std::string& otherwise) {
  link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr || map->l_name[0] == '\0') return otherwise;
  std::error_code error;
  const fs::path path = fs::canonical(map->l_name, error);
  return error ? std::string(map->l_name) : path.string();
}

}  // namespace

std::optional<Library> Library::open(const std::string& path) {
  constexpr int kMaxDepth = 4;
  void* const handle = open_with_neighbours(path, kMaxDepth);
  if (handle == nullptr) return std::nullopt;
  return Library(handle, real_path(handle, path));
}

void* Library::address(const char* name) const { return dlsym(handle_, name); }

std::vector<std::string> candidates(const std::vector<std::string>& paths, const std::vector<std::string>& stems) {
  std::vector<std::string> found;
  std::set<fs::path> seen;
  for (const std::string& folder : paths) {
    std::error_code error;
    std::vector<fs::path> files;
    const auto options = fs::directory_options::skip_permission_denied;
    for (const auto& entry : fs::recursive_directory_iterator(folder, options, error)) {
      const std::string name = entry.path().filename().string();
      const bool wanted = std::ranges::any_of(stems, [&](const std::string& stem) { return name.starts_with(stem); });
      if (wanted && name.find(".so") != std::string::npos && !name.ends_with(".py")) files.push_back(entry.path());
    }
    std::ranges::sort(files);
    for (const fs::path& file : files) {
      if (seen.insert(fs::canonical(file, error)).second) found.push_back(file.string());
    }
  }
  found.insert(found.end(), stems.begin(), stems.end());
  return found;
}

void set_openmp_threads(int threads) {
  for (const char* const name : {"libgomp.so.1", "libiomp5.so", "libomp.so.5"}) {
    void* const handle = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == nullptr) continue;
    if (auto* const set = reinterpret_cast<void (*)(int)>(dlsym(handle, "omp_set_num_threads"))) set(threads);
    dlclose(handle);
  }
}

}  // namespace sparsert::bench
