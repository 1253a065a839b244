// device/simt/memory.cpp — the registry of live blocks.
#include "device/simt/memory.hpp"

#include <iterator>
#include <limits>
#include <map>
#include <mutex>

namespace sparsert::simt {
namespace {

struct Registry {
  std::mutex mutex;
  std::multimap<std::uintptr_t, std::uintptr_t> blocks;  // start -> end
};

// Leaked on purpose: late buffers still find it.
Registry& registry() {
  static auto* const instance = new Registry;
  return *instance;
}

}  // namespace

void register_memory(const void* data, std::size_t bytes) noexcept {
  if (data == nullptr || bytes == 0) return;
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  try {
    all.blocks.emplace(begin, begin + bytes);
  } catch (...) {
    // Out of memory: the block goes unchecked.
  }
}

void unregister_memory(const void* data, std::size_t bytes) noexcept {
  if (data == nullptr || bytes == 0) return;
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  const auto [first, last] = all.blocks.equal_range(begin);
  for (auto it = first; it != last; ++it) {
    if (it->second == begin + bytes) {
      all.blocks.erase(it);
      return;
    }
  }
}

Bounds bounds_of(const void* data) noexcept {
  if (data == nullptr) return {};
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  for (auto it = all.blocks.upper_bound(address); it != all.blocks.begin();) {
    --it;
    if (address < it->second) return {it->first, it->second};
    // One past the end of a block, and in no other: the end of an array, from which nothing can be reached.
    if (address == it->second) return {it->first, it->second};
  }
  return {0, std::numeric_limits<std::uintptr_t>::max()};
}

}  // namespace sparsert::simt
