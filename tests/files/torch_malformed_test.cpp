// tests/files/torch_malformed_test.cpp — malformed and hostile PyTorch files, each with the error it must give; and
// what the pickle machine does with code.
#include <sys/stat.h>

#include "tests/files/archive.hpp"

namespace sparsert::test {
namespace {

using namespace pickled;

const std::string kTensor = dictionary(tensor());

void machine_cases(Cases& cases) {
  const auto add = [&](const std::string& rule, const std::string& pickle, std::vector<std::string> words) {
    words.insert(words.begin(), "torch, offset ");
    cases.push_back({rule, torch_zip(pickle).bytes, std::move(words)});
  };
  add("an empty pickle", "", {"needs 1 bytes"});
  add("no stop", "\x80\x02}", {"needs 1 bytes"});
  add("bytes behind the stop", whole(kTensor) + "x", {"behind the pickle"});
  add("nothing on the stack", "\x80\x02.", {"the stack is empty"});
  add("two values", "\x80\x02}}.", {"left on the stack"});
  add("an open mark", "\x80\x02(}.", {"pickle"});
  for (const int protocol : {6, 7, 255}) {
    add("protocol " + std::to_string(protocol), std::string("\x80") + static_cast<char>(protocol) + "}.",
        {"a protocol above 5"});
  }
  // Operations that need code, buffers or a registry.
  for (const int opcode : std::vector<int>{'I', 'L', 'F', 'S', 'V', 'P', 'i', 'o', 'p', 'g', 0x82, 0x83, 0x84, 0x96,
                                           0x97, 0x98, 0x00, 0xff}) {
    add("the operation " + std::to_string(opcode), whole(std::string(1, static_cast<char>(opcode))),
        {"is not one that a model needs"});
  }
  // Operations on a stack that has too little on it.
  for (const std::string& operation :
       std::vector<std::string>{"0", "2", "Q", "R", "a", "b", "s", "q\x01", "r\1\1\1\1", "\x81", "\x85", "\x86", "\x87",
                                "\x92", "\x93", "\x94"}) {
    add("on an empty stack: " + std::to_string(static_cast<unsigned char>(operation[0])), whole(operation),
        {"the stack is empty"});
  }
  for (const std::string& operation : std::vector<std::string>{"t", "l", "d", "e", "u", "1", "\x90", "\x91"}) {
    add("without a mark: " + std::to_string(static_cast<unsigned char>(operation[0])), whole("}" + operation),
        {"no mark"});
  }
  add("below a mark", whole("}(0a"), {"the stack is empty"});
  for (const std::string& operation :
       {std::string("h\1"), std::string("j\xff\xff\xff\xff"), std::string("j\1\0\0\0", 5)}) {
    add("a value that was not remembered", whole(operation), {"was not remembered"});
  }
  add("an odd number of items",
      whole("}(N"
            "u"),
      {"a key without a value"});
  add("items of a list",
      whole("](NN"
            "u"),
      {"no dictionary"});
  add("an item of a tuple",
      whole(")NN"
            "s"),
      {"no dictionary"});
  add("an item of a number",
      whole("K\1NN"
            "s"),
      {"no dictionary"});
  add("an element of a dictionary", whole("}Na"), {"no list"});
  add("an element of a string", whole(text("x") + "Na"), {"no list"});
  add("an element of a tuple", whole(")(Ne"), {"no list"});
  add("a set item of a list", whole("](N\x90"), {"no set"});
  for (const std::string& key : std::vector<std::string>{"]", "}", "\x8f"})
    add("a key that changes", whole("}" + key + "Ns"), {"a key that cannot be one"});
  add("a call of a number", whole("K\1)R"), {"a call of what is no name"});
  add("a call of a string", whole(text("os.system") + ")R"), {"a call of what is no name"});
  add("a call of a dictionary", whole("})R"), {"a call of what is no name"});
  add("a call without a tuple", whole(global("os", "system") + text("x") + "R"), {"no tuple"});
  add("a class without a tuple", whole(global("os", "system") + "]\x81"), {"no tuple"});
  add("a state of a list", whole("]}b"), {"no object"});
  add("a state of a number", whole("K\1}b"), {"no object"});
  add("a global of numbers", whole("K\1K\2\x93"), {"no string"});
  add("a global without an end",
      "\x80\x02"
      "cos",
      {"needs"});
  add("a long global", whole("c" + std::string(5000, 'x') + "\nx\n"), {"4,096"});
  for (const std::string& length : {little(100, 4), little(0xffffffff, 4), little(1 << 24, 4)}) {
    add("a string longer than the file", whole("X" + length), {"pickle: "});
    add("bytes longer than the file", whole("B" + length), {"pickle: "});
    add("an old string longer than the file", whole("T" + length), {"pickle: "});
  }
  add("a huge string", whole(std::string("\x8d") + little(~std::uint64_t{0}, 8)), {"expected at most 16 MiB"});
  add("huge bytes", whole(std::string("\x8e") + little(std::uint64_t{1} << 63, 8)), {"expected at most 16 MiB"});
  add("a huge integer", whole(std::string("\x8b") + little(0x7fffffff, 4)), {"1,024 bytes"});
  add("a negative length", whole(std::string("\x8b") + little(0xffffffff, 4)), {"1,024 bytes"});
  add("a frame longer than the file", whole(std::string("\x95") + little(~std::uint64_t{0}, 8)), {"a frame longer"});
}

void tensor_cases(Cases& cases) {
  const auto add = [&](const std::string& rule, const std::string& value, std::vector<std::string> words,
                       const std::string& data = std::string(24, 'x')) {
    words.insert(words.begin(), "torch, offset ");
    cases.push_back({rule, torch_file(dictionary(value), data), std::move(words)});
  };
  const auto view = [&](std::int64_t offset, const std::vector<std::int64_t>& sizes,
                        const std::vector<std::int64_t>& strides) {
    return tensor(storage(), offset, tuple(sizes), tuple(strides));
  };
  constexpr std::int64_t kMax = INT64_MAX;
  for (const std::int64_t offset : {std::int64_t{1}, std::int64_t{6}, kMax}) {
    add("an offset of " + std::to_string(offset), view(offset, {2, 3}, {3, 1}), {"reaches outside its storage"});
  }
  add("a negative offset", view(-1, {2, 3}, {3, 1}), {"negative offset"});
  for (const auto& [sizes, strides] : std::vector<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>>{
           {{7}, {1}}, {{2}, {6}}, {{3, 3}, {3, 1}}, {{2, 2}, {5, 1}}, {{4}, {2}}}) {
    add("a view that is too large", view(0, sizes, strides), {"reaches outside its storage"});
  }
  for (const auto& [sizes, strides] : std::vector<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>>{
           {{2}, {kMax}}, {{3}, {kMax}}, {{2, 2, 2}, {kMax, kMax, kMax}}}) {
    add("strides that overflow", view(0, sizes, strides), {"outside its storage"});
  }
  for (const std::vector<std::int64_t>& sizes :
       {std::vector<std::int64_t>{kMax, 2}, {kMax, kMax, 0}, {std::int64_t{1} << 61}}) {
    add("sizes that overflow", view(0, sizes, std::vector<std::int64_t>(sizes.size(), 0)),
        {"more elements than a file can hold"});
  }
  add("a storage that is repeated", view(0, {1 << 23}, {0}), {"repeats its storage"});
  add("a storage that is repeated often", view(0, {1 << 20, 1 << 20}, {0, 0}), {"repeats its storage"});
  add("a negative size", view(0, {-1}, {1}), {"negative size or stride"});
  add("a negative stride", view(5, {6}, {-1}), {"negative size or stride"});
  add("fewer strides", view(0, {2, 3}, {1}), {"different length"});
  add("no strides", view(0, {2, 3}, {}), {"different length"});
  add("many dimensions", view(0, std::vector<std::int64_t>(65, 1), std::vector<std::int64_t>(65, 1)),
      {"64 dimensions"});
  add("an empty tensor outside", view(7, {0}, {1}), {"outside its storage"});
  add("sizes that are no tuple", tensor(storage(), 0, text("x")), {"no tuple"});
  add("sizes of strings", tensor(storage(), 0, "(" + text("2") + "t"), {"no integer"});
  add("sizes of floats", tensor(storage(), 0, "(G\x40\0\0\0\0\0\0\0t"), {"pickle"});
  add("no storage", tensor("N"), {"without a storage"});
  add("a storage that is a tuple", tensor(tuple({1})), {"without a storage"});
  for (const std::string& id :
       {std::string(")"), tuple({1, 2, 3, 4, 5}), text("storage"), std::string("N"),
        "(" + text("module") + global("torch", "FloatStorage") + text("0") + text("cpu") + integer(6) + "t",
        "(" + text("storage") + text("FloatStorage") + text("0") + text("cpu") + integer(6) + "t",
        "(" + text("storage") + global("torch", "FloatStorage") + integer(0) + text("cpu") + integer(6) + "t",
        "(" + text("storage") + global("torch", "FloatStorage") + text("0") + text("cpu") + "t"}) {
    add("a malformed storage", tensor(id + "Q"), {"a malformed storage"});
  }
  add("a size that is no integer",
      tensor("(" + text("storage") + global("torch", "FloatStorage") + text("0") + text("cpu") + text("6") + "tQ"),
      {"no integer"});
  for (const std::int64_t count : {std::int64_t{7}, std::int64_t{5'000'000'000}, kMax}) {
    add("a storage of " + std::to_string(count), tensor(storage("FloatStorage", count)), {"24 bytes, expected"});
  }
  add("a storage of fewer", tensor(storage("FloatStorage", 5), 0, tuple({5}), tuple({1})), {"24 bytes, expected 5"});
  add("a negative count", tensor(storage("FloatStorage", -6)), {"negative size"});
  add("another type", tensor(storage("DoubleStorage")), {"24 bytes, expected 6"});
  add("a key that is not there", tensor(storage("FloatStorage", 6, "1")), {"\"data/1\"", "not in the archive"});
  add("a key that is a path", tensor(storage("FloatStorage", 6, "../data/0")), {"not in the archive"});
  for (const std::string& key : std::vector<std::string>{"../../etc/passwd", "/etc/passwd", "..", ""}) {
    add("the key " + key, tensor(storage("FloatStorage", 6, key)), {"not in the archive"});
  }
  add("data that is too short", tensor(), {"23 bytes, expected 6"}, std::string(23, 'x'));
  add("data that is too long", tensor(), {"25 bytes, expected 6"}, std::string(25, 'x'));
  add("a storage in two ways", "(" + tensor() + tensor(storage("IntStorage")) + "t", {"in two ways"});
  add("a storage of two sizes", "(" + tensor() + tensor(storage("FloatStorage", 7)) + "t", {"in two ways"});
  add("too few arguments", global("torch._utils", "_rebuild_tensor_v2") + tuple({1, 2, 3}) + "R",
      {"a malformed tensor"});
  add("no arguments", global("torch._utils", "_rebuild_tensor_v2") + ")R", {"a malformed tensor"});
  add("a parameter of nothing", global("torch._utils", "_rebuild_parameter") + ")R", {"a parameter without a tensor"});
  add("a parameter of a number", global("torch._utils", "_rebuild_parameter") + tuple({1}) + "R",
      {"a parameter without a tensor"});
  add("version 3 without a type",
      global("torch._utils", "_rebuild_tensor_v3") + "(" + storage() + integer(0) + tuple({6}) + tuple({1}) + "\x89}" +
          text("x") + "tR",
      {"no type"});
  cases.push_back({"a name twice", torch_file(dictionary(tensor() + text("w") + tensor())), {"torch", "\"w\" twice"}});
  add("a name that is no UTF-8", tensor() + text("\xff\xfe") + tensor(), {"not valid UTF-8"});
  {
    std::string nested = tensor();
    for (int i = 0; i < 70; ++i) nested = "](" + nested + "e";
    add("lists in lists", nested, {"nest deeper than 64"});
  }
  {
    // A list that holds itself, and one that holds each of thirty lists twice.
    add("a list in itself", "]q\1(h\1h\1" + tensor() + "e", {"pickle: "});
    std::string doubled =
        "]q\1"
        "N0";
    for (int i = 2; i < 34; ++i) {
      const std::string before(1, static_cast<char>(i - 1));
      doubled += "(h" + before + "h" + before + "tq" + static_cast<char>(i) + "0";
    }
    add("tuples that double", "]q\1" + doubled.substr(3) + "h\x21" + "\x86", {"pickle: "});
  }
}

void sparse_cases(Cases& cases) {
  const auto add = [&](const std::string& rule, const std::string& value, const std::vector<std::int64_t>& indices,
                       std::vector<std::string> words, bool when_read) {
    std::string data;
    for (const std::int64_t index : indices) data += little(static_cast<std::uint64_t>(index), 8);
    const Zip zip =
        make_zip({{"m/data.pkl", whole(dictionary(value))}, {"m/data/i", data}, {"m/data/v", std::string(8, 'x')}});
    words.insert(words.begin(), "torch, offset ");
    cases.push_back({rule, zip.bytes, std::move(words), when_read});
  };
  const auto layout = [](const std::string& name) {
    return global("torch.serialization", "_get_layout") + "(" + text("torch." + name) + "tR";
  };
  const auto sparse = [&](const std::string& name, const std::string& parts) {
    return global("torch._utils", "_rebuild_sparse_tensor") + "(" + layout(name) + "(" + parts + "ttR";
  };
  const std::string values = tensor(storage("FloatStorage", 2, "v"), 0, tuple({2}), tuple({1}));
  const auto part = [](std::int64_t offset, std::int64_t count, std::int64_t all) {
    return tensor(storage("LongStorage", all, "i"), offset, tuple({count}), tuple({1}));
  };
  const std::string coo =
      tensor(storage("LongStorage", 4, "i"), 0, tuple({2, 2}), tuple({2, 1})) + values + tuple({3, 4});
  for (const std::vector<std::int64_t>& indices : {std::vector<std::int64_t>{0, 3, 0, 0},
                                                   {-1, 0, 0, 0},
                                                   {0, 0, 0, 4},
                                                   {0, 0, INT64_MIN, 0},
                                                   {INT64_MAX, 0, 0, 0}}) {
    add("a coordinate out of range", sparse("sparse_coo", coo), indices, {"index", "of dimension"}, true);
  }
  const std::string csr = part(0, 4, 6) + part(4, 2, 6) + values + tuple({3, 4});
  for (const std::vector<std::int64_t>& indices : {std::vector<std::int64_t>{1, 1, 2, 2, 0, 1},
                                                   {0, 2, 1, 2, 0, 1},
                                                   {0, 1, 2, 3, 0, 1},
                                                   {0, 1, 1, 1, 0, 1},
                                                   {0, -1, 2, 2, 0, 1},
                                                   {0, INT64_MAX, 2, 2, 0, 1},
                                                   {0, 2, 2, 2, 0, 4},
                                                   {0, 2, 2, 2, -1, 1},
                                                   {0, 2, 2, 2, 1, 1},
                                                   {0, 2, 2, 2, 2, 1}}) {
    add("rows that are wrong", sparse("sparse_csr", csr), indices, {"sparse tensor", "csr"}, true);
  }
  const std::string csc = part(0, 5, 7) + part(5, 2, 7) + values + tuple({3, 4});
  for (const std::vector<std::int64_t>& indices : {std::vector<std::int64_t>{0, 2, 1, 2, 2, 0, 1},
                                                   {1, 1, 2, 2, 2, 0, 1},
                                                   {0, 0, 0, 0, 1, 0, 1},
                                                   {0, 0, 0, 3, 2, 0, 1},
                                                   {0, -5, 0, 0, 2, 0, 1},
                                                   {0, 0, 0, 0, 2, 0, 3},
                                                   {0, 0, 0, 0, 2, -1, 0}}) {
    add("columns that are wrong", sparse("sparse_csc", csc), indices, {"sparse tensor"}, true);
  }
  add("too few parts", sparse("sparse_coo", values), {0}, {"a malformed sparse tensor"}, false);
  add("too few parts of rows", sparse("sparse_csr", part(0, 1, 1) + values + tuple({3, 4})), {0},
      {"a malformed sparse tensor"}, false);
  add("no parts", global("torch._utils", "_rebuild_sparse_tensor") + "(" + layout("sparse_coo") + "NtR", {0},
      {"a malformed sparse tensor"}, false);
  add("indices of floats", sparse("sparse_coo", values + values + tuple({3, 4})), {0}, {"no integers"}, false);
  add("another number of indices",
      sparse("sparse_coo",
             tensor(storage("LongStorage", 6, "i"), 0, tuple({2, 3}), tuple({3, 1})) + values + tuple({3, 4})),
      {0, 0, 0, 0, 0, 0}, {"do not fit each other"}, false);
  add("another number of dimensions",
      sparse("sparse_coo",
             tensor(storage("LongStorage", 4, "i"), 0, tuple({2, 2}), tuple({2, 1})) + values + tuple({3, 4, 5})),
      {0, 0, 0, 0}, {"do not fit each other"}, false);
  add("a shape that overflows",
      sparse("sparse_coo", tensor(storage("LongStorage", 4, "i"), 0, tuple({2, 2}), tuple({2, 1})) + values +
                               tuple({INT64_MAX, INT64_MAX})),
      {0, 0, 0, 0}, {"more elements"}, false);
  add("a negative shape",
      sparse("sparse_coo",
             tensor(storage("LongStorage", 4, "i"), 0, tuple({2, 2}), tuple({2, 1})) + values + tuple({-3, 4})),
      {0, 0, 0, 0}, {"negative"}, false);
}

std::string legacy(const std::string& model, const std::string& keys, const std::string& data) {
  return std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15) + whole("M\xe9\x03") +
         whole("}(" + text("little_endian") + "\x88u") + whole(model) + whole(keys) + data;
}

void legacy_cases(Cases& cases) {
  const std::string keys = "](" + text("0") + "e";
  const std::string data = little(6, 8) + std::string(24, 'x');
  const auto add = [&](const std::string& rule, std::string bytes, std::vector<std::string> words) {
    words.insert(words.begin(), "torch, offset ");
    cases.push_back({rule, std::move(bytes), std::move(words)});
  };
  const std::string good = legacy(kTensor, keys, data);
  add("another protocol", std::string(good).replace(18, 2, "\xea\x03"), {"1001"});
  add("a protocol that is no number", good.substr(0, 15) + whole("}") + good.substr(21), {"1001"});
  add("a byte order that is no boolean", legacy(kTensor, keys, data).replace(good.find("\x88u"), 1, "N"),
      {"no boolean"});
  add("no description of the system", good.substr(0, 21) + whole("]") + whole(kTensor) + whole(keys) + data,
      {"no dictionary"});
  add("keys that are no list", legacy(kTensor, "}", data), {"no list"});
  add("a key that is no string", legacy(kTensor, "](K\1e", data), {"no tensor names"});
  add("a key that no tensor names", legacy(kTensor, "](" + text("1") + "e", data), {"no tensor names"});
  add("a key twice", legacy(kTensor, "](" + text("0") + text("0") + "e", data + data), {"twice"});
  add("no key", legacy(kTensor, "]", ""), {"\"0\" is missing"});
  add("bytes behind the data", legacy(kTensor, keys, data + "x"), {"behind the last storage"});
  for (const std::uint64_t count :
       {std::uint64_t{0}, std::uint64_t{5}, std::uint64_t{7}, std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    add("a count of " + std::to_string(count), legacy(kTensor, keys, little(count, 8) + std::string(24, 'x')),
        {"elements, expected 6"});
  }
  for (const std::size_t size : {0u, 1u, 23u}) {
    add("data cut at " + std::to_string(size), legacy(kTensor, keys, little(6, 8) + std::string(size, 'x')),
        {"does not fit the file"});
  }
  add("a type that is not read", legacy(dictionary(tensor(storage("StrangeStorage"))), keys, data), {"not read"});
  const std::int64_t most = INT64_MAX;
  add("a size that overflows",
      legacy(dictionary(tensor(storage("DoubleStorage", most))), keys, little(static_cast<std::uint64_t>(most), 8)),
      {"does not fit the file"});
  for (std::size_t cut = 15; cut < good.size(); cut += 9) {
    if (good.size() - cut > 24 + 8) add("cut at " + std::to_string(cut), good.substr(0, cut), {"torch"});
  }
}

/// The header of an empty member, as the first releases of PyTorch wrote theirs.
std::string tar_header(const std::string& name) {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  header.replace(100, 7, "0000644");
  header.replace(124, 11, "00000000000");
  header[156] = '0';
  header.replace(257, 5, "ustar");
  header.replace(263, 2, "00");
  return header;
}

Cases all_cases() {
  Cases cases;
  machine_cases(cases);
  tensor_cases(cases);
  sparse_cases(cases);
  legacy_cases(cases);
  const auto zip = [&](const std::string& rule, const Zip& archive, std::vector<std::string> words) {
    cases.push_back({rule, archive.bytes, std::move(words)});
  };
  const std::string good = whole(kTensor);
  const std::string data(24, 'x');
  zip("two pickles", make_zip({{"a/data.pkl", good}, {"b/data.pkl", good}, {"a/data/0", data}}),
      {"two members data.pkl"});
  zip("an unknown byte order", make_zip({{"m/data.pkl", good}, {"m/data/0", data}, {"m/byteorder", "middle"}}),
      {"byte order"});
  zip("no storages", make_zip({{"m/data.pkl", good}}), {"not in the archive"});
  zip("storages of another folder", make_zip({{"m/data.pkl", good}, {"n/data/0", data}}), {"not in the archive"});
  zip("no model", make_zip({{"x", "y"}}), {"zip archive of no model"});
  cases.push_back({"a pickle that is not PyTorch's", whole(kTensor), {"a pickle, but none of PyTorch"}});
  for (const std::string& member : {std::string("sys_info"), std::string("storages"), std::string("tensors")}) {
    cases.push_back({"a tar archive that begins with " + member,
                     tar_header(member) + std::string(1024, '\0'),
                     {"a tar archive", "PyTorch", "not read"}});
  }
  return cases;
}

TEST(MalformedTorch, EachGivesItsError) {
  const TemporaryFolder folder;
  expect_errors(folder / "a", all_cases());
}

// What a pickle would call is a name here, and nothing else: no file appears, no process starts.
TEST(MalformedTorch, NothingIsCalled) {
  const TemporaryFolder folder;
  const std::string witness = (folder / "witness").string();
  const std::string command = "touch " + witness;
  for (const auto& [module, name] : std::vector<std::pair<std::string, std::string>>{{"os", "system"},
                                                                                     {"posix", "system"},
                                                                                     {"builtins", "eval"},
                                                                                     {"__builtin__", "exec"},
                                                                                     {"subprocess", "Popen"},
                                                                                     {"torch", "load"},
                                                                                     {"torch._utils", "exec"},
                                                                                     {"torch.hub", "load"},
                                                                                     {"runpy", "_run_code"},
                                                                                     {"pip", "main"}}) {
    for (const std::string& call :
         {global(module, name) + "(" + text(command) + "tR", global(module, name) + "(" + text(command) + "t\x81",
          global(module, name) + ")\x81(" + text(command) + "tb"}) {
      write_file(folder / "a.pt", torch_file("}(" + text("w") + tensor() + text("x") + call + "u"));
      StateDict state;
      EXPECT_NO_THROW(state = load(folder / "a.pt")) << module << "." << name;
      EXPECT_EQ(state.size(), 1u);
      EXPECT_FALSE(std::filesystem::exists(witness));
    }
  }
}

TEST(MalformedTorch, ColumnsAndBlocksBecomeCoordinates) {
  const TemporaryFolder folder;
  const auto floats = [](const std::vector<float>& values) {
    return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  };
  const auto layout = [](const std::string& name) {
    return global("torch._utils", "_rebuild_sparse_tensor") + "(" + global("torch.serialization", "_get_layout") + "(" +
           text("torch." + name) + "tR";
  };
  const auto integers = [](const std::vector<std::int64_t>& values) {
    std::string data;
    for (const std::int64_t value : values) data += little(static_cast<std::uint64_t>(value), 8);
    return data;
  };
  const auto part = [](std::int64_t offset, std::int64_t count) {
    return tensor(storage("LongStorage", 5, "i"), offset, tuple({count}), tuple({1}));
  };
  // Compressed indices (three), plain ones (two) and values, as `indices` and `values` hold them.
  const auto loaded = [&](const std::string& name, const std::string& shape, const std::vector<std::int64_t>& indices,
                          const std::vector<float>& values, const std::string& sizes, const std::string& strides) {
    const std::string stored = tensor(storage("FloatStorage", std::ssize(values), "v"), 0, sizes, strides);
    const std::string made = layout("sparse_" + name) + "(" + part(0, 3) + part(3, 2) + stored + shape + "ttR";
    write_file(
        folder / name,
        make_zip({{"data.pkl", whole(dictionary(made))}, {"data/i", integers(indices)}, {"data/v", floats(values)}})
            .bytes);
    return load(folder / name).sparse_at("w");
  };
  // Two columns, the second with rows 0 and 2.
  const auto csc = loaded("csc", tuple({3, 2}), {0, 0, 2, 0, 2}, {1, 2}, tuple({2}), tuple({1}));
  EXPECT_EQ(to_vector<float>(csc.to_dense()), (std::vector<float>{0, 1, 0, 0, 0, 2}));
  // Two rows of blocks of 1 by 2; the first row has the blocks 0 and 1.
  const std::string blocks = tuple({2, 1, 2});
  const auto bsr = loaded("bsr", tuple({2, 4}), {0, 2, 2, 0, 1}, {1, 0, 3, 4}, blocks, tuple({2, 2, 1}));
  EXPECT_EQ(bsr.nnz(), 4);
  EXPECT_EQ(to_vector<float>(bsr.to_dense()), (std::vector<float>{1, 0, 3, 4, 0, 0, 0, 0}));
  // Two columns of blocks of 1 by 2; the second column has the blocks of the rows 0 and 1.
  const auto bsc = loaded("bsc", tuple({2, 4}), {0, 0, 2, 0, 1}, {1, 0, 3, 4}, blocks, tuple({2, 2, 1}));
  EXPECT_EQ(bsc.nnz(), 4);
  EXPECT_EQ(to_vector<float>(bsc.to_dense()), (std::vector<float>{0, 0, 1, 0, 0, 0, 3, 4}));
}

TEST(MalformedTorch, LegacyIsReadAsItStands) {
  const TemporaryFolder folder;
  write_file(folder / "a", legacy(kTensor, "](" + text("0") + "e", little(6, 8) + std::string(24, 'x')));
  EXPECT_EQ(load(folder / "a").at("w").shape(), (Shape{2, 3}));
}

}  // namespace
}  // namespace sparsert::test
