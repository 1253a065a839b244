// tests/fuzz/matrix_market_fuzz.cpp — libFuzzer on the reader of Matrix Market files.
#include "sparsert/matrix_market.hpp"
#include "tests/fuzz/reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || data[0] != '%' || data[1] != '%') return -1;  // of another format: not kept
  static sparsert::fuzz::MemoryFile file;
  file.set(data, size);
  try {
    const sparsert::Coo matrix = sparsert::read_matrix_market(file.path());
    const auto check = [](const auto& indices, std::int64_t limit) {
      for (const std::int64_t index : indices) {
        if (index < 0 || index >= limit) std::abort();
      }
    };
    const auto check_both = [&]<class Index>(Index) {
      check(matrix.rows().template span<Index>(), matrix.shape()[0]);
      check(matrix.columns().template span<Index>(), matrix.shape()[1]);
    };
    if (matrix.index_dtype() == sparsert::DType::int64) {
      check_both(std::int64_t{});
    } else {
      check_both(std::int32_t{});
    }
  } catch (const sparsert::FileError&) {
  }
  return 0;
}
