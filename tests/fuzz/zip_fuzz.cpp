// tests/fuzz/zip_fuzz.cpp — libFuzzer on zip archives: PyTorch checkpoints, TorchScript, npz and Keras.
//
// After most changes the mutator writes the right checksums of stored members again, so that the search gets behind
// them.
#include <cstring>

#include "tests/fuzz/reader.hpp"

namespace {

constexpr std::size_t kEnd = 22;
constexpr std::size_t kCentral = 46;
constexpr std::size_t kLocal = 30;

std::uint32_t number(const std::uint8_t* at, std::size_t bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = bytes; i-- > 0;) value = value << 8 | at[i];
  return value;
}

std::uint32_t crc_of(const std::uint8_t* data, std::size_t size) {
  std::uint32_t crc = 0xffffffff;
  for (std::size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

void write_checksums(std::uint8_t* data, std::size_t size) {
  if (size < kEnd) return;
  const std::uint8_t* const end = data + size - kEnd;
  if (std::memcmp(end, "PK\5\6", 4) != 0) return;
  std::size_t at = number(end + 16, 4);
  for (std::uint32_t left = number(end + 10, 2); left > 0 && at + kCentral <= size; --left) {
    std::uint8_t* const central = data + at;
    const std::size_t header = number(central + 42, 4);
    const std::size_t bytes = number(central + 20, 4);
    at += kCentral + number(central + 28, 2) + number(central + 30, 2) + number(central + 32, 2);
    if (number(central + 10, 2) != 0 || header + kLocal > size) continue;
    const std::size_t begin = header + kLocal + number(data + header + 26, 2) + number(data + header + 28, 2);
    if (begin > size || bytes > size - begin) continue;
    const std::uint32_t crc = crc_of(data + begin, bytes);
    const bool in_front = number(data + header + 14, 4) != 0;
    for (std::size_t i = 0; i < 4; ++i) {
      central[16 + i] = static_cast<std::uint8_t>(crc >> (8 * i));
      if (in_front) data[header + 14 + i] = central[16 + i];
    }
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  const std::size_t changed = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 != 0) write_checksums(data, changed);
  return changed;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < kEnd || std::memcmp(data, "PK", 2) != 0) return -1;  // of another format: not kept
  static sparsert::fuzz::MemoryFile file;
  file.set(data, size);
  sparsert::fuzz::read_all(file.path());
  return 0;
}
