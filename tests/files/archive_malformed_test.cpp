// tests/files/archive_malformed_test.cpp — malformed zip archives and NumPy arrays, each with the error it must give.
#include "tests/files/archive.hpp"

namespace sparsert::test {
namespace {

const std::string kGood = npy(npy_header("<f4", "(2, 3)"), std::string(24, 'x'));

Cases zip_cases() {
  const Zip zip = make_zip({{"a.npy", kGood}, {"b.npy", kGood}});
  const std::size_t local = zip.local[1];
  const std::size_t central = zip.central[1];
  const std::size_t end = zip.end;
  const auto size = static_cast<std::uint64_t>(kGood.size());
  Cases cases;
  const auto add = [&](const std::string& rule, std::string bytes, std::vector<std::string> words,
                       bool when_read = false) {
    words.insert(words.begin(), "zip, offset ");
    cases.push_back({rule, std::move(bytes), std::move(words), when_read});
  };
  add("no end record", zip.bytes.substr(0, end), {"no end record"});
  add("a byte behind the end record", zip.bytes + "x", {"no end record"});
  add("a cut end record", zip.bytes.substr(0, end + 21), {"no end record"});
  add("a comment that is longer than the file", zip.with(end + 20, 1, 2), {"no end record"});
  add("two end records", zip.with(end + 20, 22, 2) + zip.bytes.substr(end), {"second end record"});
  for (const std::size_t field : {4, 6}) {
    for (const std::uint64_t disk : {1u, 0xffffu})
      add("another disk", zip.with(end + field, disk, 2), {"part of several"});
  }
  for (const std::uint64_t count : {0u, 1u, 3u, 0xfffeu}) {
    add("a count of members on this disk", zip.with(end + 8, count, 2), {"part of several"});
  }
  for (const std::uint64_t count : {0u, 1u}) {
    std::string bytes = zip.with(end + 8, count, 2);
    add("too few members", bytes.replace(end + 10, 2, little(count, 2)), {"behind the last entry"});
  }
  for (const std::uint64_t count : {3u, 5u, 0xfffeu}) {
    std::string bytes = zip.with(end + 8, count, 2);
    add("too many members", bytes.replace(end + 10, 2, little(count, 2)), {count == 3 ? "fit" : "do not fit"});
  }
  for (const std::uint64_t value :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 31, std::uint64_t{0xfffffffe}}) {
    add("a directory of another size", zip.with(end + 12, value, 4), {"expected it to end at the end record"});
    add("a directory elsewhere", zip.with(end + 16, value, 4), {"expected it to end at the end record"});
  }
  for (const std::size_t field : {10, 12, 16}) {
    std::string bytes = zip.with(end + field, 0xffffffff, field == 10 ? 2 : 4);
    if (field == 10) bytes.replace(end + 8, 2, little(0xffff, 2));
    add("64-bit fields that are not there", bytes, {"64-bit end record is missing"});
  }
  for (const std::uint64_t flag : {0x1u, 0x40u, 0x2000u}) {
    add("encryption in the directory", zip.with(central + 8, 0x800 | flag, 2), {"\"b.npy\"", "encrypted"});
    add("encryption in the local header", zip.with(local + 6, 0x800 | flag, 2), {"\"b.npy\"", "contradicts"});
  }
  for (const std::uint64_t method : {1u, 9u, 12u, 14u, 93u, 99u}) {
    std::string bytes = zip.with(central + 10, method, 2);
    add("an unknown method", bytes.replace(local + 8, 2, little(method, 2)), {"\"b.npy\"", "compression method"});
    add("a method in one place", zip.with(local + 8, method, 2), {"contradicts the directory"});
  }
  add("no entry of the directory", zip.with(central, 0, 4), {"no entry of the directory"});
  add("no local header", zip.with(local, 0, 4), {"no local header"});
  add("a wrong checksum", zip.with(central + 16, 1, 4), {"contradicts the directory"});
  {
    std::string bytes = zip.with(central + 16, 1, 4);
    add("a wrong checksum in both places", bytes.replace(local + 14, 4, little(1, 4)), {"\"b.npy\"", "CRC-32"}, true);
  }
  add("changed data", zip.with(zip.central[0] - 1, 0, 1), {"\"b.npy\"", "CRC-32"}, true);
  for (const std::uint64_t value : {std::uint64_t{0}, size - 1, size + 1, std::uint64_t{0xfffffffe}}) {
    add("a stored size that is two sizes", zip.with(central + 20, value, 4), {"its two sizes differ"});
    add("the other of the two", zip.with(central + 24, value, 4), {"its two sizes differ"});
    add("a size in the local header", zip.with(local + 22, value, 4), {"contradicts the directory"});
  }
  add("a 64-bit size that is not there", zip.with(central + 24, 0xffffffff, 4), {"64-bit field, which is not there"});
  add("a 64-bit offset that is not there", zip.with(central + 42, 0xffffffff, 4), {"64-bit field, which is not there"});
  for (const std::uint64_t value :
       {std::uint64_t{0xfffffffe}, std::uint64_t{zip.central[0]}, std::uint64_t{zip.central[0]} - 10}) {
    add("a local header outside the data", zip.with(central + 42, value, 4), {"outside the data"});
  }
  add("two members on one place", zip.with(central + 42, 0, 4), {"contradicts the directory"});
  for (const std::uint64_t length : {0u, 1u, 4u, 6u, 0xffffu}) {
    add("a name of another length", zip.with(local + 26, length, 2), {"contradicts the directory"});
  }
  add("an extra field into the directory", zip.with(local + 28, 1, 2), {"reaches into the directory"});
  add("another name in the local header", zip.with(local + 30, 'c', 1), {"contradicts the directory"});
  add("another disk of a member", zip.with(central + 34, 1, 2), {"another part"});
  add("a name twice", make_zip({{"a.npy", kGood}, {"a.npy", kGood}}).bytes, {"\"a.npy\"", "twice"});
  add("an empty name", make_zip({{"a.npy", kGood}, {"", kGood}}).bytes, {"a bad name"});
  add("a name with a zero byte", make_zip({{"a.npy", kGood}, {std::string("x\0y", 3), kGood}}).bytes, {"a bad name"});
  {
    // What is declared deflated has to inflate, to the size that is declared.
    for (const std::string& data : {std::string("xxxx"), std::string("\x03\x00", 2), std::string()}) {
      Zip one = make_zip({{"a.npy", data}});
      std::string bytes = one.with(one.central[0] + 10, 8, 2);
      bytes.replace(one.local[0] + 8, 2, little(8, 2));
      for (const std::size_t at : {one.central[0] + 24, one.local[0] + 22}) bytes.replace(at, 4, little(100, 4));
      add("deflated data of " + std::to_string(data.size()) + " bytes", bytes, {"\"a.npy\""});
    }
  }
  const std::string gap = zip.bytes.substr(0, local) + std::string(25, '\0') + zip.bytes.substr(local);
  {
    std::string bytes = gap;
    bytes.replace(end + 25 + 16, 4, little(zip.central[0] + 25, 4));
    bytes.replace(central + 25 + 42, 4, little(local + 25, 4));
    add("bytes between members", bytes, {"belong to no member"});
  }
  return cases;
}

Cases npy_cases() {
  Cases cases;
  const auto add = [&](const std::string& rule, std::string bytes, std::vector<std::string> words) {
    words.insert(words.begin(), "npy, offset ");
    // As a file, and as a member of an archive.
    cases.push_back({rule + ", in an archive", make_zip({{"a.npy", bytes}}).bytes, words});
    cases.push_back({rule, std::move(bytes), std::move(words)});
  };
  const auto header = [&](const std::string& rule, const std::string& text, std::vector<std::string> words) {
    add(rule, npy(text, std::string(24, 'x')), std::move(words));
  };
  for (const auto& [major, minor] : std::vector<std::pair<int, int>>{{0, 0}, {4, 0}, {255, 0}, {1, 1}}) {
    std::string bytes = kGood;
    bytes[6] = static_cast<char>(major);
    bytes[7] = static_cast<char>(minor);
    add("version " + std::to_string(major) + "." + std::to_string(minor), bytes, {"version"});
  }
  for (const std::size_t size : {6u, 7u, 8u, 9u, 10u, 20u, 60u})
    add("cut at " + std::to_string(size), kGood.substr(0, size), {"needs"});
  for (const std::uint64_t length : {std::uint64_t{65'537}, std::uint64_t{1} << 31, std::uint64_t{0xffffffff}}) {
    add("a long header", std::string("\x93NUMPY\2\0", 8) + little(length, 4) + "{}", {"expected at most 65536"});
  }
  for (const std::size_t size : {0u, 1u, 23u, 25u, 48u}) {
    add("data of another size", npy(npy_header("<f4", "(2, 3)"), std::string(size, 'x')), {"24 bytes, got"});
  }
  const std::string rest = "'fortran_order': False, 'shape': (2, 3)}";
  header("an empty header", "", {"expected '{'"});
  header("no dictionary", "[1, 2]", {"expected '{'"});
  header("an empty dictionary", "{}", {"missing"});
  header("no descr", "{" + rest, {"missing"});
  header("no shape", "{'descr': '<f4', 'fortran_order': False}", {"missing"});
  header("no order", "{'descr': '<f4', 'shape': (2, 3)}", {"missing"});
  header("another key", "{'descr': '<f4', 'x': 1, " + rest, {"the key \"x\""});
  header("a key twice", "{'descr': '<f4', 'descr': '<f4', " + rest, {"twice"});
  header("text behind it", "{'descr': '<f4', " + rest + "x", {"text behind it"});
  header("an open dictionary", "{'descr': '<f4', " + rest.substr(0, rest.size() - 1), {"expected '}'"});
  header("an open string", "{'descr", {"does not end"});
  header("an escape", "{'descr': '<f\\x34', " + rest, {"escape"});
  header("a call", "{'descr': __import__('os'), " + rest, {"expected a string"});
  header("an empty descr", "{'descr': '', " + rest, {"descr is empty"});
  header("no byte order", "{'descr': '|f4', " + rest, {"no byte order"});
  header("an order that is a number", "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}",
         {"expected True or False"});
  header("a descr that nests", "{'descr': " + std::string(20, '[') + "], " + rest, {"nests too deep"});
  for (const std::string& shape : std::vector<std::string>{"2", "[2, 3]", "(2 3)", "(2,,3)", "(-1,)", "(2.0,)",
                                                           "(1e3,)", "(x,)", "(2, 3", "(6)", "None"}) {
    header("the shape " + shape, npy_header("<f4", shape), {"the header"});
  }
  for (const std::string& size :
       std::vector<std::string>{"9223372036854775808", "18446744073709551616", "99999999999999999999999"}) {
    header("a size of " + size, npy_header("<f4", "(" + size + ",)"), {"2^63"});
  }
  for (const std::string& shape :
       std::vector<std::string>{"(9223372036854775807,)", "(4294967296, 4294967296)", "(4294967296, 4294967296, 0)",
                                "(1152921504606846976, 2)", "(3, 3074457345618258603)"}) {
    header("the shape " + shape, npy_header("<f8", shape), {"more elements than a file can hold"});
    header("the shape " + shape + " of a type that is not read", npy_header("<U7", shape), {"npy"});
  }
  std::string many = "(";
  for (int i = 0; i < 65; ++i) many += "1,";
  header("many dimensions", npy_header("<f4", many + ")"), {"more than 64 dimensions"});
  return cases;
}

TEST(MalformedZip, EachGivesItsError) {
  const TemporaryFolder folder;
  expect_errors(folder / "a", zip_cases());
}

TEST(MalformedNpy, EachGivesItsError) {
  const TemporaryFolder folder;
  expect_errors(folder / "a", npy_cases());
}

TEST(MalformedZip, TypesThatAreNotReadAreListed) {
  const TemporaryFolder folder;
  for (const std::string& descr :
       std::vector<std::string>{"|O", "<U7", "|S3", "<M8[s]", "<m8", "|V8", "<c16", "<u8", "<f16", "x"}) {
    write_file(
        folder / "a",
        make_zip({{"x.npy", npy(npy_header(descr, "(2,)"), std::string(32, 'x').substr(0, descr == "<u8" ? 16 : 32))}})
            .bytes);
    const FileInfo info = inspect_file(folder / "a");
    ASSERT_EQ(info.tensors.size(), 1u) << descr;
    EXPECT_FALSE(info.tensors[0].storage.has_value()) << descr;
    expect_error(ErrorCode::file, {"\"x\""}, [&] { load(folder / "a"); });
  }
}

TEST(MalformedZip, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  for (const std::string& bytes : {make_zip({{"a.npy", kGood}, {"b.npy", kGood}}).bytes, kGood,
                                   torch_file(pickled::dictionary(pickled::tensor()))}) {
    write_file(folder / "a", bytes);
    EXPECT_NO_THROW(load(folder / "a"));
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      write_file(folder / "a", bytes.substr(0, size));
      EXPECT_THROW(load(folder / "a"), FileError) << size;
    }
  }
}

}  // namespace
}  // namespace sparsert::test
