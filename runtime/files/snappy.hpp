// runtime/files/snappy.hpp — blocks compressed by snappy, as tables of TensorFlow may have them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sparsert::files {

/// The uncompressed bytes. Throws `FileError` "format, offset: ...", where `offset` is the block's place in its file.
std::vector<std::byte> snappy_uncompress(const char* format, std::span<const std::byte> block, std::uint64_t offset);

}  // namespace sparsert::files
