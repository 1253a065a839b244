// tests/files/tflite_malformed_test.cpp — malformed TensorFlow Lite models, each with the error it must give.
#include <functional>
#include <optional>

#include "tests/files/malformed.hpp"

namespace sparsert::test {
namespace {

/// A flatbuffer written front to back: a table, then what it points to.
class Flat {
 public:
  using Child = std::function<std::size_t(Flat&)>;  // writes, and says where
  struct Field {
    std::string scalar;
    Child child;
  };

  std::string out;

  /// Fields that have neither a number nor a child are left out.
  std::size_t table(const std::vector<Field>& fields) {
    std::string offsets;
    std::string body;
    std::vector<std::pair<std::size_t, Child>> children;
    for (const Field& field : fields) {
      const bool absent = field.scalar.empty() && !field.child;
      offsets += little(absent ? 0 : 4 + body.size(), 2);
      if (field.child) children.emplace_back(4 + body.size(), field.child);
      body += field.child ? std::string(4, '\0') : field.scalar;
    }
    const std::size_t list = out.size();
    out += little(4 + offsets.size(), 2) + little(4 + body.size(), 2) + offsets;
    const std::size_t at = out.size();
    out += little(at - list, 4) + body;
    for (const auto& [place, child] : children) point(at + place, child(*this));
    return at;
  }

  std::size_t items(const std::vector<Child>& children) {
    const std::size_t at = out.size();
    out += little(children.size(), 4) + std::string(4 * children.size(), '\0');
    for (std::size_t i = 0; i < children.size(); ++i) point(at + 4 + 4 * i, children[i](*this));
    return at;
  }

  void point(std::size_t from, std::size_t to) { out.replace(from, 4, little(to - from, 4)); }
};

using Child = Flat::Child;
using Field = Flat::Field;

Field number(std::uint64_t value, std::size_t bytes) { return {little(value, bytes), {}}; }
Field absent() { return {}; }
Field child(Child how) { return {{}, std::move(how)}; }
Child table(std::vector<Field> fields) {
  return [fields](Flat& flat) { return flat.table(fields); };
}
Field list(const std::vector<std::uint64_t>& values, std::size_t bytes) {
  return child([values, bytes](Flat& flat) {
    const std::size_t at = flat.out.size();
    flat.out += little(values.size(), 4);
    for (const std::uint64_t value : values) flat.out += little(value, bytes);
    return at;
  });
}
Field text(const std::string& value) {
  return child([value](Flat& flat) {
    const std::size_t at = flat.out.size();
    flat.out += little(value.size(), 4) + value + '\0';
    return at;
  });
}
Field tables(const std::vector<Child>& children) {
  return child([children](Flat& flat) { return flat.items(children); });
}

struct Tensor {
  std::vector<std::uint64_t> shape{2, 2};
  std::uint64_t type = 0;
  std::uint64_t buffer = 1;
  std::string name = "w";
  Field quantization;
  Field sparsity;

  Child made() const {
    return table({list(shape, 4), number(type, 1), number(buffer, 4), text(name), quantization, absent(), sparsity});
  }
};

struct Model {
  std::uint64_t version = 3;
  std::vector<Tensor> tensors{Tensor()};
  std::vector<Child> operators;
  std::vector<Child> codes;
  std::string data = std::string(16, '\0');
  std::optional<Child> buffer;
  std::size_t subgraphs = 1;

  std::string bytes() const {
    std::vector<Child> made;
    for (const Tensor& tensor : tensors) made.push_back(tensor.made());
    const Child graph = table({tables(made), absent(), absent(), tables(operators)});
    std::vector<std::uint64_t> values;
    for (const char c : data) values.push_back(static_cast<unsigned char>(c));
    Flat flat;
    flat.out = std::string(4, '\0') + "TFL3";
    const std::size_t root =
        flat.table({number(version, 4), tables(codes), tables(std::vector<Child>(subgraphs, graph)), absent(),
                    tables({table({}), buffer ? *buffer : table({list(values, 1)})})});
    flat.point(0, root);
    return flat.out;
  }
};

Cases structure_cases() {
  const std::string good = Model().bytes();
  const auto root = static_cast<std::size_t>(static_cast<unsigned char>(good[0]));
  Cases cases;
  const auto patch = [&](const std::string& rule, std::size_t at, std::size_t width, std::uint64_t value,
                         const std::string& word) {
    std::string changed = good;
    changed.replace(at, width, little(value, width));
    cases.push_back({rule, changed, {"tflite, offset", word}});
  };
  for (const std::uint64_t value :
       {std::uint64_t{0x7fffffff}, std::uint64_t{0x80000000}, std::uint64_t{0xffffffff}, std::uint64_t{1} << 20}) {
    const std::string name = std::to_string(value);
    patch("a root at " + name, 0, 4, value, "needs bytes");
    patch("fields of the root " + name + " back", root, 4, value,
          value == 0x80000000u || value == 0xffffffffu ? "" : "before the file");
    patch("subgraphs at " + name, root + 12, 4, value, "needs bytes");
    patch("buffers at " + name, root + 16, 4, value, "needs bytes");
  }
  const std::size_t fields = root - 14;
  patch("a list of fields of 0 bytes", fields, 2, 0, "a list of fields has 0 bytes");
  patch("a list of fields of 3 bytes", fields, 2, 3, "a list of fields has 3 bytes");
  patch("a list of fields past the end", fields, 2, 0xffff, "needs bytes");
  patch("a table past the end", fields + 2, 2, 0xffff, "needs bytes");
  patch("a table of 4 bytes", fields + 2, 2, 4, "of a table of 4 bytes");
  patch("a field in front of its table", fields + 4, 2, 3, "field 0 lies at 3");
  patch("a field behind its table", fields + 4, 2, 0x7fff, "field 0 lies at 32767");
  patch("an offset of 0", root + 12, 4, 0, "an offset is 0");
  for (const std::uint64_t version : {0u, 1u, 2u, 4u, 0xffffffffu}) {
    patch("version " + std::to_string(version), root + 4, 4, version, "the version is " + std::to_string(version));
  }
  for (std::size_t size = 8; size < good.size() - 16; size += 5) {
    cases.push_back({"cut after " + std::to_string(size), good.substr(0, size), {"tflite, offset"}});
  }
  // What it says depends on where it points; that it is said does not.
  std::erase_if(cases, [](const Case& one) { return one.words.size() > 1 && one.words[1].empty(); });
  return cases;
}

Cases tensor_cases() {
  Cases cases;
  const auto add = [&](const std::string& rule, const std::function<void(Model&)>& change, const std::string& word,
                       bool when_read = false) {
    Model model;
    change(model);
    cases.push_back({rule, model.bytes(), {"tflite", word}, when_read});
  };
  const auto tensor = [&](const std::string& rule, const std::function<void(Tensor&)>& change,
                          const std::string& word) {
    add(
        rule, [&](Model& model) { change(model.tensors[0]); }, word);
  };
  for (const std::uint64_t type : {21u, 22u, 127u, 255u}) {
    tensor(
        "type " + std::to_string(type), [&](Tensor& t) { t.type = type; }, "has the type " + std::to_string(type));
  }
  for (const std::uint64_t buffer : {std::uint64_t{2}, std::uint64_t{1000}, std::uint64_t{0xffffffff}}) {
    tensor(
        "buffer " + std::to_string(buffer), [&](Tensor& t) { t.buffer = buffer; },
        "a tensor has buffer " + std::to_string(buffer) + " of 2");
  }
  tensor(
      "a negative dimension", [](Tensor& t) { t.shape = {0xffffffff}; }, "a dimension is -1");
  tensor(
      "65 dimensions", [](Tensor& t) { t.shape.assign(65, 1); }, "has 65 dimensions");
  tensor(
      "a shape of 2^93",
      [](Tensor& t) {
        t.shape = {0x7fffffff, 0x7fffffff, 0x7fffffff};
      },
      "too many elements");
  tensor(
      "a shape of 2^31", [](Tensor& t) { t.shape = {0x7fffffff}; }, "has 16 bytes, expected 8589934588");
  tensor(
      "an element too few", [](Tensor& t) { t.shape = {5}; }, "has 16 bytes, expected 20");
  tensor(
      "an element too many", [](Tensor& t) { t.shape = {3}; }, "has 16 bytes, expected 12");
  tensor(
      "a scalar of four", [](Tensor& t) { t.shape = {}; }, "has 16 bytes, expected 4");
  const std::vector<std::pair<std::uint64_t, std::size_t>> widths{{1, 2},  {2, 4},  {3, 1},  {4, 8},  {6, 1},
                                                                  {7, 2},  {8, 8},  {9, 1},  {10, 8}, {11, 16},
                                                                  {12, 8}, {15, 4}, {16, 2}, {18, 2}};
  for (const auto& [type, width] : widths) {
    tensor(
        "three elements in 16 bytes, type " + std::to_string(type),
        [&, t = type](Tensor& one) { one.type = t, one.shape = {3}; },
        "has 16 bytes, expected " + std::to_string(3 * width));
  }
  tensor(
      "three of four bits in 16 bytes", [](Tensor& t) { t.type = 17, t.shape = {3}; }, "has 16 bytes, expected 2");
  tensor(
      "a name that is not UTF-8", [](Tensor& t) { t.name = "\xc0\xaf"; }, "not UTF-8");
  tensor(
      "a name of 65,537 bytes", [](Tensor& t) { t.name = std::string(65'537, 'n'); }, "a text has 65537 bytes");
  add(
      "a bool of 2", [](Model& m) { m.tensors[0].type = 6, m.tensors[0].shape = {1}, m.data = "\2"; }, "a boolean is 2",
      true);
  add(
      "three names that meet",
      [](Model& m) {
        m.tensors.assign(3, Tensor());
        m.tensors[0].name = "w:2";
      },
      "\"w:2\" twice");
  const auto outside = [&](std::uint64_t offset, std::uint64_t size, bool data, const std::string& word) {
    add(
        "data at " + std::to_string(offset) + " of " + std::to_string(size),
        [&](Model& m) {
          m.buffer = table({data ? list({1}, 1) : absent(), number(offset, 8), number(size, 8)});
        },
        word);
  };
  outside(2, ~std::uint64_t{0}, false, "a buffer has 18446744073709551615 bytes at offset 2");
  outside(~std::uint64_t{0}, 16, false, "at offset 18446744073709551615");
  outside(10'000, 16, false, "at offset 10000");
  outside(8, 15, false, "has 15 bytes, expected 16");
  outside(8, 16, true, "its data in two places");
  add(
      "10,001 subgraphs", [](Model& m) { m.subgraphs = 10'001; }, "more than 10000 subgraphs");

  const auto quantized = [&](const std::string& rule, const std::vector<Field>& fields, const std::string& word) {
    tensor(
        "quantization: " + rule,
        [&](Tensor& t) {
          t.type = 9, t.shape = {4, 4}, t.quantization = child(table(fields));
        },
        word);
  };
  const std::vector<std::uint64_t> four{1, 2, 3, 4};
  quantized("three scales", {absent(), absent(), list({1, 2, 3}, 4), absent()}, "3 scales along dimension 0");
  quantized("scales along 2 of 2", {absent(), absent(), list(four, 4), absent(), absent(), absent(), number(2, 4)},
            "scales are along dimension 2");
  quantized("scales along -1", {absent(), absent(), list(four, 4), absent(), absent(), absent(), number(0xffffffff, 4)},
            "scales are along dimension -1");
  quantized("three zero points", {absent(), absent(), list(four, 4), list({1, 2, 3}, 8)}, "4 scales and 3 zero points");
  quantized("of another kind", {absent(), absent(), list(four, 4), absent(), number(1, 1)},
            "of a kind that is not read");

  const auto operation = [&](const std::string& rule, const std::vector<std::uint64_t>& inputs, std::uint64_t code,
                             const std::string& word) {
    add(
        rule,
        [&](Model& m) {
          m.codes = {table({number(3, 1), absent(), absent(), number(3, 4)})};
          m.operators = {table({number(code, 4), list(inputs, 4)})};
        },
        word);
  };
  operation("an operator of code 1 of 1", {0, 0}, 1, "the code 1 of 1");
  operation("an operator of code 2^32 - 1", {0, 0}, 0xffffffff, "the code 4294967295");
  operation("a convolution without weight", {0}, 0, "has 1 inputs");
  operation("a convolution with tensor 1 of 1", {0, 1}, 0, "has the weight 1");
  operation("a convolution with tensor -1", {0, 0xffffffff}, 0, "has the weight 4294967295");
  return cases;
}

struct Level {
  std::uint64_t format = 0;
  std::uint64_t size = 0;
  std::vector<std::uint64_t> segments;
  std::vector<std::uint64_t> indices;
  std::uint64_t kind = 1;

  Child made() const {
    const auto vector = [&](const std::vector<std::uint64_t>& values) {
      return child(table({list(values, kind == 1 ? 4 : kind == 2 ? 2 : 1)}));
    };
    if (format == 0) return table({number(0, 1), number(size, 4)});
    return table(
        {number(format, 1), number(0, 4), number(kind, 1), vector(segments), number(kind, 1), vector(indices)});
  }
};

// (2, 4) with two entries in each row: four floats.
struct Sparse {
  std::vector<std::uint64_t> shape{2, 4};
  std::vector<std::uint64_t> order{0, 1};
  std::vector<std::uint64_t> blocks;
  std::vector<Level> levels{{0, 2, {}, {}, 1}, {1, 0, {0, 2, 4}, {0, 3, 1, 2}, 1}};
  std::uint64_t type = 0;

  std::string bytes() const {
    std::vector<Child> made;
    for (const Level& level : levels) made.push_back(level.made());
    Model model;
    model.tensors[0].shape = shape;
    model.tensors[0].type = type;
    model.tensors[0].sparsity =
        child(table({list(order, 4), blocks.empty() ? absent() : list(blocks, 4), tables(made)}));
    return model.bytes();
  }
};

Cases sparse_cases() {
  Cases cases;
  const auto add = [&](const std::string& rule, const std::function<void(Sparse&)>& change, const std::string& word,
                       bool when_read = false) {
    Sparse sparse;
    change(sparse);
    cases.push_back({"sparse: " + rule, sparse.bytes(), {"tflite, offset", word}, when_read});
  };
  add(
      "a scalar", [](Sparse& s) { s.shape = {}; }, "a scalar is not sparse");
  add(
      "an empty tensor",
      [](Sparse& s) {
        s.shape = {0, 4};
      },
      "a sparse tensor of the shape (0, 4)");
  for (const std::vector<std::uint64_t>& order :
       {std::vector<std::uint64_t>{0, 0}, {1, 1}, {0}, {0, 2}, {0, 0xffffffff}, {0, 1, 2}}) {
    add(
        "an order of " + std::to_string(order.size()) + " to " + std::to_string(order.back()),
        [&](Sparse& s) { s.order = order; }, "no permutation of 2");
  }
  add(
      "a level too few", [](Sparse& s) { s.levels.pop_back(); }, "dim_metadata has 1 entries, expected 2");
  add(
      "a level too many", [](Sparse& s) { s.levels.push_back(s.levels[0]); }, "dim_metadata has 3 entries, expected 2");
  add(
      "format 2", [](Sparse& s) { s.levels[1].format = 2; }, "the format 2");
  add(
      "a dense size that is too large", [](Sparse& s) { s.levels[0].size = 3; }, "the size 3, expected 2");
  add(
      "a dense size of -1", [](Sparse& s) { s.levels[0].size = 0xffffffff; }, "the size -1, expected 2");
  add(
      "segments too few",
      [](Sparse& s) {
        s.levels[1].segments = {0, 4};
      },
      "has 2 segments, expected 2 + 1");
  add(
      "segments too many",
      [](Sparse& s) {
        s.levels[1].segments = {0, 2, 3, 4};
      },
      "has 4 segments, expected 2 + 1");
  add(
      "no segments", [](Sparse& s) { s.levels[1].segments = {}; }, "has 0 segments");
  add(
      "an index too few",
      [](Sparse& s) {
        s.levels[1].indices = {0, 3, 1};
      },
      "has 3 entries and 16 bytes");
  add(
      "an index too many",
      [](Sparse& s) {
        s.levels[1].indices = {0, 3, 1, 2, 3};
      },
      "has 5 entries and 16 bytes");
  add(
      "indices of no type", [](Sparse& s) { s.levels[1].kind = 0; }, "has the type 0");
  add(
      "indices of type 4", [](Sparse& s) { s.levels[1].kind = 4; }, "has the type 4");
  add(
      "a dense shape of 2^31",
      [](Sparse& s) {
        s.shape = {0x7fffffff, 4}, s.levels[0].size = 0x7fffffff;
      },
      "expected 2147483647 + 1");
  add(
      "a shape of 2^93",
      [](Sparse& s) {
        s.shape = {0x7fffffff, 0x7fffffff, 0x7fffffff};
      },
      "overflows 2^64 bits");
  add(
      "a first segment of 1",
      [](Sparse& s) {
        s.levels[1].segments = {1, 2, 4};
      },
      "begins at 1, expected 0", true);
  add(
      "segments that descend",
      [](Sparse& s) {
        s.levels[1].segments = {0, 5, 4};
      },
      "segment 0 is 0 to 5 of 4", true);
  add(
      "a segment of -1",
      [](Sparse& s) {
        s.levels[1].segments = {0, 0xffffffff, 4};
      },
      "segment 0 is 0 to -1", true);
  add(
      "segments that end early",
      [](Sparse& s) {
        s.levels[1].segments = {0, 2, 3};
      },
      "the segments end at 3 of 4", true);
  add(
      "an index of 4 of 4",
      [](Sparse& s) {
        s.levels[1].indices = {0, 4, 1, 2};
      },
      "is 4 after 0, in a dimension of 4", true);
  add(
      "an index of -1",
      [](Sparse& s) {
        s.levels[1].indices = {0xffffffff, 3, 1, 2};
      },
      "is -1 after -1", true);
  add(
      "an index of 65,535 in 16 bits",
      [](Sparse& s) {
        s.levels[1].indices = {0, 65'535, 1, 2}, s.levels[1].kind = 2;
      },
      "is 65535", true);
  add(
      "an index of 255 in 8 bits",
      [](Sparse& s) {
        s.levels[1].indices = {0, 255, 1, 2}, s.levels[1].kind = 3;
      },
      "is 255", true);
  add(
      "indices that descend",
      [](Sparse& s) {
        s.levels[1].indices = {3, 0, 1, 2};
      },
      "is 0 after 3", true);
  add(
      "an index twice",
      [](Sparse& s) {
        s.levels[1].indices = {0, 0, 1, 2};
      },
      "is 0 after 0", true);
  Sparse integers;
  integers.type = 2;
  cases.push_back({"sparse: integers", integers.bytes(), {"is sparse and of type INT32"}, true});
  const auto block = [&](const std::string& rule, const std::vector<std::uint64_t>& map,
                         const std::vector<std::uint64_t>& order, std::uint64_t size, const std::string& word) {
    add(
        "blocks: " + rule,
        [&](Sparse& s) {
          s.blocks = map, s.order = order;
          s.levels = {{0, 2, {}, {}, 1}, {1, 0, {0, 1, 2}, {0, 1}, 1}, {0, size, {}, {}, 1}};
          if (order.size() == 4) s.levels.push_back(s.levels[2]);
        },
        word);
  };
  block("dimension 2 of 2", {2}, {0, 1, 2}, 2, "names dimension 2 of (2, 4)");
  block("dimension -1", {0xffffffff}, {0, 1, 2}, 2, "names dimension -1");
  block("of 3 in a dimension of 4", {1}, {0, 1, 2}, 3, "a block of 3 does not divide");
  block("of 0", {1}, {0, 1, 2}, 0, "a block of 0 does not divide");
  block("of -2", {1}, {0, 1, 2}, 0xfffffffe, "a block of -2 does not divide");
  block("more than dimensions", {1, 1, 0}, {0, 1, 2}, 2, "more entries than the tensor dimensions");
  block("a dimension twice", {1, 1}, {0, 1, 2, 3}, 2, "names dimension 1 twice");
  return cases;
}

TEST(MalformedTflite, EachGivesItsError) {
  const TemporaryFolder folder;
  // What the cases change is a model.
  write_file(folder / "m", Model().bytes());
  EXPECT_EQ(load(folder / "m").at("w").shape(), (Shape{2, 2}));
  write_file(folder / "m", Sparse().bytes());
  EXPECT_EQ(load(folder / "m").sparse_at("w").nnz(), 4);
  Cases cases = structure_cases();
  append(cases, tensor_cases());
  append(cases, sparse_cases());
  EXPECT_GE(cases.size(), 120u);
  expect_errors(folder / "m", cases);
}

// Blocks of 1 × 2: two of them, whose values lie one after the other.
TEST(Tflite, ReadsBlocks) {
  Sparse sparse;
  sparse.blocks = {1};
  sparse.order = {0, 1, 2};
  sparse.levels = {{0, 2, {}, {}, 1}, {1, 0, {0, 1, 2}, {1, 0}, 1}, {0, 2, {}, {}, 1}};
  std::string bytes = sparse.bytes();
  const float values[] = {1, 2, 3, 4};
  bytes.replace(bytes.size() - 16, 16, reinterpret_cast<const char*>(values), 16);
  const TemporaryFolder folder;
  write_file(folder / "m", bytes);
  EXPECT_TRUE(same_bits(load(folder / "m").sparse_at("w").to_dense(), std::vector<float>{0, 0, 1, 2, 3, 4, 0, 0}));
}

}  // namespace
}  // namespace sparsert::test
