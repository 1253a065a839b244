// runtime/files/write.hpp — the formats that are written, besides one safetensors file.
#pragma once

#include <cstdint>
#include <filesystem>

#include "runtime/files/io.hpp"
#include "sparsert/files.hpp"

namespace sparsert::files {

/// Writes an .npz to an open file, without `commit`. It has no place for metadata. Throws `Error{invalid_argument}` for
/// what the format cannot hold.
void write_npz(OutputFile& file, const StateDict& state);

/// Writes `name-00001-of-0000n.safetensors` files of at most `max_bytes` of tensors each, and their index; a larger
/// tensor has a file of its own. Where one file is enough, it is `path`.
void write_shards(const std::filesystem::path& path, const StateDict& state, std::uint64_t max_bytes);

}  // namespace sparsert::files
