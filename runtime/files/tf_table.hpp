// runtime/files/tf_table.hpp — the sorted table that a TensorFlow checkpoint's index is (the layout of LevelDB's).
#pragma once

#include <functional>
#include <span>
#include <string>

#include "runtime/files/source.hpp"

namespace sparsert::files::tensorflow {

/// True where the bytes end like a table.
bool is_table(const Bytes& bytes);

/// A value, and the place of its block in the file, for messages.
struct TableEntry {
  std::string_view key;
  std::span<const std::byte> value;
  std::uint64_t offset;
};

/// Gives every entry to `take`, by ascending key. Checks the CRC of each block, and that keys ascend.
void read_table(const Bytes& bytes, const std::function<void(const TableEntry&)>& take);

}  // namespace sparsert::files::tensorflow
