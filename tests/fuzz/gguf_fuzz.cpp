// tests/fuzz/gguf_fuzz.cpp — libFuzzer on the reader of GGUF.
#include <cstring>

#include "tests/fuzz/reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4 || std::memcmp(data, "GGUF", 4) != 0) return -1;  // of another format: not kept
  static sparsert::fuzz::MemoryFile file;
  file.set(data, size);
  sparsert::fuzz::read_all(file.path());
  return 0;
}
