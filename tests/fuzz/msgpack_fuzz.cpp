// tests/fuzz/msgpack_fuzz.cpp — libFuzzer on the reader of MessagePack.
#include <cstring>

#include "tests/fuzz/reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || data[0] < 0x81 || (data[0] >= 0xa0 && data[0] < 0xdc) || data[0] > 0xdf ||
      sparsert::fuzz::is_of_another_format(data, size))
    return -1;  // of another format: not kept
  static sparsert::fuzz::MemoryFile file;
  file.set(data, size);
  sparsert::fuzz::read_all(file.path());
  return 0;
}
