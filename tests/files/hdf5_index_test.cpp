// tests/files/hdf5_index_test.cpp — hostile indices of HDF5 chunks: fields changed with the checksum written anew, so
// that what is behind it is reached.
#include "tests/files/lookup3.hpp"
#include "tests/files/support.hpp"

namespace sparsert::test {
namespace {

const std::filesystem::path kFixture = std::filesystem::path(SPARSERT_FIXTURES) / "chunks.h5";

std::uint32_t sum_of(std::string_view bytes) {
  return lookup3(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

std::uint64_t number_at(const std::string& bytes, std::size_t at, std::size_t width) {
  std::uint64_t value = 0;
  for (std::size_t i = width; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

void put(std::string& bytes, std::size_t at, std::uint64_t value, std::size_t width) {
  for (std::size_t i = 0; i < width; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i));
}

/// A block under a checksum.
struct Block {
  std::size_t at;
  std::size_t size;  // without the checksum
};

/// The blocks that begin with a signature; they end where the checksum of what is before follows.
std::vector<Block> blocks_of(const std::string& bytes, std::string_view signature) {
  constexpr std::size_t kLongest = 4096;
  std::vector<Block> blocks;
  for (std::size_t at = bytes.find(signature); at != bytes.npos; at = bytes.find(signature, at + 1)) {
    for (std::size_t size = 14; size < kLongest && at + size + 4 <= bytes.size(); ++size) {
      if (sum_of(std::string_view(bytes).substr(at, size)) == number_at(bytes, at + size, 4)) {
        blocks.push_back({at, size});
        break;
      }
    }
  }
  return blocks;
}

std::string changed(std::string bytes, const Block& block, std::size_t field, std::uint64_t value, std::size_t width) {
  put(bytes, block.at + field, value, width);
  put(bytes, block.at + block.size, sum_of(std::string_view(bytes).substr(block.at, block.size)), 4);
  return bytes;
}

TEST(Hdf5Index, FieldsThatCannotBeAreErrors) {
  const TemporaryFolder folder;
  const std::string bytes = read_file(kFixture);
  struct Case {
    const char* signature;
    std::size_t field;
    std::uint64_t value;
    std::size_t width;
    const char* word;
  };
  const Case cases[] = {
      {"FAHD", 4, 1, 1, "expected a block of an index"},
      {"FAHD", 5, 7, 1, "expected a block of an index"},
      {"FAHD", 6, 9, 1, "entries of"},
      {"FAHD", 6, 255, 1, "entries of"},
      {"FAHD", 7, 33, 1, "impossible sizes"},
      {"FAHD", 8, 1, 8, "checksum of metadata"},
      {"FAHD", 8, ~std::uint64_t{0}, 8, "impossible sizes"},
      {"FAHD", 16, 0, 8, "expected a block of an index"},
      {"FAHD", 16, std::uint64_t{1} << 40, 8, "needs bytes"},
      {"FAHD", 16, ~std::uint64_t{0}, 8, "has 0 chunks"},
      {"FADB", 5, 7, 1, "expected a block of an index"},
      {"FADB", 6, 96, 8, "a block of another index"},
      {"EAHD", 7, 0, 1, "impossible sizes"},
      {"EAHD", 7, 65, 1, "impossible sizes"},
      {"EAHD", 9, 3, 1, "impossible sizes"},
      {"EAHD", 9, 0, 1, "impossible sizes"},
      {"EAHD", 10, 0, 1, "impossible sizes"},
      {"EAHD", 11, 40, 1, "impossible sizes"},
      {"EAHD", 60, std::uint64_t{1} << 40, 8, "needs bytes"},
      {"EAHD", 60, ~std::uint64_t{0}, 8, "has 0 chunks"},
      {"EAIB", 6, 96, 8, "a block of another index"},
      {"EAIB", 14, std::uint64_t{1} << 40, 8, "bytes at offset"},
      {"BTLF", 5, 5, 1, "expected a node of a B-tree"},
  };
  const auto path = folder / "m.h5";
  for (const Case& one : cases) {
    const auto blocks = blocks_of(bytes, one.signature);
    ASSERT_FALSE(blocks.empty()) << one.signature;
    const ::testing::ScopedTrace trace(__FILE__, __LINE__,
                                       std::string(one.signature) + " field " + std::to_string(one.field));
    write_file(path, changed(bytes, blocks[0], one.field, one.value, one.width));
    expect_error(ErrorCode::file, {"hdf5, offset", one.word}, [&] { inspect_file(path); });
  }
}

TEST(Hdf5Index, EveryBlockIsUnderItsChecksum) {
  const TemporaryFolder folder;
  const std::string bytes = read_file(kFixture);
  const auto path = folder / "m.h5";
  for (const char* const signature : {"FAHD", "FADB", "EAHD", "EAIB", "EASB", "EADB", "BTHD", "BTIN", "BTLF"}) {
    const auto blocks = blocks_of(bytes, signature);
    ASSERT_FALSE(blocks.empty()) << signature;
    std::string broken = bytes;
    broken[blocks[0].at + blocks[0].size] ^= 1;
    write_file(path, broken);
    expect_error(ErrorCode::file, {"hdf5, offset", "checksum"}, [&] { inspect_file(path); });
  }
}

// Fields of every block set to numbers that provoke, one after the other: a model or an error each.
TEST(Hdf5Index, AnyFieldGivesAModelOrAnError) {
  const TemporaryFolder folder;
  const std::string bytes = read_file(kFixture);
  const auto path = folder / "m.h5";
  int tried = 0;
  for (const char* const signature : {"FAHD", "FADB", "EAHD", "EAIB", "EASB", "EADB", "BTHD", "BTIN", "BTLF"}) {
    const auto blocks = blocks_of(bytes, signature);
    const Block block = blocks.at(0);
    for (std::size_t field = 4; field < std::min<std::size_t>(block.size, 72) - 1; field += 3) {
      const std::uint64_t value = tried % 3 == 0 ? 0 : tried % 3 == 1 ? ~std::uint64_t{0} : bytes.size() - 1;
      const std::size_t width = std::min<std::size_t>(tried % 2 == 0 ? 1 : 8, block.size - field);
      write_file(path, changed(bytes, block, field, value, width));
      ++tried;
      try {
        inspect_file(path);
      } catch (const FileError&) {
      }
    }
  }
  EXPECT_GT(tried, 80);
}

}  // namespace
}  // namespace sparsert::test
