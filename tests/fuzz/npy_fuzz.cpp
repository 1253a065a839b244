// tests/fuzz/npy_fuzz.cpp — libFuzzer on the reader of NumPy arrays.
#include <cstring>

#include "tests/fuzz/reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 6 || std::memcmp(data, "\x93NUMPY", 6) != 0) return -1;  // of another format: not kept
  static sparsert::fuzz::MemoryFile file;
  file.set(data, size);
  sparsert::fuzz::read_all(file.path());
  return 0;
}
