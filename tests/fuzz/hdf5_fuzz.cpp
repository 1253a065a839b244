// tests/fuzz/hdf5_fuzz.cpp — libFuzzer on the reader of HDF5 files.
//
// Metadata of newer files is under checksums; the mutator writes them again where it finds an object header.
#include <cstring>

#include "tests/files/lookup3.hpp"
#include "tests/fuzz/reader.hpp"

namespace {

constexpr std::uint8_t kSignature[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

void sum_up(std::uint8_t* data, std::size_t size) {
  if (size > 48 && data[8] >= 2) {
    const std::uint32_t sum = sparsert::test::lookup3(data, 44);
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
    const std::uint32_t sum = sparsert::test::lookup3(data + at, begin + length - at);
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
