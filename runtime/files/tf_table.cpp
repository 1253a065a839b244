// runtime/files/tf_table.cpp — the sorted table that a TensorFlow checkpoint's index is.
//
// A footer names the index block; the index block names the data blocks; each block is a list of entries whose keys
// share their beginnings, and is followed by its compression and a CRC.
#include "runtime/files/tf_table.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/files/bytes.hpp"
#include "runtime/files/crc32c.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/snappy.hpp"
#include "runtime/files/tf_tensor.hpp"

namespace sparsert::files::tensorflow {
namespace {

constexpr std::uint64_t kMagic = 0xdb4775248b80fb57;
constexpr std::uint64_t kFooterBytes = 48;
constexpr std::uint64_t kTrailerBytes = 5;  // compression, CRC
constexpr std::uint64_t kMaxBlock = std::uint64_t{256} << 20;
// Keys that share their beginning are short in the file and long in memory.
constexpr std::size_t kMaxKey = 8192;
constexpr std::uint64_t kMaxKeyRatio = 16;
constexpr std::uint64_t kFreeKeyBytes = std::uint64_t{1} << 20;

struct Handle {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

std::uint64_t read_varint(ByteCursor& cursor) {
  std::uint64_t value = 0;
  const std::uint64_t begin = cursor.offset();
  for (int shift = 0; shift < 64; shift += 7) {
    const std::uint64_t byte = cursor.read<std::uint8_t>();
    if (shift == 63 && byte > 1) break;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  malformed(kFormat, begin, "a varint has more than 64 bits");
}

Handle read_handle(ByteCursor& cursor) {
  Handle handle;
  handle.offset = read_varint(cursor);
  handle.size = read_varint(cursor);
  return handle;
}

/// A block's bytes, uncompressed, once its CRC is proven.
std::vector<std::byte> read_block(const Bytes& bytes, const Handle& handle) {
  const std::uint64_t room = bytes.size() - kFooterBytes;
  if (handle.size > kMaxBlock || handle.offset > room || handle.size > room - handle.offset ||
      room - handle.offset - handle.size < kTrailerBytes) {
    malformed(kFormat, bytes.place(std::min(handle.offset, bytes.size())),
              "a block has " + std::to_string(handle.size) + " bytes at offset " + std::to_string(handle.offset) +
                  " of a table of " + std::to_string(room));
  }
  std::vector<std::byte> block = bytes.read(handle.offset, handle.size + kTrailerBytes);
  const std::span<const std::byte> checked(block.data(), static_cast<std::size_t>(handle.size) + 1);
  ByteCursor trailer(kFormat, std::span<const std::byte>(block).subspan(static_cast<std::size_t>(handle.size)),
                     bytes.place(handle.offset + handle.size));
  const auto compression = trailer.read<std::uint8_t>();
  const auto stored = trailer.read<std::uint32_t>();
  if (stored != masked_crc(crc32c(checked)))
    malformed(kFormat, bytes.place(handle.offset), "the CRC of a block is not that of its bytes");
  if (compression > 1) {
    malformed(kFormat, trailer.offset() - kTrailerBytes, "a block has the compression " + std::to_string(compression));
  }
  block.resize(static_cast<std::size_t>(handle.size));
  return compression == 0 ? block : snappy_uncompress(kFormat, block, bytes.place(handle.offset));
}

/// Walks the entries of a block; the key is put together from what it shares with the one before.
class BlockReader {
 public:
  BlockReader(std::span<const std::byte> block, std::uint64_t offset)
      : offset_(offset), cursor_(kFormat, entries_of(block, offset), offset) {}

  bool next(std::string& key, std::span<const std::byte>& value) {
    if (cursor_.remaining() == 0) return false;
    const std::uint64_t shared = read_varint(cursor_);
    const std::uint64_t own = read_varint(cursor_);
    const std::uint64_t value_bytes = read_varint(cursor_);
    if (shared > key_.size()) {
      malformed(kFormat, offset_,
                "a key shares " + std::to_string(shared) + " bytes with one of " + std::to_string(key_.size()));
    }
    if (own > kMaxKey || shared + own > kMaxKey)
      malformed(kFormat, offset_, "a key has more than " + std::to_string(kMaxKey) + " bytes");
    const auto rest = cursor_.take(own);
    key_.resize(static_cast<std::size_t>(shared));
    key_.append(reinterpret_cast<const char*>(rest.data()), rest.size());
    value = cursor_.take(value_bytes);
    key = key_;
    return true;
  }

 private:
  /// What comes before the list of restarts, which only a search needs.
  static std::span<const std::byte> entries_of(std::span<const std::byte> block, std::uint64_t offset) {
    constexpr std::size_t kNumber = 4;
    if (block.size() < kNumber) malformed(kFormat, offset, "a block has no list of restarts");
    const std::uint64_t restarts =
        ByteCursor(kFormat, block.subspan(block.size() - kNumber), offset).read<std::uint32_t>();
    if (restarts > block.size() / kNumber - 1) {
      malformed(kFormat, offset,
                "a block of " + std::to_string(block.size()) + " bytes has " + std::to_string(restarts) + " restarts");
    }
    return block.first(block.size() - kNumber * static_cast<std::size_t>(restarts + 1));
  }

  std::uint64_t offset_;
  ByteCursor cursor_;
  std::string key_;
};

}  // namespace

bool is_table(const Bytes& bytes) {
  if (bytes.size() < kFooterBytes) return false;
  const auto end = bytes.read(bytes.size() - sizeof(kMagic), sizeof(kMagic));
  return ByteCursor(kFormat, end).read<std::uint64_t>() == kMagic;
}

void read_table(const Bytes& bytes, const std::function<void(const TableEntry&)>& take) {
  const std::uint64_t footer = bytes.size() - kFooterBytes;
  const auto footer_bytes = bytes.read(footer, kFooterBytes - sizeof(kMagic));
  ByteCursor cursor(kFormat, footer_bytes, bytes.place(footer));
  read_handle(cursor);  // of meta data that no checkpoint has
  const Handle index = read_handle(cursor);
  const auto index_block = read_block(bytes, index);
  BlockReader handles(index_block, bytes.place(index.offset));
  std::string separator;
  std::string key;
  std::string before;
  bool is_first = true;
  std::uint64_t key_bytes = 0;
  for (std::span<const std::byte> value; handles.next(separator, value);) {
    ByteCursor at(kFormat, value, bytes.place(index.offset));
    const Handle handle = read_handle(at);
    const auto block = read_block(bytes, handle);
    const std::uint64_t place = bytes.place(handle.offset);
    BlockReader entries(block, place);
    for (std::span<const std::byte> entry; entries.next(key, entry);) {
      if (!is_first && key <= before) malformed(kFormat, place, "the key " + in_quotes(key) + " does not ascend");
      is_first = false;
      key_bytes += key.size();
      if (key_bytes > kFreeKeyBytes + kMaxKeyRatio * bytes.size()) malformed(kFormat, place, "the keys are too long");
      take({key, entry, place});
      before = key;
    }
  }
}

}  // namespace sparsert::files::tensorflow
