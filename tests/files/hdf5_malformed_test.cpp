// tests/files/hdf5_malformed_test.cpp — malformed and hostile HDF5 files, each with the error it must give.
//
// A file with one dataset is made byte by byte at known places; a case changes what lies there.
#include <functional>

#include "tests/files/malformed.hpp"

namespace sparsert::test {
namespace {

constexpr std::uint64_t kUndefined = ~std::uint64_t{0};

// Where the parts of the file lie.
constexpr std::size_t kRootHeader = 96;
constexpr std::size_t kTree = 136;
constexpr std::size_t kHeap = 184;
constexpr std::size_t kNames = 216;
constexpr std::size_t kSymbols = 240;
constexpr std::size_t kDataset = 288;

std::string padded(std::string text) {
  text.resize((text.size() + 7) / 8 * 8, '\0');
  return text;
}
std::string message(std::uint64_t type, const std::string& data, std::uint64_t flags = 0) {
  const std::string body = padded(data);
  return little(type, 2) + little(body.size(), 2) + little(flags, 1) + std::string(3, '\0') + body;
}
std::string header_of(const std::string& messages, std::uint64_t count = 1) {
  return little(1, 1) + little(0, 1) + little(count, 2) + little(1, 4) + little(messages.size(), 4) +
         std::string(4, '\0') + messages;
}

std::string space(const std::vector<std::uint64_t>& dims, std::uint64_t version = 1) {
  std::string out = little(version, 1) + little(dims.size(), 1) + little(0, 1) + std::string(5, '\0');
  for (const std::uint64_t size : dims) out += little(size, 8);
  return out;
}
std::string float_type(std::uint64_t bytes = 4) {
  return little(0x11, 1) + std::string("\x20\x1f\0", 3) + little(bytes, 4) + little(0, 2) + little(8 * bytes, 2) +
         std::string("\x17\x08\0\x17", 4) + little(127, 4);
}
std::string int_type(std::uint64_t bytes) {
  return little(0x10, 1) + std::string("\x08\0\0", 3) + little(bytes, 4) + little(0, 2) + little(8 * bytes, 2);
}
std::string contiguous(std::uint64_t address, std::uint64_t bytes) {
  return little(3, 1) + little(1, 1) + little(address, 8) + little(bytes, 8);
}
std::string chunked(std::uint64_t tree, const std::vector<std::uint64_t>& chunk) {
  std::string out = little(3, 1) + little(2, 1) + little(chunk.size(), 1) + little(tree, 8);
  for (const std::uint64_t size : chunk) out += little(size, 4);
  return out;
}
std::string filters(const std::vector<std::uint64_t>& ids) {
  std::string out = little(1, 1) + little(ids.size(), 1) + std::string(6, '\0');
  for (const std::uint64_t id : ids) out += little(id, 2) + little(0, 2) + little(0, 2) + little(0, 2);
  return out;
}

struct Chunk {
  std::vector<std::uint64_t> offset;
  std::uint64_t bytes;
  std::uint64_t address;
};
std::string chunk_tree(const std::vector<Chunk>& chunks, std::uint64_t level = 0) {
  std::string out = "TREE" + little(1, 1) + little(level, 1) + little(chunks.size(), 2) + little(kUndefined, 8) +
                    little(kUndefined, 8);
  const auto key = [](const Chunk& chunk) {
    std::string text = little(chunk.bytes, 4) + little(0, 4);
    for (const std::uint64_t at : chunk.offset) text += little(at, 8);
    return text + little(0, 8);
  };
  for (const Chunk& chunk : chunks) out += key(chunk) + little(chunk.address, 8);
  return out + std::string(16 + 8 * 8, '\0');
}

/// A superblock, a root group with a dataset "x", and what `data` puts behind the dataset's header.
std::string file_of(const std::string& messages, const std::string& data) {
  std::string out = std::string("\x89HDF\r\n\x1a\n", 8) + std::string(5, '\0') + "\x08\x08" + '\0' + little(4, 2) +
                    little(16, 2) + little(0, 4);
  out += little(0, 8) + little(kUndefined, 8);
  const std::size_t end = out.size();
  out += little(0, 8) + little(kUndefined, 8) + little(0, 8) + little(kRootHeader, 8) + little(0, 4) + little(0, 4) +
         std::string(16, '\0');
  out += header_of(message(0x11, little(kTree, 8) + little(kHeap, 8)));
  out += "TREE" + little(0, 1) + little(0, 1) + little(1, 2) + little(kUndefined, 8) + little(kUndefined, 8) +
         little(0, 8) + little(kSymbols, 8) + little(8, 8);
  out += "HEAP" + std::string(4, '\0') + little(24, 8) + little(kUndefined, 8) + little(kNames, 8);
  out += std::string(8, '\0') + "x" + std::string(15, '\0');
  out +=
      "SNOD" + little(1, 1) + little(0, 1) + little(1, 2) + little(8, 8) + little(kDataset, 8) + std::string(24, '\0');
  out += header_of(messages) + data;
  out.replace(end, 8, little(out.size(), 8));
  return out;
}

/// The dataset's messages, and where its data begin.
struct Dataset {
  std::string space_message = message(1, space({2}));
  std::string type_message = message(3, float_type());
  std::string layout;
  std::string more;

  std::size_t data() const {
    return kDataset + 16 + space_message.size() + type_message.size() + layout.size() + more.size();
  }
  std::string bytes(const std::string& data) const {
    return file_of(space_message + type_message + layout + more, data);
  }
};

std::string good() {
  Dataset dataset;
  dataset.layout = message(8, contiguous(0, 8));
  dataset.layout = message(8, contiguous(dataset.data(), 8));
  return dataset.bytes(std::string(8, '\1'));
}

Cases patched_cases() {
  const std::string bytes = good();
  Cases cases;
  const auto patch = [&](const std::string& rule, std::size_t at, std::size_t width, std::uint64_t value,
                         const std::string& word) {
    std::string changed = bytes;
    changed.replace(at, width, little(value, width));
    cases.push_back({rule, changed, {"hdf5, offset", word}});
  };
  // Superblock.
  for (const std::uint64_t version : {4u, 5u, 255u})
    patch("superblock " + std::to_string(version), 8, 1, version, "has the version " + std::to_string(version));
  patch("offsets of 4 bytes", 13, 1, 4, "other sizes than 8 bytes");
  patch("lengths of 4 bytes", 14, 1, 4, "other sizes than 8 bytes");
  patch("offsets of 255 bytes", 13, 1, 255, "other sizes than 8 bytes");
  patch("a user block", 24, 8, 512, "has a user block");
  patch("an end past the file", 40, 8, bytes.size() + 1, "it was truncated");
  patch("an end of 2^64 - 1", 40, 8, kUndefined, "it was truncated");
  for (const std::uint64_t address :
       {std::uint64_t{bytes.size()}, std::uint64_t{1} << 40, std::uint64_t{1} << 63, kUndefined}) {
    const std::string name = std::to_string(address);
    patch("a root at " + name, 64, 8, address, "needs bytes");
    patch("a tree at " + name, kRootHeader + 24, 8, address, "needs bytes");
    patch("a heap at " + name, kRootHeader + 32, 8, address, "needs bytes");
    patch("names at " + name, kHeap + 24, 8, address, "needs bytes");
    patch("names of " + name + " bytes", kHeap + 8, 8, address, "needs bytes");
    patch("symbols at " + name, kTree + 32, 8, address, "needs bytes");
    patch("a dataset at " + name, kSymbols + 16, 8, address, "needs bytes");
    patch("a name at " + name, kSymbols + 8, 8, address, "a name lies outside its heap");
  }
  patch("a root at 0", 64, 8, 0, "expected an object header");
  patch("a root that is the heap", 64, 8, kHeap, "expected an object header");
  patch("a root that is a dataset", 64, 8, kDataset, "the root is no group");
  // Object headers.
  patch("a header of version 2", kRootHeader, 1, 2, "expected an object header");
  patch("a header of version 0", kRootHeader, 1, 0, "expected an object header");
  patch("a header past the file", kRootHeader + 8, 4, 0xffffffff, "needs bytes");
  patch("a message past its header", kRootHeader + 18, 2, 0xffff, "a message is longer than its object header");
  patch("a shared message", kRootHeader + 20, 1, 2, "a message is shared");
  patch("a root without messages", kRootHeader + 8, 4, 0, "the root is no group");
  patch("a root of another message", kRootHeader + 16, 2, 0x12, "the root is no group");
  patch("a continuation in the root", kRootHeader + 16, 2, 0x10, "");
  // Groups.
  patch("a tree that is none", kTree, 4, 0, "expected a node of a B-tree of type 0");
  patch("a tree of chunks", kTree + 4, 1, 1, "expected a node of a B-tree of type 0");
  patch("a level without a node", kTree + 5, 1, 1, "expected a node of a B-tree of type 0");
  patch("65,535 entries", kTree + 6, 2, 0xffff, "needs bytes");
  patch("a heap that is none", kHeap, 4, 0, "expected a heap of names");
  patch("a heap of version 1", kHeap + 4, 1, 1, "expected a heap of names");
  patch("names of 10 bytes", kHeap + 8, 8, 9, "a name has no end");
  patch("symbols that are none", kSymbols, 4, 0, "expected a node of symbols");
  patch("symbols of version 2", kSymbols + 4, 1, 2, "expected a node of symbols");
  patch("65,535 symbols", kSymbols + 6, 2, 0xffff, "needs bytes");
  patch("a soft link", kSymbols + 24, 4, 2, "a soft link");
  patch("a link of another kind", kSymbols + 24, 4, 0xffffffff, "a soft link");
  patch("an empty name", kNames + 8, 1, 0, "has the name \"\"");
  patch("a name with a slash", kNames + 8, 1, '/', "has the name \"/\"");
  patch("a name of a dot", kNames + 8, 1, '.', "has the name \".\"");
  patch("a name of two dots", kNames + 8, 2, 0x2e2e, "has the name \"..\"");
  patch("a name that is not UTF-8", kNames + 8, 1, 0xff, "not UTF-8");
  patch("a group in itself", kSymbols + 16, 8, kRootHeader, "a group is there twice");
  // The dataset: space, type, layout.
  constexpr std::size_t kSpace = kDataset + 16 + 8;
  constexpr std::size_t kType = kSpace + 16 + 8;
  constexpr std::size_t kLayout = kType + 24 + 8;
  patch("a dataspace of version 0", kSpace, 1, 0, "a dataspace has the version 0");
  patch("a dataspace of version 3", kSpace, 1, 3, "a dataspace has the version 3");
  patch("2 dimensions of one", kSpace + 1, 1, 2, "a message ends");
  patch("65 dimensions", kSpace + 1, 1, 65, "has 65 dimensions");
  patch("255 dimensions", kSpace + 1, 1, 255, "has 255 dimensions");
  for (const std::uint64_t size : {std::uint64_t{1}, std::uint64_t{3}, std::uint64_t{1} << 40}) {
    patch("a dimension of " + std::to_string(size), kSpace + 8, 8, size,
          "has 8 bytes, expected " + std::to_string(4 * size));
  }
  patch("a dimension of 2^62", kSpace + 8, 8, std::uint64_t{1} << 62, "is too large");
  patch("a dimension of 2^63", kSpace + 8, 8, std::uint64_t{1} << 63, "a dimension is 9223372036854775808");
  patch("a dimension of 2^64 - 1", kSpace + 8, 8, kUndefined, "a dimension is 18446744073709551615");
  patch("a type of class 12", kType, 1, 0x1c, "is of class 12");
  patch("a type of class 15", kType, 1, 0x1f, "is of class 15");
  patch("a type of version 0", kType, 1, 0x01, "version 0");
  patch("a type of version 6", kType, 1, 0x61, "version 6");
  patch("a type of 0 bytes", kType + 4, 4, 0, "a type has 0 bytes");
  patch("a layout of class 3", kLayout + 1, 1, 3, "a virtual dataset");
  patch("a layout of class 4", kLayout + 1, 1, 4, "has a layout of class 4");
  patch("data past the end", kLayout + 2, 8, bytes.size() - 7, "8 bytes at offset");
  patch("data at 2^63", kLayout + 2, 8, std::uint64_t{1} << 63, "8 bytes at offset 9223372036854775808");
  patch("data that were not written", kLayout + 2, 8, kUndefined, "has 0 bytes, expected 8");
  patch("data of 7 bytes", kLayout + 10, 8, 7, "has 7 bytes, expected 8");
  patch("data of 2^64 - 1 bytes", kLayout + 10, 8, kUndefined, "18446744073709551615 bytes at offset");
  patch("no type", kType - 8, 2, 0x12, "neither a group nor a whole dataset");
  patch("no space", kSpace - 8, 2, 0x12, "neither a group nor a whole dataset");
  patch("no layout", kLayout - 8, 2, 0x12, "neither a group nor a whole dataset");
  patch("data in other files", kLayout - 8, 2, 0x07, "in other files");
  for (std::size_t size = 8; size < bytes.size(); size += 11) {
    cases.push_back({"cut after " + std::to_string(size), bytes.substr(0, size), {"hdf5, offset"}});
  }
  return cases;
}

Cases refused_cases() {
  Cases cases;
  const auto listed = [&](const std::string& rule, const std::string& type, std::uint64_t width,
                          const std::string& word) {
    Dataset dataset;
    dataset.type_message = message(3, type);
    dataset.layout = message(8, contiguous(0, 2 * width));
    dataset.layout = message(8, contiguous(dataset.data(), 2 * width));
    cases.push_back({rule, dataset.bytes(std::string(2 * width, '\0')), {"\"x\"", word}, true});
  };
  const auto class_of = [](std::uint64_t kind, std::uint64_t bytes) {
    return little(0x10 | kind, 1) + std::string(3, '\0') + little(bytes, 4) + std::string(16, '\0');
  };
  listed("text", class_of(3, 8), 8, "is text, which is no tensor");
  listed("times", class_of(2, 4), 4, "is time");
  listed("bits", class_of(4, 4), 4, "is bits");
  listed("opaque bytes", class_of(5, 4), 4, "is opaque");
  listed("a compound", class_of(6, 8), 8, "is compound");
  listed("references", class_of(7, 8), 8, "is reference");
  listed("lists of variable length", class_of(9, 16), 16, "is variable length");
  listed("arrays", class_of(10, 8), 8, "is array");
  listed("integers of 3 bytes", int_type(3), 3, "is an integer of 3 bytes");
  std::string part = int_type(4);
  part.replace(10, 2, little(24, 2));
  listed("integers of 24 bits in 32", part, 4, "is an integer of 4 bytes");
  std::string odd = float_type();
  odd.replace(20 - 8, 1, "\x16");
  listed("floats of another layout", odd, 4, "is a float of 4 bytes");
  listed("uint64", little(0x10, 1) + std::string(3, '\0') + little(8, 4) + little(0, 2) + little(64, 2), 8, "<u8");
  return cases;
}

Cases chunk_cases() {
  Cases cases;
  const auto add = [&](const std::string& rule, const std::vector<std::uint64_t>& dims,
                       const std::vector<std::uint64_t>& chunk, const std::vector<std::uint64_t>& ids,
                       const std::function<std::string(std::size_t)>& data, const std::string& word,
                       bool when_read = false) {
    Dataset dataset;
    dataset.space_message = message(1, space(dims));
    if (!ids.empty()) dataset.more = message(0x0b, filters(ids));
    dataset.layout = message(8, chunked(0, chunk));
    const std::size_t at = dataset.data();
    dataset.layout = message(8, chunked(at, chunk));
    cases.push_back({"chunks: " + rule, dataset.bytes(data(at)), {"hdf5, offset", word}, when_read});
  };
  // A tree of the given chunks, whose data follow it one after the other.
  const auto tree = [](std::vector<Chunk> chunks) {
    return [chunks](std::size_t at) mutable {
      std::size_t place = at + chunk_tree(chunks).size();
      std::size_t total = 0;
      for (Chunk& chunk : chunks) {
        if (chunk.address != 0) continue;
        chunk.address = place + total;
        total += static_cast<std::size_t>(chunk.bytes);
      }
      return chunk_tree(chunks) + std::string(total, '\1');
    };
  };
  const std::vector<std::uint64_t> four{4};
  const std::vector<std::uint64_t> two{2, 4};
  add("one too few", four, two, {}, tree({{{0}, 8, 0}}), "has 1 chunks, expected 2");
  add("one too many", four, two, {}, tree({{{0}, 8, 0}, {{2}, 8, 0}, {{4}, 8, 0}}), "has 3 chunks, expected 2");
  add("one twice", four, two, {}, tree({{{0}, 8, 0}, {{0}, 8, 0}}), "a chunk is there twice");
  add("one past the end", four, two, {}, tree({{{0}, 8, 0}, {{4}, 8, 0}}), "a chunk begins at 4 in dimension 0");
  add("one between two", four, two, {}, tree({{{0}, 8, 0}, {{1}, 8, 0}}), "a chunk begins at 1 in dimension 0");
  add("a byte too few", four, two, {}, tree({{{0}, 8, 0}, {{2}, 7, 0}}), "has 7 bytes, expected 8");
  add("a sum that was not said", four, two, {}, tree({{{0}, 12, 0}, {{2}, 8, 0}}), "has 12 bytes, expected 8", true);
  add(
      "in each other's place", four, two, {},
      [](std::size_t at) {
        return chunk_tree({{{0}, 8, at}, {{2}, 8, at + 4}});
      },
      "two datasets share their bytes");
  add("past the file", four, two, {}, tree({{{0}, 8, 0}, {{2}, 8, 1 << 20}}), "8 bytes at offset 1048576");
  add("at 2^64 - 1", four, two, {}, tree({{{0}, 8, 0}, {{2}, 8, kUndefined}}),
      "8 bytes at offset 18446744073709551615");
  add("of 0 elements", four, {0, 4}, {}, tree({{{0}, 8, 0}}), "a chunk has a dimension of 0");
  add("of another type", four, {2, 8}, {}, tree({{{0}, 8, 0}, {{2}, 8, 0}}), "do not fit the type");
  add("of 2^93 bytes", {4, 4, 4}, {0x7fffffff, 0x7fffffff, 0x7fffffff, 4}, {}, tree({{{0, 0, 0}, 8, 0}}),
      "overflow 2^64 bytes");
  add("of another rank", four, {2, 2, 4}, {}, tree({{{0, 0}, 8, 0}}), "has 3 - 1 dimensions");
  add("2^40 of them", {std::uint64_t{1} << 40}, {1, 4}, {}, tree({{{0}, 4, 0}}),
      "has 1 chunks, expected 1099511627776");
  add("far above the file, deflated", {1 << 28}, {1 << 28, 4}, {1}, tree({{{0}, 100, 0}}),
      "says that it has 1073741824");
  add("a hundred times the file, deflated", {1 << 25}, {1 << 25, 4}, {1}, tree({{{0}, 200'000, 0}}),
      "a dataset of 200000 stored bytes says that it has 134217728");
  add("that do not inflate", four, {4, 4}, {1}, tree({{{0}, 10, 0}}), "does not inflate to its 16 bytes", true);
  add("of another sum", four, {4, 4}, {3}, tree({{{0}, 20, 0}}), "checksum of a chunk", true);
  add(
      "a tree that is none", four, two, {}, [](std::size_t) { return std::string(200, '\0'); },
      "expected a node of a B-tree of type 1");
  add(
      "a tree of names", four, two, {},
      [](std::size_t at) {
        std::string bytes = chunk_tree({{{0}, 8, at}});
        bytes[4] = '\0';
        return bytes;
      },
      "expected a node of a B-tree of type 1");
  add(
      "a tree in itself", four, two, {},
      [](std::size_t at) {
        return chunk_tree({{{0}, 8, at}}, 1);
      },
      "levels of a B-tree do not descend");
  add(
      "a node twice", four, two, {},
      [](std::size_t at) {
        const std::string leaf = chunk_tree({});
        const std::size_t below = at + chunk_tree({{{0}, 0, 0}, {{2}, 0, 0}}, 1).size();
        return chunk_tree({{{0}, 0, below}, {{2}, 0, below}}, 1) + leaf;
      },
      "a node of a B-tree is there twice");
  add("33 filters", four, two, std::vector<std::uint64_t>(33, 1), tree({{{0}, 8, 0}, {{2}, 8, 0}}), "33 filters");
  return cases;
}

Cases other_cases() {
  Cases cases;
  const auto with = [&](const std::string& rule, const std::string& more, const std::string& word) {
    Dataset dataset;
    dataset.more = more;
    dataset.layout = message(8, contiguous(0, 8));
    dataset.layout = message(8, contiguous(dataset.data(), 8));
    cases.push_back({rule, dataset.bytes(std::string(8, '\1')), {"hdf5, offset", word}});
  };
  with("external files", message(7, std::string(16, '\0')), "in other files, which are not opened");
  with("a continuation past the end", message(0x10, little(1 << 20, 8) + little(8, 8)), "needs bytes");
  with("a continuation of 2^64 - 1 bytes", message(0x10, little(96, 8) + little(kUndefined, 8)), "needs bytes");
  with("a continuation that is cut", message(0x10, little(96, 8)), "a continuation is too short");
  with("a continuation into its own header", message(0x10, little(kDataset + 16, 8) + little(64, 8)),
       "continues in a circle");
  with("filters of version 3", message(0x0b, little(3, 1) + little(0, 7)), "filters have the version 3");
  with("filters that are cut", message(0x0b, filters({1, 2}).substr(0, 16)), "a message ends");
  return cases;
}

TEST(MalformedHdf5, EachGivesItsError) {
  const TemporaryFolder folder;
  write_file(folder / "m.h5", good());
  EXPECT_EQ(load(folder / "m.h5").at("x").shape(), (Shape{2}));
  Cases cases = patched_cases();
  append(cases, refused_cases());
  append(cases, chunk_cases());
  append(cases, other_cases());
  EXPECT_GE(cases.size(), 120u);
  expect_errors(folder / "m.h5", cases);
}

}  // namespace
}  // namespace sparsert::test
