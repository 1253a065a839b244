// tests/fuzz/tensorflow_graph_fuzz.cpp — libFuzzer on the readers of frozen graphs and saved models.
//
// Most inputs keep the lengths of the messages around a change right, so that the search goes on below the top level.
#include "tests/fuzz/protobuf.hpp"
#include "tests/fuzz/reader.hpp"

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  return sparsert::fuzz::mutate_message(data, size, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (sparsert::fuzz::is_of_another_format(data, size)) return -1;
  static sparsert::fuzz::MemoryFile file;
  file.set(data, size);
  sparsert::fuzz::read_all(file.path());
  return 0;
}
