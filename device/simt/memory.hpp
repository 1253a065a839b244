// device/simt/memory.hpp — the live memory of the simt device, so that its kernels' accesses can be checked for bounds.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparsert::simt {

/// The bytes a pointer may reach: [begin, end).
struct Bounds {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

/// Makes a block known. Blocks may overlap: a view wrapped inside a larger block has its own bounds.
void register_memory(const void* data, std::size_t bytes) noexcept;

/// Forgets a block of that start and size.
void unregister_memory(const void* data, std::size_t bytes) noexcept;

/// The bounds of the innermost known block that holds `data`; everything where none does; nothing for null.
Bounds bounds_of(const void* data) noexcept;

}  // namespace sparsert::simt
