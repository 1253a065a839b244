// tests/fuzz/tensorflow_checkpoint_fuzz.cpp — libFuzzer on the reader of TensorFlow's checkpoints.
//
// The input is the index; its shard is a file of a few hundred bytes that all inputs share. The mutator writes the CRC
// of every block again, so that the search goes on behind them.
#include <cstring>
#include <fstream>

#include "tests/fuzz/protobuf.hpp"
#include "tests/fuzz/reader.hpp"

namespace {

constexpr std::size_t kFooter = 48;
constexpr std::size_t kTrailer = 5;

std::uint32_t masked_crc(const std::uint8_t* data, std::size_t size) {
  std::uint32_t crc = ~0u;
  for (std::size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/// Writes the CRC of the block that the handle at `at` names, and moves behind the handle.
bool sum_block(std::uint8_t* data, std::size_t size, std::size_t& at, std::size_t& block, std::size_t& bytes) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  if (!sparsert::fuzz::read_varint(text, at, offset) || !sparsert::fuzz::read_varint(text, at, length)) return false;
  if (offset > size || length > size - offset || size - offset - length < kTrailer) return false;
  block = static_cast<std::size_t>(offset);
  bytes = static_cast<std::size_t>(length);
  const std::uint32_t crc = masked_crc(data + block, bytes + 1);
  std::memcpy(data + block + bytes + 1, &crc, 4);
  return true;
}

void sum_up(std::uint8_t* data, std::size_t size) {
  if (size < kFooter) return;
  std::size_t at = size - kFooter;
  std::size_t index = 0;
  std::size_t index_bytes = 0;
  std::size_t block = 0;
  std::size_t bytes = 0;
  if (!sum_block(data, size, at, block, bytes) || !sum_block(data, size, at, index, index_bytes)) return;
  const std::string_view text(reinterpret_cast<const char*>(data), index + index_bytes);
  for (at = index; at < index + index_bytes;) {
    std::uint64_t shared = 0;
    std::uint64_t own = 0;
    std::uint64_t value = 0;
    if (!sparsert::fuzz::read_varint(text, at, shared) || !sparsert::fuzz::read_varint(text, at, own) ||
        !sparsert::fuzz::read_varint(text, at, value) || own > text.size() - at || value > text.size() - at - own) {
      break;
    }
    at += own;
    std::size_t handle = at;
    sum_block(data, size, handle, block, bytes);
    at += value;
  }
  // Once more, since a block may lie in the index.
  at = size - kFooter;
  if (sum_block(data, size, at, block, bytes)) sum_block(data, size, at, index, index_bytes);
}

/// The checkpoint's folder.
class CheckpointFolder : public sparsert::fuzz::Folder {
 public:
  CheckpointFolder() {
    std::ofstream shard(path() / "c.data-00000-of-00001", std::ios::binary);
    for (int i = 0; i < 1024; ++i) shard.put('\1');
  }
};

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  // The footer stays in most inputs: without it there is no table.
  const std::size_t kept = seed % 4 != 0 && size > kFooter ? kFooter : 0;
  const std::string footer(reinterpret_cast<const char*>(data) + size - kept, kept);
  std::size_t mutated = LLVMFuzzerMutate(data, size - kept, max_size - kept);
  std::memcpy(data + mutated, footer.data(), kept);
  mutated += kept;
  if (seed % 8 != 1) sum_up(data, mutated);
  return mutated;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < kFooter || sparsert::fuzz::is_of_another_format(data, size)) return -1;
  static CheckpointFolder folder;
  sparsert::fuzz::read_all(folder.set("c.index", data, size));
  return 0;
}
