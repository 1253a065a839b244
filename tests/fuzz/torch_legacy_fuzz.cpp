// tests/fuzz/torch_legacy_fuzz.cpp — libFuzzer on the reader of PyTorch checkpoints before 1.6: runs of pickles without
// checksums.
#include <cstring>

#include "tests/fuzz/reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 16 || std::memcmp(data, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15) != 0)
    return -1;  // of another format: not kept
  static sparsert::fuzz::MemoryFile file;
  file.set(data, size);
  sparsert::fuzz::read_all(file.path());
  return 0;
}
