// tests/files/tensorflow_malformed_test.cpp — malformed TensorFlow graphs and checkpoints, each with the error it must
// give.
#include "tests/files/malformed.hpp"
#include "tests/files/protobuf.hpp"

namespace sparsert::test {
namespace {

using pb::bytes;
using pb::number;

constexpr std::uint64_t kMinusOne = ~std::uint64_t{0};
constexpr std::uint64_t kHuge = std::uint64_t{1} << 40;
enum Type : std::uint64_t { kFloat = 1, kInt32 = 3, kText = 7, kBool = 10, kHalf = 19 };

std::string shape_of(const std::vector<std::uint64_t>& dims) {
  std::string out;
  for (const std::uint64_t size : dims) out += bytes(2, number(1, size));
  return out;
}

// ---- Graphs

std::string tensor(std::uint64_t type, const std::vector<std::uint64_t>& dims, const std::string& more) {
  return number(1, type) + bytes(2, shape_of(dims)) + more;
}
std::string attribute(const std::string& key, const std::string& value) {
  return bytes(5, bytes(1, key) + bytes(2, value));
}
std::string constant(const std::string& proto, const std::string& name = "c") {
  return bytes(1, bytes(1, name) + bytes(2, "Const") + attribute("value", bytes(8, proto)));
}

Cases graph_cases() {
  const std::string good = tensor(kFloat, {2}, bytes(4, "abcdefgh"));
  Cases cases;
  for (const pb::Broken& one : pb::broken()) {
    cases.push_back({std::string(one.rule) + " in a constant", constant(good + one.bytes), {"tensorflow", one.word}});
    cases.push_back({std::string(one.rule) + " in a node",
                     bytes(1, bytes(1, "c") + bytes(2, "Const") + attribute("value", bytes(8, good)) + one.bytes),
                     {"tensorflow", one.word}});
  }
  const auto add = [&](const std::string& rule, const std::string& proto, std::vector<std::string> words) {
    cases.push_back({rule, constant(proto), std::move(words)});
  };
  for (const std::uint64_t type : {std::uint64_t{0}, std::uint64_t{31}, std::uint64_t{99}, kMinusOne}) {
    add("data type " + std::to_string(type), tensor(type, {}, bytes(4, "abcd")), {"the data type is", "unknown"});
  }
  add("a reference", tensor(101, {}, bytes(4, "abcd")), {"the data type is 101, a reference"});
  add("no data type", bytes(2, shape_of({1})) + bytes(4, "abcd"), {"has no data type"});
  add("two data types", number(1, kFloat) + good, {"dtype twice"});
  add("two shapes", good + bytes(2, shape_of({2})), {"tensor_shape twice"});
  add("two contents", good + bytes(4, "abcdefgh"), {"tensor_content twice"});
  add("a dimension of -1", tensor(kFloat, {kMinusOne}, bytes(4, "abcd")), {"a dimension is -1"});
  add("an unknown rank", number(1, kFloat) + bytes(2, number(3, 1)), {"an unknown rank"});
  add("65 dimensions", tensor(kFloat, std::vector<std::uint64_t>(65, 1), bytes(4, "abcd")),
      {"more than 64 dimensions"});
  add("a shape of 2^80", tensor(kFloat, {kHuge, kHuge}, {}), {"too many elements"});
  add("a shape of 2^61 bytes", tensor(kFloat, {std::uint64_t{1} << 59}, {}), {"too many elements"});
  add("a dimension of two sizes", number(1, kFloat) + bytes(2, bytes(2, number(1, 1) + number(1, 1))), {"size twice"});
  const std::vector<std::pair<std::uint64_t, std::size_t>> widths{{1, 4},  {2, 8},   {3, 4},  {4, 1},  {5, 2},
                                                                  {6, 1},  {8, 8},   {9, 8},  {10, 1}, {14, 2},
                                                                  {17, 2}, {18, 16}, {19, 2}, {22, 4}, {23, 8}};
  for (const auto& [type, width] : widths) {
    for (const std::size_t size : {3 * width - 1, 3 * width + 1}) {
      add("content of " + std::to_string(size) + " bytes of type " + std::to_string(type),
          tensor(type, {3}, bytes(4, std::string(size, '\0'))),
          {"tensor_content has " + std::to_string(size), "expected " + std::to_string(3 * width)});
    }
  }
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> lists{{kInt32, 7}, {4, 7},   {9, 10},  {kBool, 11},
                                                                   {kHalf, 13}, {14, 13}, {22, 16}, {23, 17}};
  for (const auto& [type, field] : lists) {
    add("a number too many of type " + std::to_string(type), tensor(type, {2}, pb::packed(field, {1, 1, 1})),
        {"has 3 numbers, expected at most 2"});
    add("numbers in the field of floats, type " + std::to_string(type), tensor(type, {2}, bytes(5, "abcd")),
        {"numbers in field 5, expected " + std::to_string(field)});
  }
  add("a number for an empty tensor", tensor(kInt32, {0}, pb::packed(7, {1})), {"has 1 numbers, expected at most 0"});
  add("content and a list", good + bytes(5, "abcd"), {"elements in two places"});
  add("two lists", tensor(kInt32, {1}, pb::packed(7, {1}) + pb::packed(10, {1})), {"numbers in two fields"});
  add("floats that are cut", tensor(kFloat, {2}, bytes(5, "abcde")), {"a multiple of 4"});
  cases.push_back({"a repeated value of 4 TiB",
                   constant(tensor(kFloat, {kHuge}, bytes(5, "abcd"))),
                   {"repeats one value in 4398046511104 bytes"},
                   true});
  cases.push_back({"zeros of 4 TiB", constant(tensor(kFloat, {kHuge}, {})), {"repeats one value"}, true});
  const auto value = [&](const std::string& rule, std::uint64_t type, std::uint64_t field, std::uint64_t got,
                         const std::string& word) {
    cases.push_back({rule, constant(tensor(type, {1}, pb::packed(field, {got}))), {"tensorflow, offset", word}, true});
  };
  value("a bool of 2", kBool, 11, 2, "type bool is 2");
  value("uint8 of 256", 4, 7, 256, "type uint8 is 256");
  value("int8 of 128", 6, 7, 128, "type int8 is 128");
  value("half of 2^16", kHalf, 13, 65536, "type float16 is 65536");
  cases.push_back({"content of a bool of 2", constant(tensor(kBool, {1}, bytes(4, "\2"))), {"a boolean is 2"}, true});
  cases.push_back({"two constants of one name", constant(good) + constant(good), {"the constant \"c\" twice"}});
  cases.push_back({"a constant without a name", constant(good, ""), {"has no name"}});
  cases.push_back({"a name that is not UTF-8", constant(good, "\xff"), {"not UTF-8"}});
  cases.push_back({"no value", bytes(1, bytes(1, "c") + bytes(2, "Const")), {"\"c\" has no value"}});
  cases.push_back({"a value without a tensor",
                   bytes(1, bytes(1, "c") + bytes(2, "Const") + attribute("value", number(3, 1))),
                   {"\"c\" has no tensor"}});
  cases.push_back({"two values",
                   bytes(1, bytes(1, "c") + bytes(2, "Const") + attribute("value", bytes(8, good)) +
                                attribute("value", bytes(8, good))),
                   {"\"value\" twice"}});
  cases.push_back({"two operations", bytes(1, bytes(2, "Const") + bytes(2, "Add")), {"op twice"}});
  cases.push_back(
      {"a broken function",
       bytes(2, bytes(1, bytes(1, bytes(1, "f")) + bytes(3, bytes(1, "c") + bytes(2, "Const")))) + constant(good),
       {"\"c\" has no value"}});
  cases.push_back({"a saved model of two graphs",
                   number(1, 1) + bytes(2, bytes(2, constant(good))) + bytes(2, bytes(2, constant(good))),
                   {"several graphs"}});
  cases.push_back({"a saved model of a broken graph",
                   number(1, 1) + bytes(2, bytes(2, constant(tensor(kFloat, {2}, bytes(4, "abc"))))),
                   {"tensor_content has 3"}});
  return cases;
}

// ---- Checkpoints

std::uint32_t masked_crc(const std::string& text) {
  std::uint32_t crc = ~0u;
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

struct KeyValue {
  std::string key;
  std::string value;
  std::uint64_t shared = 0;
};

std::string block_of(const std::vector<KeyValue>& entries) {
  std::string out;
  for (const KeyValue& one : entries) {
    out += pb::varint(one.shared) + pb::varint(one.key.size()) + pb::varint(one.value.size()) + one.key + one.value;
  }
  return out + little(0, 4) + little(1, 4);
}

std::string with_trailer(const std::string& block, char compression = 0) {
  const std::string checked = block + compression;
  return checked + little(masked_crc(checked), 4);
}
std::string handle(std::uint64_t offset, std::uint64_t size) { return pb::varint(offset) + pb::varint(size); }

/// A table of one data block, and the parts that a case may replace.
struct Table {
  std::string data;  // with its trailer
  std::string index_value;
  std::string footer;

  explicit Table(const std::string& block, char compression = 0)
      : data(with_trailer(block, compression)), index_value(handle(0, block.size())) {}

  std::string bytes() const {
    const std::string index = block_of({{"\x7f", index_value}});
    std::string end = handle(0, 0) + handle(data.size(), index.size());
    end.resize(40, '\0');
    return data + with_trailer(index) + (footer.empty() ? end : footer) + little(0xdb4775248b80fb57u, 8);
  }
};

std::string header(std::uint64_t shards = 1) { return number(1, shards); }
std::string entry(const std::string& data, std::uint64_t type = kFloat, const std::vector<std::uint64_t>& dims = {2},
                  std::uint64_t offset = 0, std::uint64_t shard = 0) {
  return number(1, type) + bytes(2, shape_of(dims)) + number(3, shard) + number(4, offset) + number(5, data.size()) +
         pb::fixed(6, masked_crc(data), 4);
}
std::string index_of(const std::vector<KeyValue>& entries) { return Table(block_of(entries)).bytes(); }

// The shard has the bytes "abcdefgh".
Cases checkpoint_cases() {
  const std::string good = entry("abcdefgh");
  Cases cases;
  const auto entries = [&](const std::string& rule, const std::vector<KeyValue>& list, std::vector<std::string> words) {
    words.push_back("tensorflow, offset");
    cases.push_back({rule, index_of(list), std::move(words)});
  };
  entries("no header", {{"x", good}}, {"no header"});
  entries("an empty table", {}, {"no header"});
  entries("no shards", {{"", ""}, {"x", good}}, {"has 0 shards"});
  entries("100,000 shards", {{"", header(100'000)}, {"x", good}}, {"has 100000 shards"});
  entries("keys that descend", {{"", header()}, {"y", good}, {"x", good}}, {"\"x\" does not ascend"});
  entries("a key twice", {{"", header()}, {"x", good}, {"x", good}}, {"\"x\" does not ascend"});
  entries("a key that is not UTF-8", {{"", header()}, {"\xff", good}}, {"not UTF-8"});
  entries("a shared beginning that is not there", {{"", header()}, {"x", good, 5}}, {"shares 5 bytes"});
  entries("a key of 9,000 bytes", {{"", header()}, {std::string(9000, 'k'), good}}, {"more than 8192 bytes"});
  for (const pb::Broken& one : pb::broken()) {
    entries(std::string(one.rule) + " in an entry", {{"", header()}, {"x", good + one.bytes}}, {one.word});
  }
  entries("no data type", {{"", header()}, {"x", bytes(2, shape_of({2}))}}, {"no data type"});
  entries("an unknown data type", {{"", header()}, {"x", entry("abcdefgh", 77)}}, {"the data type is 77"});
  entries("shard 1 of 1", {{"", header()}, {"x", entry("abcdefgh", kFloat, {2}, 0, 1)}}, {"shard 1 of 1"});
  entries("a byte too few", {{"", header()}, {"x", entry("abcdefg")}}, {"has 7 bytes, expected 8"});
  entries("a byte too many", {{"", header()}, {"x", entry("abcdefghi")}}, {"has 9 bytes, expected 8"});
  entries("past the end of the shard", {{"", header()}, {"x", entry("bcdefghi", kFloat, {2}, 1)}},
          {"8 bytes at offset 1", "which has 8"});
  entries("an offset near 2^64", {{"", header()}, {"x", entry("abcdefgh", kFloat, {2}, kMinusOne)}}, {"which has 8"});
  entries("a shape of 2^80", {{"", header()}, {"x", entry("", kFloat, {kHuge, kHuge})}}, {"too many elements"});
  entries("a shape of 2^40", {{"", header()}, {"x", entry("abcdefgh", kFloat, {kHuge})}}, {"expected 4398046511104"});
  entries("a negative dimension", {{"", header()}, {"x", entry("abcdefgh", kFloat, {kMinusOne})}},
          {"a dimension is -1"});
  entries("two on the same bytes", {{"", header()}, {"x", good}, {"y", good}}, {"\"x\" and \"y\" overlap"});
  cases.push_back(
      {"a shard that is missing", index_of({{"", header(2)}, {"x", good}}), {"c.data-00000-of-00002", "No such file"}});
  cases.push_back(
      {"data of another CRC", index_of({{"", header()}, {"x", entry("abcdefgX")}}), {"CRC of a tensor"}, true});
  cases.push_back(
      {"a bool of 97", index_of({{"", header()}, {"x", entry("abcdefgh", kBool, {8})}}), {"a boolean is 97"}, true});

  const auto extent = [](std::uint64_t start, std::uint64_t length) {
    return bytes(1, number(1, start) + number(2, length));
  };
  const auto sliced = [&](const std::string& slices) { return number(1, kFloat) + bytes(2, shape_of({4})) + slices; };
  entries("a slice without an entry", {{"", header()}, {"x", sliced(bytes(7, extent(0, 4)))}},
          {"a slice has no entry"});
  entries("slices that overlap", {{"", header()}, {"x", sliced(bytes(7, extent(0, 3)) + bytes(7, extent(2, 2)))}},
          {"two slices overlap"});
  entries("slices with a hole", {{"", header()}, {"x", sliced(bytes(7, extent(0, 1)) + bytes(7, extent(2, 2)))}},
          {"do not cover"});
  entries("a slice past the end", {{"", header()}, {"x", sliced(bytes(7, extent(2, 3)))}}, {"a slice is 3 from 2 on"});
  entries("a slice that begins at -1", {{"", header()}, {"x", sliced(bytes(7, extent(kMinusOne, 3)))}}, {"from -1 on"});
  entries("a slice of length -1", {{"", header()}, {"x", sliced(bytes(7, extent(0, kMinusOne)))}},
          {"a slice has the length -1"});
  entries("a slice of another rank", {{"", header()}, {"x", sliced(bytes(7, extent(0, 4) + extent(0, 1)))}},
          {"another rank"});
  std::string many;
  for (int i = 0; i < 513; ++i) many += bytes(7, extent(0, 0));
  entries("513 slices", {{"", header()}, {"x", sliced(many)}}, {"more than 512 slices"});
  const std::string slice_key("\0x\0\1\1\1\x80\x84", 8);
  entries("a slice of no variable", {{"", header()}, {slice_key, good}}, {"belongs to no variable"});
  entries("a slice of slices", {{"", header()}, {slice_key, sliced(bytes(7, extent(0, 4)))}}, {"a slice has slices"});
  entries("a slice of another shape", {{"", header()}, {slice_key, good}, {"x", sliced(bytes(7, extent(0, 4)))}},
          {"another type or shape"});
  return cases;
}

Cases table_cases() {
  const std::string block = block_of({{"", header()}, {"x", entry("abcdefgh")}});
  Cases cases;
  const auto add = [&](const std::string& rule, const Table& table, std::vector<std::string> words) {
    words.push_back("tensorflow, offset");
    cases.push_back({rule, table.bytes(), std::move(words)});
  };
  const std::string good = Table(block).bytes();
  for (std::size_t at = 0; at < good.size() - 48; at += 3) {
    std::string changed = good;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    cases.push_back(
        {"byte " + std::to_string(at) + " is another", changed, {"tensorflow, offset", "the CRC of a block"}});
  }
  for (const std::uint64_t offset : {std::uint64_t{1} << 20, std::uint64_t{1} << 63, kMinusOne}) {
    Table table(block);
    table.index_value = handle(offset, block.size());
    add("a block at " + std::to_string(offset), table, {"a block has"});
    table.index_value = handle(0, offset);
    add("a block of " + std::to_string(offset) + " bytes", table, {"a block has"});
    table.footer = std::string(handle(0, 0) + handle(offset, 10));
    table.footer.resize(40, '\0');
    add("an index at " + std::to_string(offset), table, {"a block has 10 bytes"});
  }
  Table cut(block);
  cut.index_value = "\x80";
  add("a handle that is cut", cut, {"needs 1 bytes, got 0"});
  cut.index_value = std::string(10, '\xff') + "\1";
  add("a handle of 65 bits", cut, {"more than 64 bits"});
  cut.footer = std::string(40, '\xff');
  add("a footer of ones", cut, {"more than 64 bits"});
  add("compression 2", Table(block, 2), {"the compression 2"});
  add("a block without restarts", Table("abc"), {"no list of restarts"});
  add("more restarts than bytes", Table(std::string(8, '\0') + little(99, 4)), {"has 99 restarts"});
  add("2^32 - 1 restarts", Table(std::string(8, '\0') + little(0xffffffff, 4)), {"has 4294967295 restarts"});
  add("an entry that is cut", Table(std::string("\0\x01", 2) + little(0, 4)), {"needs 1 bytes, got 0"});
  add("a key past the block", Table(std::string("\0\x7f\0x", 4) + little(0, 4)), {"needs 127 bytes, got 1"});
  add("a value past the block", Table(std::string("\0\1\x7fx", 4) + little(0, 4)), {"needs 127 bytes, got 0"});
  const auto snappy = [&](const std::string& rule, const std::string& packed, const std::string& word) {
    add("snappy: " + rule, Table(packed, 1), {"snappy", word});
  };
  snappy("a length that does not end", "\xff\xff\xff\xff\xff", "more than 32 bits");
  snappy("a length far above the block", pb::varint(1u << 30) + "x", "says that it has 1073741824");
  snappy("less than it says", pb::varint(4) + "\x04" + "ab", "gave 2 bytes, expected 4");
  snappy("more than it says", pb::varint(1) + "\x04" + "ab", "more than its 1 bytes");
  snappy("a copy from nowhere", pb::varint(8) + std::string("\x01\x01", 2), "a copy from 1 bytes back");
  snappy("a copy from 0 back", pb::varint(8) + std::string("\x00x\x01\x00", 4), "a copy from 0 bytes back");
  snappy("a copy past the end", pb::varint(4) + std::string("\x00x\x0d\x01", 4), "more than its 4 bytes");
  cases.push_back({"snappy: a literal past the block",
                   Table(pb::varint(40) + std::string("\x90"
                                                      "ab"),
                         1)
                       .bytes(),
                   {"tensorflow, offset", "needs 37 bytes"}});
  cases.push_back({"snappy: a copy that is cut",
                   Table(pb::varint(8) + std::string("\x00x\x02", 3), 1).bytes(),
                   {"tensorflow, offset", "needs 1 bytes"}});
  return cases;
}

TEST(MalformedTensorflow, EachGraphGivesItsError) {
  const TemporaryFolder folder;
  const Cases cases = graph_cases();
  EXPECT_GE(cases.size(), 100u);
  expect_errors(folder / "graph.pb", cases);
}

TEST(MalformedTensorflow, EachCheckpointGivesItsError) {
  const TemporaryFolder folder;
  write_file(folder / "c.data-00000-of-00001", "abcdefgh");
  Cases cases = checkpoint_cases();
  append(cases, table_cases());
  EXPECT_GE(cases.size(), 80u);
  expect_errors(folder / "c.index", cases);
  // In order but for their name, and with a shard that is a link.
  write_file(folder / "c.index", index_of({{"", header()}, {"x", entry("abcdefgh")}}));
  EXPECT_EQ(load(folder / "c.index").size(), 1u);
  std::filesystem::rename(folder / "c.index", folder / "index");
  expect_error(ErrorCode::file, {"expected PREFIX.index"}, [&] { load(folder / "index"); });
  std::filesystem::rename(folder / "index", folder / "c.index");
  std::filesystem::remove(folder / "c.data-00000-of-00001");
  std::filesystem::create_symlink("/etc/passwd", folder / "c.data-00000-of-00001");
  expect_error(ErrorCode::file, {"leaves the folder of the model"}, [&] { load(folder / "c.index"); });
}

}  // namespace
}  // namespace sparsert::test
