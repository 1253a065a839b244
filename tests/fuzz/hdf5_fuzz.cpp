// tests/fuzz/hdf5_fuzz.cpp — libFuzzer on the reader of HDF5 files.
//
// Metadata of newer files is under checksums; the mutator writes them again where it finds an object header.
#include <bit>
#include <cstring>

#include "tests/fuzz/reader.hpp"

namespace {

constexpr std::uint8_t kSignature[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

/// Bob Jenkins' lookup3 as HDF5 uses it.
std::uint32_t checksum(const std::uint8_t* data, std::size_t size) {
  std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(size), b = a, c = a;
  while (size > 12) {
    std::uint32_t words[3];
    std::memcpy(words, data, 12);
    a += words[0], b += words[1], c += words[2];
    a -= c, a ^= std::rotl(c, 4), c += b;
    b -= a, b ^= std::rotl(a, 6), a += c;
    c -= b, c ^= std::rotl(b, 8), b += a;
    a -= c, a ^= std::rotl(c, 16), c += b;
    b -= a, b ^= std::rotl(a, 19), a += c;
    c -= b, c ^= std::rotl(b, 4), b += a;
    data += 12, size -= 12;
  }
  if (size == 0) return c;
  std::uint32_t words[3] = {};
  std::memcpy(words, data, size);
  a += words[0], b += words[1], c += words[2];
  c ^= b, c -= std::rotl(b, 14);
  a ^= c, a -= std::rotl(c, 11);
  b ^= a, b -= std::rotl(a, 25);
  c ^= b, c -= std::rotl(b, 16);
  a ^= c, a -= std::rotl(c, 4);
  b ^= a, b -= std::rotl(a, 14);
  c ^= b, c -= std::rotl(b, 24);
  return c;
}

void sum_up(std::uint8_t* data, std::size_t size) {
  if (size > 48 && data[8] >= 2) {
    const std::uint32_t sum = checksum(data, 44);
    std::memcpy(data + 44, &sum, 4);
  }
  for (std::size_t at = 0; at + 16 < size; ++at) {
    if (std::memcmp(data + at, "OHDR", 4) != 0) continue;
    const unsigned flags = data[at + 5];
    const std::size_t field = at + 6 + ((flags & 0x20) != 0 ? 16 : 0) + ((flags & 0x10) != 0 ? 4 : 0);
    const std::size_t width = std::size_t{1} << (flags & 3);
    if (field + width > size || width > 4) continue;
    std::uint32_t length = 0;
    std::memcpy(&length, data + field, width);
    const std::size_t begin = field + width;
    if (length > size - begin || size - begin - length < 4) continue;
    const std::uint32_t sum = checksum(data + at, begin + length - at);
    std::memcpy(data + begin + length, &sum, 4);
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  const std::size_t mutated = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 != 0) sum_up(data, mutated);
  return mutated;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < sizeof(kSignature) || std::memcmp(data, kSignature, sizeof(kSignature)) != 0) return -1;
  static sparsert::fuzz::MemoryFile file;
  file.set(data, size);
  sparsert::fuzz::read_all(file.path());
  return 0;
}
