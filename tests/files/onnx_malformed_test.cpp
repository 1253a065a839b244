// tests/files/onnx_malformed_test.cpp — malformed and hostile ONNX models, each with the error it must give.
#include <sys/stat.h>

#include "tests/files/malformed.hpp"
#include "tests/files/protobuf.hpp"

namespace sparsert::test {
namespace {

using pb::bytes;
using pb::number;
using pb::packed;

constexpr std::uint64_t kMinusOne = ~std::uint64_t{0};
constexpr std::uint64_t kHuge = std::uint64_t{1} << 40;
enum Type : std::uint64_t {
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kHalf = 10,
  kDouble = 11
};

std::string model_of(const std::string& graph) { return number(1, 8) + bytes(7, graph); }
std::string model_with(const std::string& tensor) { return model_of(bytes(5, tensor)); }
std::string head(std::uint64_t type, const std::vector<std::uint64_t>& dims, const std::string& name = "x") {
  std::string out;
  for (const std::uint64_t size : dims) out += number(1, size);
  return out + number(2, type) + bytes(8, name);
}
std::string raw(std::size_t count) { return bytes(9, std::string(count, '\0')); }

Cases wire_cases() {
  Cases cases;
  for (const pb::Broken& one : pb::broken()) {
    const std::string rule = one.rule;
    cases.push_back(
        {rule + " in a graph", model_of(bytes(5, head(kFloat, {1}) + raw(4)) + one.bytes), {"onnx", one.word}});
    cases.push_back({rule + " in a tensor", model_with(head(kFloat, {1}) + raw(4) + one.bytes), {"onnx", one.word}});
    cases.push_back({rule + " in a node", model_of(bytes(1, bytes(4, "Constant") + one.bytes)), {"onnx", one.word}});
  }
  const std::string good = model_with(head(kFloat, {2}) + raw(8));
  // Cut anywhere behind the tag of the graph, it is still an ONNX model, and an error of one.
  for (std::size_t size = 3; size < good.size(); ++size) {
    cases.push_back({"cut after " + std::to_string(size), good.substr(0, size), {size < 4 ? "" : "onnx, offset"}});
  }
  return cases;
}

Cases tensor_cases() {
  Cases cases;
  const auto add = [&](const std::string& rule, const std::string& tensor, std::vector<std::string> words) {
    words.push_back("onnx, offset");
    cases.push_back({rule, model_with(tensor), std::move(words)});
  };
  for (const std::uint64_t type : {std::uint64_t{0}, std::uint64_t{29}, std::uint64_t{100}, kMinusOne}) {
    add("data_type " + std::to_string(type), head(type, {1}) + raw(4), {"has the data_type " + std::to_string(type)});
  }
  add("no data_type", number(1, 1) + bytes(8, "x") + raw(4), {"has the data_type 0"});
  add("a negative dimension", head(kFloat, {kMinusOne}) + raw(4), {"a dimension is -1"});
  add("the most negative dimension", head(kFloat, {std::uint64_t{1} << 63}) + raw(4),
      {"a dimension is -9223372036854775808"});
  add("a negative dimension, packed", packed(1, {2, kMinusOne}) + number(2, kFloat) + bytes(8, "x"),
      {"a dimension is -1"});
  add("65 dimensions", head(kFloat, std::vector<std::uint64_t>(65, 1)) + raw(4), {"more than 64 dimensions"});
  add("a shape of 2^80", head(kFloat, {kHuge, kHuge}) + raw(4), {"overflows 2^64 bits"});
  add("a zero behind an overflow", head(kFloat, {kHuge, kHuge, 0}), {"overflows 2^64 bits"});
  add("a shape of 2^40 without data", head(kFloat, {kHuge}), {"has no elements", "field 4"});
  add("a shape of 2^40 with 4 bytes", head(kFloat, {kHuge}) + raw(4), {"raw_data has 4 bytes, expected 4398046511104"});
  const std::vector<std::pair<std::uint64_t, std::size_t>> widths{{1, 4},  {2, 1},   {3, 1},  {4, 2},  {5, 2},  {6, 4},
                                                                  {7, 8},  {9, 1},   {10, 2}, {11, 8}, {12, 4}, {13, 8},
                                                                  {14, 8}, {15, 16}, {16, 2}, {17, 1}, {20, 1}};
  for (const auto& [type, width] : widths) {
    const std::string wanted = "expected " + std::to_string(3 * width) + " for";
    add("a byte too few of type " + std::to_string(type), head(type, {3}) + raw(3 * width - 1),
        {"raw_data has", wanted});
    add("a byte too many of type " + std::to_string(type), head(type, {3}) + raw(3 * width + 1),
        {"raw_data has", wanted});
  }
  add("half a byte of int4 too few", head(22, {3}) + raw(1), {"raw_data has 1 bytes, expected 2"});
  add("int2: five in one byte", head(26, {5}) + raw(1), {"raw_data has 1 bytes, expected 2"});
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> lists{{kInt32, 5}, {kUint8, 5}, {kBool, 5}, {kHalf, 5},
                                                                   {kInt64, 7}, {12, 11},    {13, 11}};
  for (const auto& [type, field] : lists) {
    const std::string name = " of type " + std::to_string(type);
    add("a number too few" + name, head(type, {3}) + packed(field, {1, 1}), {"has 2 numbers, expected 3"});
    add("a number too many" + name, head(type, {3}) + packed(field, {1, 1, 1, 1}), {"has 4 numbers, expected 3"});
    add("unpacked, too few" + name, head(type, {3}) + number(field, 1), {"has 1 numbers, expected 3"});
    add("in the field of floats" + name, head(type, {1}) + bytes(4, "abcd"),
        {"field 4, expected field " + std::to_string(field)});
  }
  add("floats that end in a number", head(kFloat, {2}) + bytes(4, "abcdefg"), {"expected a multiple of 4"});
  add("floats as varints", head(kFloat, {1}) + number(4, 1), {"field 4 is a varint, expected a 32-bit number"});
  add("doubles as floats", head(kDouble, {1}) + pb::fixed(10, 0, 4),
      {"field 10 is a 32-bit number, expected a 64-bit number"});
  add("integers in the wrong field", head(kInt64, {1}) + packed(5, {1}), {"its numbers in field 5, expected field 7"});
  add("complex numbers: one half", head(14, {1}) + pb::fixed(4, 0, 4), {"has 1 numbers, expected 2"});
  add("raw and listed", head(kFloat, {1}) + raw(4) + pb::fixed(4, 0, 4), {"elements in two places"});
  add("two lists", head(kInt32, {1}) + packed(5, {1}) + packed(7, {1}), {"numbers in two fields"});
  add("a segment", head(kFloat, {1}) + bytes(3, number(1, 0)) + raw(4), {"in segments"});
  add("raw_data twice", head(kFloat, {1}) + raw(4) + raw(4), {"has raw_data twice"});
  add("data_type twice", head(kFloat, {1}) + number(2, kInt32) + raw(4), {"has data_type twice"});
  add("two names", head(kFloat, {1}) + bytes(8, "y") + raw(4), {"has name twice"});
  add("no name", number(1, 1) + number(2, kFloat) + raw(4), {"has no name"});
  add("an empty name", head(kFloat, {1}, "") + raw(4), {"has no name"});
  add("a name that is not UTF-8", head(kFloat, {1}, "\xc0\xaf") + raw(4), {"not UTF-8"});
  add("a name of 65,537 bytes", head(kFloat, {1}, std::string(65'537, 'n')) + raw(4), {"at most 65536"});
  add("a name that is a number", number(1, 1) + number(2, kFloat) + number(8, 1) + raw(4),
      {"field 8 is a varint, expected bytes"});
  add("a type that is bytes", number(1, 1) + bytes(2, "x") + bytes(8, "x") + raw(4),
      {"field 2 is bytes, expected a varint"});
  add("a dimension of 32 bits", pb::fixed(1, 1, 4) + number(2, kFloat) + bytes(8, "x") + raw(4),
      {"field 1 is a 32-bit number"});
  add("raw text", head(kString, {1}) + raw(4), {"strings has raw data"});
  add("a text too few", head(kString, {2}) + bytes(6, "a"), {"has 1 strings, expected 2"});
  add("a text too many", head(kString, {}) + bytes(6, "a") + bytes(6, "b"), {"has 2 strings, expected 1"});
  const std::string x = bytes(5, head(kFloat, {1}) + raw(4));
  cases.push_back({"two of one name", model_of(x + x), {"the tensor \"x\" twice"}});
  cases.push_back({"two graphs", model_of(x) + bytes(7, x), {"has graph twice"}});
  cases.push_back({"metadata of one key twice",
                   model_of(x) + bytes(14, bytes(1, "k")) + bytes(14, bytes(1, "k")),
                   {"metadata has \"k\" twice"}});
  return cases;
}

Cases value_cases() {
  Cases cases;
  const auto add = [&](const std::string& rule, const std::string& tensor, const std::string& word) {
    cases.push_back({rule, model_with(tensor), {"onnx, offset", word}, true});
  };
  add("a raw bool of 2", head(kBool, {2}) + bytes(9, "\1\2"), "a boolean is 2");
  add("a listed bool of 2", head(kBool, {2}) + packed(5, {1, 2}), "type bool is 2");
  add("a listed bool of -1", head(kBool, {1}) + packed(5, {kMinusOne}), "type bool is -1");
  add("uint8 of 256", head(kUint8, {1}) + packed(5, {256}), "type uint8 is 256");
  add("uint8 of -1", head(kUint8, {1}) + packed(5, {kMinusOne}), "type uint8 is -1");
  add("int8 of 128", head(kInt8, {1}) + packed(5, {128}), "type int8 is 128");
  add("int8 of -129", head(kInt8, {1}) + packed(5, {kMinusOne - 128}), "type int8 is -129");
  add("int16 of 32768", head(5, {1}) + packed(5, {32768}), "type int16 is 32768");
  add("uint16 of -1", head(4, {1}) + packed(5, {kMinusOne}), "type uint16 is -1");
  add("int32 of 2^32", head(kInt32, {1}) + packed(5, {std::uint64_t{1} << 32}), "type int32 is 4294967296");
  add("int32 below -2^31", head(kInt32, {1}) + packed(5, {kMinusOne - 0x80000000u}), "type int32 is -2147483649");
  add("uint32 of 2^32", head(12, {1}) + packed(11, {std::uint64_t{1} << 32}), "type uint32 is 4294967296");
  add("half of 2^16", head(kHalf, {1}) + packed(5, {65536}), "type float16 is 65536");
  add("bfloat16 of -1", head(16, {1}) + packed(5, {kMinusOne}), "type bfloat16 is -1");
  return cases;
}

std::string entry(const std::string& key, const std::string& value) {
  return bytes(13, bytes(1, key) + bytes(2, value));
}
std::string external(const std::string& location, const std::string& more = {}, const std::string& name = "x") {
  return head(kFloat, {2}, name) + number(14, 1) + entry("location", location) + more;
}

// Beside the model lies "data" of 32 bytes, and outside its folder "outside".
Cases external_cases() {
  Cases cases;
  const auto add = [&](const std::string& rule, const std::string& tensor, std::vector<std::string> words) {
    cases.push_back({rule, model_with(tensor), std::move(words)});
  };
  for (const std::string location : {"../outside", "./../outside", "/etc/passwd", "//etc/passwd", "/proc/self/environ",
                                     "folder/../../outside", "..", "../../../../../../etc/passwd"}) {
    add("a location outside: " + location, external(location), {"leaves the folder of the model"});
  }
  add("a location that is missing", external("nothing"), {"\"nothing\"", "No such file"});
  add("a location that is a folder", external("folder"), {"folder"});
  add("a location that is a pipe", external("pipe"), {"pipe", "expected a regular file"});
  add("a link that leads outside", external("link"), {"leaves the folder of the model"});
  add("a link to itself", external("loop"), {"too many symbolic links"});
  add("a location with a zero byte", external(std::string("data\0x", 6)), {"zero byte"});
  add("a location that is not UTF-8", external("\xff"), {"not UTF-8"});
  add("no location", head(kFloat, {2}) + number(14, 1), {"without a location"});
  add("an empty location", external(""), {"an empty location"});
  add("a location without its flag", head(kFloat, {2}) + entry("location", "data"),
      {"external_data without data_location"});
  add("two locations", external("data", entry("location", "data")), {"location twice"});
  add("external and raw", external("data") + raw(8), {"elements in two places"});
  add("external and listed", external("data") + pb::fixed(4, 0, 4) + pb::fixed(4, 0, 4), {"elements in two places"});
  add("data_location 2", head(kFloat, {2}) + raw(8) + number(14, 2), {"data_location is 2"});
  for (const std::string offset : {"-1", "0x8", "1e1", " 8", "8 ", "+8", "eight", "18446744073709551616", "1.0"}) {
    add("an offset of " + offset, external("data", entry("offset", offset)),
        {"the offset of external data is", "expected a number"});
    add("a length of " + offset, external("data", entry("length", offset)),
        {"the length of external data is", "expected a number"});
  }
  add("an offset past the end", external("data", entry("offset", "33")), {"at offset 33 of \"data\", which has 32"});
  add("an offset near 2^64", external("data", entry("offset", "18446744073709551615")), {"which has 32"});
  add("data past the end", external("data", entry("offset", "25")), {"8 bytes at offset 25", "which has 32"});
  add("a length that is too short", external("data", entry("length", "7")), {"have 7 bytes, expected 8"});
  add("a length that is too long", external("data", entry("length", "9")), {"have 9 bytes, expected 8"});
  add("no length, and a longer file", external("data"), {"have 32 bytes, expected 8"});
  cases.push_back({"two tensors on the same bytes",
                   model_of(bytes(5, external("data", entry("length", "8"))) +
                            bytes(5, external("data", entry("offset", "7") + entry("length", "8"), "y"))),
                   {"overlap those of another tensor"}});
  return cases;
}

std::string sparse(const std::string& values, const std::string& indices, const std::vector<std::uint64_t>& dims) {
  return model_of(bytes(15, bytes(1, values) + bytes(2, indices) + packed(3, dims)));
}

Cases sparse_cases() {
  const std::string values = head(kFloat, {2}) + raw(8);
  const auto indices = [](const std::vector<std::uint64_t>& list, const std::vector<std::uint64_t>& dims) {
    return head(kInt64, dims, "") + packed(7, list);
  };
  const std::string good = indices({1, 2}, {2});
  Cases cases{
      {"no values", model_of(bytes(15, bytes(2, good) + packed(3, {4}))), {"has no values"}},
      {"no indices", model_of(bytes(15, bytes(1, values) + packed(3, {4}))), {"has no indices", "no values or"}},
      {"values twice", model_of(bytes(15, bytes(1, values) + bytes(1, values) + bytes(2, good))), {"twice"}},
      {"a scalar", sparse(values, good, {}), {"a scalar is not sparse"}},
      {"a shape of 2^80", sparse(values, good, {kHuge, kHuge}), {"overflows 2^64 bits"}},
      {"a negative dimension", sparse(values, good, {kMinusOne}), {"a dimension is -1"}},
      {"values of two dimensions", sparse(head(kFloat, {1, 2}) + raw(8), good, {4}), {"values have the shape (1, 2)"}},
      {"indices of floats", sparse(values, head(kFloat, {2}) + raw(8), {4}), {"indices are FLOAT"}},
      {"indices of int32", sparse(values, head(kInt32, {2}) + raw(8), {4}), {"indices are INT32"}},
      {"an index too few", sparse(values, indices({1}, {1}), {4}), {"indices have the shape (1,)"}},
      {"an index too many", sparse(values, indices({1, 2, 3}, {3}), {4}), {"indices have the shape (3,)"}},
      {"indices of another rank",
       sparse(values, indices({0, 0, 0, 0, 0, 0}, {2, 3}), {4, 4}),
       {"indices have the shape (2, 3)"}},
      {"indices transposed",
       sparse(head(kFloat, {3}) + raw(12), indices({0, 0, 0, 0, 0, 0}, {2, 3}), {4, 4}),
       {"indices have the shape (2, 3)"}},
      {"no name", sparse(head(kFloat, {2}, "") + raw(8), good, {4}), {"has no name"}},
  };
  const std::string missing = "no values or no indices";
  cases[0].words = {missing};
  cases[1].words = {missing};
  const auto at_load = [&](const std::string& rule, const std::vector<std::uint64_t>& list,
                           const std::vector<std::uint64_t>& dims, const std::vector<std::uint64_t>& shape,
                           const std::string& word) {
    cases.push_back({rule, sparse(values, indices(list, dims), shape), {"onnx, offset", word}, true});
  };
  at_load("a linear index too large", {1, 4}, {2}, {4}, "is 4 in (4,)");
  at_load("a linear index of 2^63 - 1", {1, (std::uint64_t{1} << 63) - 1}, {2}, {4}, "in (4,)");
  at_load("a negative linear index", {kMinusOne, 1}, {2}, {4}, "is -1 in (4,)");
  at_load("the same linear index twice", {1, 1}, {2}, {4}, "not larger than the one before");
  at_load("linear indices that descend", {2, 1}, {2}, {4}, "not larger than the one before");
  at_load("a row too large", {0, 0, 2, 0}, {2, 2}, {2, 3}, "is 2 in dimension 0");
  at_load("a column too large", {0, 0, 1, 3}, {2, 2}, {2, 3}, "is 3 in dimension 1");
  at_load("a negative row", {kMinusOne, 0, 1, 0}, {2, 2}, {2, 3}, "is -1 in dimension 0");
  at_load("a negative column", {0, kMinusOne, 1, 0}, {2, 2}, {2, 3}, "is -1 in dimension 1");
  at_load("rows that descend", {1, 0, 0, 0}, {2, 2}, {2, 3}, "not larger than the one before");
  at_load("an entry twice", {1, 1, 1, 1}, {2, 2}, {2, 3}, "not larger than the one before");
  at_load("an entry of an empty tensor", {0, 1}, {2}, {0, 3}, "is 0 in (0, 3)");
  return cases;
}

Cases graph_cases() {
  const std::string tensor = head(kFloat, {1}) + raw(4);
  const auto constant = [&](const std::string& more) {
    return model_of(bytes(1, bytes(2, "c") + bytes(4, "Constant") + more));
  };
  const std::string value = bytes(5, bytes(1, "value") + bytes(5, tensor));
  Cases cases{
      {"a constant without a name", model_of(bytes(1, bytes(4, "Constant") + value)), {"a tensor has no name"}},
      {"two values", constant(bytes(5, bytes(1, "value") + bytes(5, tensor) + bytes(5, tensor))), {"value twice"}},
      {"two attributes of values", constant(value + value), {"\"c\" twice"}},
      {"two operators", constant(bytes(4, "Relu")), {"op_type twice"}},
      {"two domains", constant(bytes(7, "a") + bytes(7, "b")), {"domain twice"}},
      {"an attribute of two names", constant(bytes(5, bytes(1, "a") + bytes(1, "b"))), {"name twice"}},
      {"a value that is a number", constant(bytes(5, bytes(1, "value") + number(5, 1))), {"field 5 is a varint"}},
      {"two floats as one",
       constant(bytes(5, bytes(1, "value_float") + pb::fixed(2, 0, 4) + pb::fixed(2, 0, 4))),
       {"there 2 times"}},
      {"two integers as one",
       constant(bytes(5, bytes(1, "value_int") + number(3, 0) + number(3, 0))),
       {"there 2 times"}},
      {"floats that are cut",
       constant(bytes(5, bytes(1, "value_floats") + bytes(7, "abc"))),
       {"expected a multiple of 4"}},
      {"a tensor that is broken in a subgraph",
       model_of(bytes(
           1, bytes(2, "y") + bytes(5, bytes(1, "then_branch") + bytes(6, bytes(5, head(kFloat, {2}) + raw(4)))))),
       {"raw_data has 4 bytes"}},
      {"the same name in one branch",
       model_of(bytes(1, bytes(2, "y") + bytes(5, bytes(1, "body") + bytes(6, bytes(5, tensor) + bytes(5, tensor))))),
       {"\"y/body/x\" twice"}},
  };
  std::string nested = bytes(5, tensor);
  for (int depth = 0; depth < 200; ++depth)
    nested = bytes(1, bytes(2, "y") + bytes(5, bytes(1, "body") + bytes(6, nested)));
  cases.push_back({"subgraphs 200 deep", model_of(nested), {"nested deeper than 100"}});
  return cases;
}

TEST(MalformedOnnx, EachGivesItsError) {
  const TemporaryFolder folder;
  write_file(folder / "outside", std::string(32, '\0'));
  std::filesystem::create_directories(folder / "model/folder");
  write_file(folder / "model/data", std::string(32, '\0'));
  std::filesystem::create_symlink("../outside", folder / "model/link");
  std::filesystem::create_symlink("loop", folder / "model/loop");
  ASSERT_EQ(mkfifo((folder / "model/pipe").c_str(), 0600), 0);
  Cases cases = wire_cases();
  append(cases, tensor_cases());
  append(cases, value_cases());
  append(cases, external_cases());
  append(cases, sparse_cases());
  append(cases, graph_cases());
  EXPECT_GE(cases.size(), 200u);
  expect_errors(folder / "model/m.onnx", cases);
}

}  // namespace
}  // namespace sparsert::test
