// tests/files/small_malformed_test.cpp — malformed MessagePack and GGUF, each with the error it must give.
#include "tests/files/malformed.hpp"

namespace sparsert::test {
namespace {

std::string big(std::uint64_t value, std::size_t bytes) {
  const std::string order = little(value, bytes);
  return {order.rbegin(), order.rend()};
}

// MessagePack

std::string key(const std::string& name) { return static_cast<char>(0xa0 + name.size()) + name; }
std::string binary(const std::string& bytes) { return "\xc4" + little(bytes.size(), 1) + bytes; }
std::string extension(int type, const std::string& bytes) {
  return "\xc7" + little(bytes.size(), 1) + static_cast<char>(type) + bytes;
}
std::string array(const std::string& shape, const std::string& type, const std::string& bytes) {
  return extension(1, "\x93" + shape + key(type) + binary(bytes));
}
std::string map_of(const std::string& value) { return "\x81" + key("w") + value; }

Cases msgpack_cases() {
  Cases cases;
  const auto raw = [&](const std::string& rule, std::string bytes, std::vector<std::string> words) {
    words.insert(words.begin(), "msgpack, offset ");
    cases.push_back({rule, std::move(bytes), std::move(words)});
  };
  const auto add = [&](const std::string& rule, const std::string& value, std::vector<std::string> words) {
    raw(rule, map_of(value), std::move(words));
  };
  for (const std::string& count : {big(0xffffffff, 4), big(1 << 30, 4), big(100, 4)}) {
    raw("a list that is announced", "\xdd" + count, {"are announced"});
    raw("a map that is announced", "\xdf" + count, {"are announced"});
    add("a list in a map", "\xdd" + count, {"are announced"});
    add("a map in a map", "\xdf" + count, {"are announced"});
    add("a string that is announced", "\xdb" + count, {"msgpack"});
    add("binary that is announced", "\xc6" + count, {"needs"});
    add("an extension that is announced", "\xc9" + count + "\1", {"needs"});
  }
  raw("a short list", "\xdc" + big(0xffff, 2), {"are announced"});
  raw("a short map", "\xde" + big(0xffff, 2), {"are announced"});
  raw("a map without a value", "\x81" + key("w"), {"needs 1 bytes"});
  raw("a map cut in its key", "\x81\xa5w", {"needs"});
  raw("bytes behind the map", map_of("\xc0") + "x", {"bytes behind the value"});
  add("the byte that nothing begins with", "\xc1", {"0xc1"});
  add("a large integer", "\xcf" + big(~std::uint64_t{0}, 8), {"2^63"});
  raw("a key that is a list", "\x81\x90\xc0", {"neither a string nor an integer"});
  raw("a key that is nil", "\x81\xc0\xc0", {"neither a string nor an integer"});
  raw("a key that is no UTF-8", "\x81\xa1\xff\xc0", {"not valid UTF-8"});
  raw("a long key", "\x81\xda" + big(5000, 2) + std::string(5000, 'x') + "\xc0", {"expected at most 4096"});
  for (const int type : {0, 4, 5, 127, 255})
    add("an extension of type " + std::to_string(type), extension(type, "abc"), {"no array"});
  const std::string data(24, 'x');
  const std::string shape = "\x92\2\3";
  add("no array in the extension", extension(1, "\xc0"), {"not shape, type and bytes"});
  add("an empty extension", extension(1, ""), {"needs 1 bytes"});
  add("two parts", extension(1, "\x92" + shape + key("float32")), {"not shape, type and bytes"});
  add("a shape that is a number", array("\2", "float32", data), {"no list"});
  add("a shape of strings", array("\x91\xa1x", "float32", data), {"no integer"});
  add("a negative size", array("\x91\xff", "float32", data), {"no integer"});
  add("a type that is a number", extension(1, "\x93" + shape + "\1" + binary(data)), {"no string"});
  add("data that is a number", extension(1, "\x93" + shape + key("float32") + "\1"), {"no binary"});
  add("bytes behind an array", extension(1, "\x93" + shape + key("float32") + binary(data) + "x"),
      {"bytes behind an array"});
  for (const std::size_t size : {0u, 1u, 23u, 25u}) {
    add("data of " + std::to_string(size), array(shape, "float32", std::string(size, 'x')), {"expected 24"});
  }
  add("another type", array(shape, "float64", data), {"expected 48"});
  add("a shape that overflows", array("\x92\xcf" + big(INT64_MAX, 8) + "\xcf" + big(INT64_MAX, 8), "int8", ""),
      {"more elements"});
  add("a shape with a zero that overflows",
      array("\x93\xcf" + big(INT64_MAX, 8) + "\xcf" + big(INT64_MAX, 8) + std::string(1, '\0'), "int8", ""),
      {"more elements"});
  add("many dimensions", array("\xdc" + big(65, 2) + std::string(65, '\1'), "int8", "x"), {"at most 64"});
  {
    std::string nested = "\xc0";
    for (int i = 0; i < 70; ++i) nested = "\x91" + nested;
    raw("lists in lists", nested, {"nest deeper than 64"});
    std::string maps = "\xc0";
    for (int i = 0; i < 70; ++i) maps = map_of(maps);
    raw("maps in maps", maps, {"nest deeper than 64"});
  }
  const auto chunked = [&](const std::string& sizes, const std::string& chunks) {
    return "\x83\xb9"
           "__msgpack_chunked_array__\xc3" +
           key("shape") + sizes + key("chunks") + chunks;
  };
  const std::string one = array("\x91\6", "float32", data);
  const std::string sizes = "\x81" + key("0") + "\6";
  const std::string chunks = "\x81" + key("0") + one;
  add("chunks out of order", chunked(sizes, "\x81" + key("1") + one), {"not in order"});
  add("sizes out of order", chunked("\x81" + key("1") + "\6", chunks), {"not in order"});
  add("chunks that are too few", chunked("\x81" + key("0") + "\7", chunks), {"expected 28"});
  add("chunks that are too many", chunked("\x81" + key("0") + "\5", chunks), {"expected 20"});
  add("a chunk that is no array", chunked(sizes, "\x81" + key("0") + "\xc0"), {"a chunk is no array"});
  add("chunks that are a list", chunked(sizes, "\x90"), {"malformed array in chunks"});
  add("a size that is nil", chunked("\x81" + key("0") + "\xc0", chunks), {"no integer"});
  add("chunks of two types", chunked(sizes, "\x82" + key("0") + one + key("1") + array("\x91\1", "int8", "x")),
      {"of several types"});
  add("no shape",
      "\x83\xb9"
      "__msgpack_chunked_array__\xc3" +
          key("shapo") + sizes + key("chunks") + chunks,
      {"without shape"});
  add("four keys", std::string("\x84") + chunked(sizes, chunks).substr(1) + key("x") + "\xc0",
      {"malformed array in chunks"});
  const auto numpy = [&](const std::string& type, const std::string& kind, const std::string& dims,
                         const std::string& bytes) {
    return "\x85" + key("nd") + "\xc3" + key("type") + key(type) + key("kind") + key(kind) + key("shape") + dims +
           key("data") + binary(bytes);
  };
  add("a NumPy array of other bytes", numpy("<f4", "", shape, "x"), {"expected 24"});
  add("a NumPy array with a negative size", numpy("<f4", "", "\x91\xff", "x"), {"no integer"});
  add("a NumPy array without data", "\x82" + key("nd") + "\xc3" + key("type") + key("<f4"), {"malformed NumPy array"});
  add("a NumPy array without a type", "\x85" + key("nd") + "\xc3" + key("x") + key("<f4"), {"without type"});
  add("a NumPy array of a type that is no string", "\x85" + key("nd") + "\xc3" + key("type") + "\1", {"no string"});
  return cases;
}

// GGUF

std::string gguf_text(const std::string& text) { return little(text.size(), 8) + text; }
std::string gguf_key(const std::string& name, std::uint32_t type, const std::string& value) {
  return gguf_text(name) + little(type, 4) + value;
}
std::string gguf_tensor(const std::string& name, const std::vector<std::uint64_t>& sizes, std::uint32_t type,
                        std::uint64_t offset) {
  std::string out = gguf_text(name) + little(sizes.size(), 4);
  for (const std::uint64_t size : sizes) out += little(size, 8);
  return out + little(type, 4) + little(offset, 8);
}
std::string gguf(std::uint64_t tensors, std::uint64_t keys, const std::string& body, std::size_t data,
                 std::uint32_t version = 3) {
  std::string bytes = "GGUF" + little(version, 4) + little(tensors, 8) + little(keys, 8) + body;
  bytes.resize((bytes.size() + 31) / 32 * 32, '\0');
  return bytes + std::string(data, 'x');
}

Cases gguf_cases() {
  Cases cases;
  const auto add = [&](const std::string& rule, std::string bytes, std::vector<std::string> words) {
    words.insert(words.begin(), "gguf, offset ");
    cases.push_back({rule, std::move(bytes), std::move(words)});
  };
  const std::string tensor = gguf_tensor("w", {6}, 0, 0);
  for (const std::uint32_t version : {0u, 1u, 4u, 0xffffffffu})
    add("version " + std::to_string(version), gguf(0, 0, "", 0, version), {"version"});
  add("big-endian", gguf(0, 0, "", 0, 0x03000000), {"big-endian"});
  for (const std::size_t size : {4u, 7u, 8u, 15u, 16u, 23u})
    add("cut at " + std::to_string(size), gguf(1, 0, tensor, 24).substr(0, size), {"needs"});
  for (const std::uint64_t count :
       {std::uint64_t{1'000'001}, std::uint64_t{1} << 32, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    add("many tensors", gguf(count, 0, tensor, 24), {"expected at most 1000000"});
    add("many keys", gguf(0, count, tensor, 24), {"expected at most 100,000"});
  }
  for (const std::uint64_t count : {2u, 1000u, 1'000'000u})
    add("tensors that are not there", gguf(count, 0, tensor, 0), {"gguf"});
  for (const std::uint64_t length :
       {std::uint64_t{65'536}, std::uint64_t{1} << 40, ~std::uint64_t{0}, ~std::uint64_t{0} - 7}) {
    add("a key of " + std::to_string(length), gguf(0, 1, little(length, 8), 64), {"expected at most 65535"});
    add("a name of " + std::to_string(length), gguf(1, 0, little(length, 8), 64), {"expected at most 4096"});
    add("a value of " + std::to_string(length), gguf(0, 1, gguf_key("k", 8, little(length, 8)), 64), {"needs"});
    add("an array of " + std::to_string(length), gguf(0, 1, gguf_key("k", 9, little(4, 4) + little(length, 8)), 64),
        {"longer than the file"});
    add("an array of strings of " + std::to_string(length),
        gguf(0, 1, gguf_key("k", 9, little(8, 4) + little(length, 8)), 64), {"longer than the file"});
  }
  for (const std::uint32_t type : {13u, 100u, 0xffffffffu}) {
    add("a value of type " + std::to_string(type), gguf(0, 1, gguf_key("k", type, ""), 64), {"a value of type"});
    add("an array of type " + std::to_string(type), gguf(0, 1, gguf_key("k", 9, little(type, 4)), 64),
        {"a value of type"});
  }
  add("an array of arrays", gguf(0, 1, gguf_key("k", 9, little(9, 4) + little(1, 8)), 64), {"an array of arrays"});
  add("a boolean of 2", gguf(0, 1, gguf_key("k", 7, "\2"), 64), {"expected 0 or 1"});
  add("an empty key", gguf(0, 1, gguf_key("", 0, "x"), 64), {"a key that is empty"});
  add("a key that is no UTF-8", gguf(0, 1, gguf_key("\xff", 0, "x"), 64), {"UTF-8"});
  add("a key twice", gguf(0, 2, gguf_key("k", 0, "x") + gguf_key("k", 0, "x"), 64), {"\"k\"", "twice"});
  for (const std::uint32_t alignment : {0u, 3u, 33u, 0x20000u, 0x80000000u, 0xffffffffu}) {
    add("an alignment of " + std::to_string(alignment),
        gguf(0, 1, gguf_key("general.alignment", 4, little(alignment, 4)), 64), {"power of two"});
  }
  add("an alignment of another type", gguf(0, 1, gguf_key("general.alignment", 10, little(32, 8)), 64),
      {"power of two"});
  add("an alignment that is a string", gguf(0, 1, gguf_key("general.alignment", 8, gguf_text("32")), 64),
      {"power of two"});
  cases.push_back({"one of several files",
                   gguf(0, 1, gguf_key("split.count", 2, little(3, 2)), 0),
                   {"is one of 3 parts", "-00001-of-00003.gguf"}});
  add("many dimensions", gguf(1, 0, gguf_tensor("w", {1, 1, 1, 1, 1}, 0, 0), 4), {"expected at most 4"});
  for (const std::uint32_t type : {4u, 5u, 31u, 36u, 42u, 0x7fffffffu, 0xffffffffu}) {
    add("a tensor of type " + std::to_string(type), gguf(1, 0, gguf_tensor("w", {32}, type, 0), 64),
        {"\"w\"", "which is unknown"});
  }
  for (const std::uint64_t size : {std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    add("a size of " + std::to_string(size), gguf(1, 0, gguf_tensor("w", {size}, 0, 0), 64), {"2^63"});
  }
  for (const std::vector<std::uint64_t>& sizes :
       {std::vector<std::uint64_t>{std::uint64_t{1} << 32, std::uint64_t{1} << 32},
        {std::uint64_t{1} << 32, std::uint64_t{1} << 32, 0},
        {std::uint64_t{1} << 62, 2},
        {std::uint64_t{1} << 60},
        {3, 3074457345618258603}}) {
    for (const std::uint32_t type : {0u, 8u, 28u})
      add("sizes that overflow", gguf(1, 0, gguf_tensor("w", sizes, type, 0), 64), {"gguf"});
  }
  for (const std::uint32_t type : {2u, 3u, 6u, 7u, 8u})
    add("rows that are no blocks", gguf(1, 0, gguf_tensor("w", {33, 32}, type, 0), 4096), {"no whole blocks of 32"});
  for (const std::uint32_t type : {10u, 12u, 14u})
    add("rows that are no blocks", gguf(1, 0, gguf_tensor("w", {128, 2}, type, 0), 4096), {"no whole blocks of 256"});
  for (const std::uint64_t offset :
       {std::uint64_t{1}, std::uint64_t{32}, std::uint64_t{1} << 63, ~std::uint64_t{0} - 31}) {
    add("an offset of " + std::to_string(offset), gguf(1, 0, gguf_tensor("w", {6}, 0, offset), 64),
        {"\"w\"", "expected 0"});
    add("a second offset of " + std::to_string(offset == 32 ? 64 : offset),
        gguf(2, 0, tensor + gguf_tensor("v", {6}, 0, offset == 32 ? 64 : offset), 64), {"\"v\"", "expected 32"});
  }
  add("a tensor on another", gguf(2, 0, tensor + gguf_tensor("v", {6}, 0, 0), 64), {"\"v\"", "expected 32"});
  for (const std::size_t size : {0u, 1u, 23u})
    add("data of " + std::to_string(size), gguf(1, 0, tensor, size), {"do not fit"});
  for (const std::size_t size : {33u, 64u})
    add("data of " + std::to_string(size), gguf(1, 0, tensor, size), {"behind the last tensor"});
  cases.push_back({"a name twice", gguf(2, 0, tensor + gguf_tensor("w", {6}, 0, 32), 56), {"gguf", "\"w\" twice"}});
  cases.push_back({"a name that is no UTF-8", gguf(1, 0, gguf_tensor("\xff", {6}, 0, 0), 24), {"gguf", "UTF-8"}});
  return cases;
}

TEST(MalformedMsgpack, EachGivesItsError) {
  const TemporaryFolder folder;
  expect_errors(folder / "a", msgpack_cases());
}

TEST(MalformedGguf, EachGivesItsError) {
  const TemporaryFolder folder;
  expect_errors(folder / "a", gguf_cases());
}

TEST(MalformedGguf, TypesThatAreNotDecodedAreListed) {
  const TemporaryFolder folder;
  write_file(folder / "a", gguf(1, 0, gguf_tensor("w", {256, 2}, 11, 0), 220));
  const FileInfo info = inspect_file(folder / "a");
  EXPECT_EQ(info.tensors.at(0).dtype, "Q3_K");
  EXPECT_EQ(info.tensors.at(0).shape, (Shape{2, 256}));
  expect_error(ErrorCode::file, {"\"w\"", "Q3_K", "not stored here"}, [&] { load(folder / "a"); });
}

}  // namespace
}  // namespace sparsert::test
