// tests/files/safetensors_malformed_test.cpp — malformed and hostile safetensors, each with the error it must give.
//
// Every case is made here, byte by byte, and names the rule it breaks. Whatever the bytes are, `inspect_file` and
// `load` throw FileError with these words, and what is malformed is never listed in part.
#include "tests/files/support.hpp"

namespace sparsert::test {
namespace {

struct Case {
  std::string rule;
  std::string bytes;
  std::vector<std::string> words;  // of the message
};

using Cases = std::vector<Case>;

std::string text_of(const std::string& piece, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += piece;
  return text;
}

// A file with one tensor "x" whose fields are as given.
std::string one(std::string_view dtype, std::string_view shape, std::string_view place, std::string_view data) {
  return container(header({entry("x", dtype, shape, place)}), data);
}

Cases length_cases() {
  Cases cases;
  for (std::size_t n = 0; n < 8; ++n) {
    cases.push_back({"shorter than a length: " + std::to_string(n),
                     std::string(n, '\0'),
                     {"offset 0", "has " + std::to_string(n) + " bytes", "at least 8"}});
  }
  const std::string json = "{}      ";
  for (const std::uint64_t length : {std::uint64_t{100'000'001}, std::uint64_t{1} << 31, (std::uint64_t{1} << 32) - 1,
                                     std::uint64_t{1} << 32, std::uint64_t{1} << 62, std::uint64_t{1} << 63,
                                     ~std::uint64_t{0} - 7, ~std::uint64_t{0} - 8, ~std::uint64_t{0}}) {
    cases.push_back({"a length over the limit: " + std::to_string(length),
                     little_endian(length) + json,
                     {"offset 0", std::to_string(length), "at most 100000000"}});
  }
  for (const std::uint64_t length : {9u, 10u, 1000u, 99'999'999u, 100'000'000u}) {
    cases.push_back({"a length over the file: " + std::to_string(length),
                     little_endian(length) + json,
                     {"offset 0", std::to_string(length), "the 8 that follow"}});
  }
  cases.push_back({"a length of zero", little_endian(0), {"offset 8", "does not begin with '{'"}});
  cases.push_back({"a length of zero, with data", little_endian(0) + "{}", {"offset 8", "does not begin with '{'"}});
  cases.push_back({"a big-endian length", std::string("\0\0\0\0\0\0\0\x02{}", 10), {"offset 0", "at most 100000000"}});
  return cases;
}

Cases other_format_cases() {
  const std::string rest(64, '\0');
  return {
      {"a zip archive", "PK\x03\x04" + rest, {"zip, offset 68", "no end record"}},
      {"a pickle", "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e" + rest, {"torch, offset 15"}},
      {"an npy file", "\x93NUMPY" + rest, {"npy, offset 6", "version 0.0"}},
      {"an HDF5 file", "\x89HDF\r\n\x1a\n" + rest, {"hdf5, offset 8"}},
      {"a GGUF file", "GGUF" + rest, {"gguf, offset 8"}},
      {"text", "a text of some length, which is no model at all", {"no format that is read"}},
      {"zeros", std::string(4096, '\0'), {"offset 8", "'{'"}},
      {"JSON without a length", R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", {"no format that is read"}},
  };
}

Cases json_cases() {
  const std::string good = entry("x", "U8", "[1]", "[0,1]");
  const auto json = [](const std::string& rule, const std::string& text, std::vector<std::string> words) {
    return Case{rule, container(text, "d"), std::move(words)};
  };
  Cases cases{
      json("an array", "[]", {"offset 8", "does not begin with '{'"}),
      json("a space first", " {}", {"offset 8", "does not begin with '{'"}),
      json("a byte order mark first", "\xef\xbb\xbf{}", {"offset 8", "does not begin with '{'"}),
      json("nothing but a brace", "{", {"not valid JSON"}),
      json("an open object", "{" + good, {"not valid JSON"}),
      json("an open entry", "{" + good.substr(0, good.size() - 1), {"not valid JSON"}),
      json("two objects", "{}{}", {"offset 11", "not valid JSON"}),
      json("text after the object", "{}x", {"not valid JSON"}),
      json("a comma after the last entry", "{" + good + ",}", {"not valid JSON"}),
      json("no comma between entries", "{" + good + entry("y", "U8", "[0]", "[1,1]") + "}", {"not valid JSON"}),
      json("no colon", R"({"x"{}})", {"not valid JSON"}),
      json("a name that is a number", "{1:{}}", {"not valid JSON"}),
      json("a name without quotes", "{x:{}}", {"not valid JSON"}),
      json("quotes of another kind", "{'x':{}}", {"not valid JSON"}),
      json("a comment", "{/* x */}", {"not valid JSON"}),
      json("a line comment", "{// x\n}", {"not valid JSON"}),
      json("an open string", R"({"x)", {"not valid JSON"}),
      json("a bad escape", R"({"\x":{}})", {"not valid JSON"}),
      json("half a surrogate pair", R"({"\ud800":{}})", {"not valid JSON", "surrogate"}),
      json("the second half alone", R"({"\udc00":{}})", {"not valid JSON", "surrogate"}),
      json("a short escape", R"({"\u12":{}})", {"not valid JSON"}),
      json("a control character in a string", "{\"a\nb\":{}}", {"not valid JSON"}),
      json("a zero byte in a string", std::string("{\"a\0b\":{}}", 10), {"offset 11", "zero byte"}),
      json("a zero byte behind the object", std::string("{}\0garbage", 10), {"offset 10", "zero byte"}),
      json("zero bytes as padding", std::string("{}\0\0\0\0\0\0", 8), {"offset 10", "zero byte"}),
      json("UTF-8: a lone continuation", "{\"\x80\":{}}", {"not valid JSON", "UTF-8"}),
      json("UTF-8: a cut sequence", "{\"\xe2\x82\":{}}", {"not valid JSON", "UTF-8"}),
      json("UTF-8: an overlong slash", "{\"\xc0\xaf\":{}}", {"not valid JSON", "UTF-8"}),
      json("UTF-8: a surrogate", "{\"\xed\xa0\x80\":{}}", {"not valid JSON", "UTF-8"}),
      json("UTF-8: above U+10FFFF", "{\"\xf4\x90\x80\x80\":{}}", {"not valid JSON", "UTF-8"}),
      json("UTF-8: 0xFF", "{\"\xff\":{}}", {"not valid JSON", "UTF-8"}),
      json("UTF-16", std::string("{\0\"\0x\0\"\0", 8), {"zero byte"}),
      json("NaN", R"({"x":NaN})", {"not valid JSON"}),
      json("True", R"({"x":True})", {"not valid JSON"}),
      json("a number with a leading zero", R"({"x":{"shape":[01]}})", {"not valid JSON"}),
      json("a number with a plus", R"({"x":{"shape":[+1]}})", {"not valid JSON"}),
      json("a hexadecimal number", R"({"x":{"shape":[0x1]}})", {"not valid JSON"}),
  };
  // Nesting: nothing nests in this format, so depth ends at the first level that is too deep.
  for (const int depth : {2, 100, 100'000}) {
    cases.push_back(json("objects nested " + std::to_string(depth), text_of("{\"a\":", depth),
                         {"\"a\"", "got the key \"a\", expected dtype, shape or data_offsets"}));
    cases.push_back(json("arrays nested " + std::to_string(depth), "{\"a\":" + text_of("[", depth), {"got an array"}));
    cases.push_back(json("a shape nested " + std::to_string(depth), R"({"a":{"shape":)" + text_of("[", depth),
                         {"got an array, expected an unsigned integer in shape"}));
    cases.push_back(json("metadata nested " + std::to_string(depth), R"({"__metadata__":{"a":)" + text_of("[", depth),
                         {"got an array, expected a string as value of __metadata__"}));
  }
  cases.push_back(json("a number of a million digits", R"({"x":{"shape":[)" + std::string(1'000'000, '9') + "]}}",
                       {"no 64-bit unsigned integer"}));
  cases.push_back(json("a name of a million characters, cut", "{\"" + std::string(1'000'000, 'n'), {"not valid JSON"}));
  return cases;
}

Cases schema_cases() {
  const auto json = [](const std::string& rule, const std::string& text, std::vector<std::string> words) {
    return Case{rule, container(text, "d"), std::move(words)};
  };
  Cases cases;
  // Every kind of value where an entry, a dtype, a shape, a size, a place or an offset belongs.
  const std::vector<std::pair<std::string, std::string>> kinds{
      {"null", "null"},   {"true", "a boolean"},       {"\"s\"", "a string"},
      {"1", "a number"},  {"-1", "a negative number"}, {"1.0", "no 64-bit unsigned integer"},
      {"[]", "an array"}, {"{}", "an object"}};
  const auto add = [&](const std::string& before, const std::string& after, const std::string& expected,
                       const std::vector<std::string>& allowed) {
    for (const auto& [value, got] : kinds) {
      if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) continue;
      cases.push_back(json(got + " as " + expected, before + value + after, {"got", got, "expected " + expected}));
    }
  };
  add("{\"x\":", "}", "an object with dtype, shape and data_offsets", {"{}"});
  add("{\"x\":{\"dtype\":", "}}", "a string as dtype", {"\"s\""});
  add("{\"x\":{\"shape\":", "}}", "an array as shape", {"[]"});
  add("{\"x\":{\"shape\":[", "]}}", "an unsigned integer in shape", {"1"});
  add("{\"x\":{\"data_offsets\":", "}}", "an array as data_offsets", {"[]"});
  add("{\"x\":{\"data_offsets\":[", "]}}", "an unsigned integer in data_offsets", {"1"});
  add("{\"__metadata__\":", "}", "an object of strings as __metadata__", {"{}"});
  add("{\"__metadata__\":{\"k\":", "}}", "a string as value of __metadata__", {"\"s\""});

  cases.push_back(json("an entry without anything", R"({"x":{}})", {"\"x\"", "has no dtype"}));
  cases.push_back(json("no dtype", R"({"x":{"shape":[1],"data_offsets":[0,1]}})", {"has no dtype"}));
  cases.push_back(json("no shape", R"({"x":{"dtype":"U8","data_offsets":[0,1]}})", {"has no shape"}));
  cases.push_back(json("no place", R"({"x":{"dtype":"U8","shape":[1]}})", {"has no data_offsets"}));
  cases.push_back(
      json("dtype twice", R"({"x":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", {"dtype twice"}));
  cases.push_back(
      json("shape twice", R"({"x":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", {"shape twice"}));
  cases.push_back(json("place twice", R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"data_offsets":[0,1]}})",
                       {"data_offsets twice"}));
  cases.push_back(json("dtype twice, escaped",
                       R"({"x":{"dtype":"U8","\u0064type":"U8","shape":[1],"data_offsets":[0,1]}})", {"dtype twice"}));
  cases.push_back(json("a key of another spelling", R"({"x":{"Dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                       {"got the key \"Dtype\""}));
  cases.push_back(json("a key that is not known",
                       R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"codec":"zstd"}})",
                       {"\"x\"", "got the key \"codec\""}));
  cases.push_back(json("a tensor twice", header({entry("x", "U8", "[1]", "[0,1]"), entry("x", "U8", "[0]", "[1,1]")}),
                       {"offset 8", "the tensor \"x\" twice"}));
  cases.push_back(json("a tensor twice, escaped",
                       header({entry("x", "U8", "[1]", "[0,1]"), entry("\\u0078", "U8", "[0]", "[1,1]")}),
                       {"the tensor \"x\" twice"}));
  cases.push_back(json("a tensor without a name twice",
                       header({entry("", "U8", "[1]", "[0,1]"), entry("", "U8", "[0]", "[1,1]")}),
                       {"the tensor \"\" twice"}));
  cases.push_back(json("metadata twice", R"({"__metadata__":{},"__metadata__":{}})", {"__metadata__ twice"}));
  cases.push_back(json("a metadata key twice", R"({"__metadata__":{"a":"1","a":"2"}})", {"the key \"a\" twice"}));
  cases.push_back(json("metadata as a tensor", header({entry("__metadata__", "U8", "[1]", "[0,1]")}),
                       {"got an array, expected a string as value of __metadata__"}));
  std::string many = "{\"__metadata__\":{\"0\":\"\"";
  for (int i = 1; i <= 100'000; ++i) many.append(",\"").append(std::to_string(i)).append("\":\"\"");
  cases.push_back(json("too many metadata keys", many.append("}}"), {"__metadata__ has more than 100000 keys"}));
  for (const char* const dtype : {"", "f32", "F32 ", "FLOAT32", "F128", "F8", "U4", "STRING", "BOOL8", "F32\\u0000"}) {
    cases.push_back({std::string("a dtype that is not known: ") + dtype,
                     one(dtype, "[1]", "[0,1]", "d"),
                     {"dtype is", "the format does not have"}});
  }
  return cases;
}

Cases number_cases() {
  Cases cases;
  for (const char* const number : {"-0", "-1", "1.0", "1e3", "1E0", "0.0", "1e-1", "18446744073709551616", "1e400",
                                   "99999999999999999999999999"}) {
    cases.push_back({std::string("a size that is no unsigned integer: ") + number,
                     one("U8", std::string("[").append(number).append("]"), "[0,1]", "d"),
                     {"expected an unsigned integer in shape"}});
    cases.push_back({std::string("an offset that is no unsigned integer: ") + number,
                     one("U8", "[1]", std::string("[0,").append(number).append("]"), "d"),
                     {"expected an unsigned integer in data_offsets"}});
  }
  for (const char* const place : {"[]", "[0]", "[0,1,1]", "[0,1,2,3]"}) {
    cases.push_back({std::string("a place that is no pair: ") + place,
                     one("U8", "[1]", place, "d"),
                     {"data_offsets has", "expected 2"}});
  }
  std::string ones = "[1";
  for (int i = 1; i < 65; ++i) ones += ",1";
  cases.push_back({"65 dimensions", one("U8", ones.append("]"), "[0,1]", "d"), {"more than 64 dimensions"}});
  return cases;
}

Cases shape_cases() {
  const auto shape = [](const std::string& rule, std::string_view dtype, std::string_view sizes, std::string_view place,
                        const std::string& data, std::vector<std::string> words) {
    return Case{rule, one(dtype, sizes, place, data), std::move(words)};
  };
  return {
      shape("a dimension of 2^63", "U8", "[9223372036854775808]", "[0,0]", "",
            {"9223372036854775808", "less than 2^63"}),
      shape("a dimension of 2^64 - 1", "U8", "[18446744073709551615]", "[0,0]", "", {"less than 2^63"}),
      shape("a product of 2^64", "U8", "[4294967296,4294967296]", "[0,0]", "", {"overflows 2^64 bits"}),
      shape("a product that wraps to 4", "U8", "[6148914691236517206,6]", "[0,4]", "dddd", {"overflows"}),
      shape("an overflow before a zero", "U8", "[4294967296,4294967296,0]", "[0,0]", "", {"overflows"}),
      shape("bits that wrap to zero", "U8", "[2305843009213693952]", "[0,0]", "", {"overflows"}),
      shape("bits that wrap to zero, of 8 bytes", "F64", "[288230376151711744]", "[0,0]", "", {"overflows"}),
      shape("bits that wrap to eight", "U8", "[2305843009213693953]", "[0,1]", "d", {"overflows"}),
      shape("the most that does not wrap", "U8", "[2305843009213693951]", "[0,1]", "d",
            {"expected 2305843009213693951 bytes"}),
      shape("half a byte", "F4", "[1]", "[0,1]", "d", {"4 bits", "whole bytes"}),
      shape("half a byte, of none", "F4", "[1]", "[0,0]", "", {"whole bytes"}),
      shape("a byte and a half", "F4", "[3]", "[0,1]", "d", {"12 bits", "whole bytes"}),
      shape("six bits", "F6_E2M3", "[1]", "[0,1]", "d", {"6 bits", "whole bytes"}),
      shape("six bits of the other kind", "F6_E3M2", "[2]", "[0,2]", "dd", {"12 bits", "whole bytes"}),
      shape("more data than the shape has", "U8", "[1]", "[0,2]", "dd", {"expected 1 bytes for U8 (1,)"}),
      shape("less data than the shape has", "U8", "[3]", "[0,2]", "dd", {"expected 3 bytes for U8 (3,)"}),
      shape("data for no elements", "F32", "[0]", "[0,4]", "dddd", {"expected 0 bytes"}),
      shape("no data for a scalar", "F32", "[]", "[0,0]", "", {"expected 4 bytes for F32 ()"}),
      shape("the items of another type", "F32", "[2]", "[0,4]", "dddd", {"expected 8 bytes for F32 (2,)"}),
  };
}

Cases place_cases() {
  const auto places = [](const std::string& rule, const std::vector<std::string>& entries, const std::string& data,
                         std::vector<std::string> words) {
    return Case{rule, container(header(entries), data), std::move(words)};
  };
  return {
      places("no tensor, but data", {}, "d", {"offset 10", "1 bytes belong to no tensor"}),
      places("data after the last tensor", {entry("x", "U8", "[1]", "[0,1]")}, "dd", {"1 bytes belong to no tensor"}),
      places("an archive behind the data", {entry("x", "U8", "[1]", "[0,1]")}, "dPK\x03\x04",
             {"4 bytes belong to no tensor"}),
      places("no data", {entry("x", "U8", "[1]", "[0,1]")}, "", {"expected to end in the 0 bytes"}),
      places("data cut short", {entry("x", "U8", "[4]", "[0,4]")}, "ddd", {"expected to end in the 3 bytes"}),
      places("a start behind the first byte", {entry("x", "U8", "[1]", "[1,2]")}, "dd", {"begin at 0", "a hole"}),
      places("a hole", {entry("x", "U8", "[1]", "[0,1]"), entry("y", "U8", "[1]", "[2,3]")}, "ddd",
             {"\"y\"", "begin at 1", "a hole"}),
      places("an overlap", {entry("x", "U8", "[2]", "[0,2]"), entry("y", "U8", "[2]", "[1,3]")}, "ddd",
             {"\"y\"", "begin at 2", "an overlap"}),
      places("two on one range", {entry("x", "U8", "[2]", "[0,2]"), entry("y", "U8", "[2]", "[0,2]")}, "dd",
             {"\"y\"", "an overlap"}),
      places("one inside another", {entry("x", "U8", "[4]", "[0,4]"), entry("y", "U8", "[1]", "[1,2]")}, "dddd",
             {"\"y\"", "an overlap"}),
      places("an end before the begin", {entry("x", "U8", "[1]", "[0,1]"), entry("y", "U8", "[0]", "[1,0]")}, "d",
             {"\"y\"", "not before the begin"}),
      places("a begin behind everything", {entry("x", "U8", "[0]", "[9,9]")}, "d", {"a hole"}),
      places("the largest offsets", {entry("x", "U8", "[0]", "[18446744073709551615,18446744073709551615]")}, "",
             {"a hole"}),
      places("an end of 2^64 - 1", {entry("x", "U8", "[1]", "[0,18446744073709551615]")}, "d",
             {"expected to end in the 1 bytes"}),
      places("an end of 2^63", {entry("x", "U8", "[1]", "[0,9223372036854775808]")}, "d", {"expected to end in"}),
      places("a difference that wraps",
             {entry("x", "U8", "[1]", "[0,1]"), entry("y", "U8", "[2]", "[18446744073709551615,1]")}, "d",
             {"\"y\"", "a hole"}),
      places("an empty tensor inside another", {entry("x", "U8", "[2]", "[0,2]"), entry("y", "U8", "[0]", "[1,1]")},
             "dd", {"\"y\"", "an overlap"}),
      places("an empty tensor behind the end", {entry("x", "U8", "[2]", "[0,2]"), entry("y", "U8", "[0]", "[3,3]")},
             "dd", {"\"y\"", "a hole"}),
      places("the whole file as data", {entry("x", "U8", "[70]", "[0,70]")}, "d", {"expected to end in the 1 bytes"}),
  };
}

Cases all_cases() {
  Cases all;
  for (auto cases : {length_cases(), other_format_cases(), json_cases(), schema_cases(), number_cases(), shape_cases(),
                     place_cases()}) {
    std::move(cases.begin(), cases.end(), std::back_inserter(all));
  }
  return all;
}

TEST(MalformedSafetensors, EachGivesItsError) {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  const Cases cases = all_cases();
  EXPECT_GE(cases.size(), 200u);
  for (const Case& one : cases) {
    SCOPED_TRACE(one.rule);
    write_file(path, one.bytes);
    std::vector<std::string> words = one.words;
    words.push_back("a.safetensors: ");
    expect_error(ErrorCode::file, words, [&] { inspect_file(path); });
    expect_error(ErrorCode::file, words, [&] { load(path); });
  }
}

TEST(MalformedSafetensors, MessagesAreShortAndPrintable) {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  for (const Case& one : all_cases()) {
    write_file(path, one.bytes);
    try {
      load(path);
    } catch (const FileError& error) {
      const std::string message = error.what();
      EXPECT_LT(message.size(), 500u) << one.rule;
      EXPECT_TRUE(std::none_of(message.begin(), message.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
          << one.rule;
    }
  }
}

TEST(MalformedSafetensors, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  StateDict state;
  state.insert("first", Tensor::from(std::vector<float>{1, 2, 3}, {3}));
  state.insert("second", Tensor::from(std::vector<std::uint8_t>{1, 2, 3, 4, 5}, {5}));
  state.metadata() = {{"k", "v"}};
  save(path, state);
  const std::string whole = read_file(path);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    write_file(path, std::string_view(whole).substr(0, n));
    SCOPED_TRACE("cut at " + std::to_string(n));
    expect_error(ErrorCode::file, {}, [&] { inspect_file(path); });
    expect_error(ErrorCode::file, {}, [&] { load(path); });
  }
  write_file(path, whole + "x");
  expect_error(ErrorCode::file, {"1 bytes belong to no tensor"}, [&] { load(path); });
}

}  // namespace
}  // namespace sparsert::test
