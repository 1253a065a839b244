// runtime/files/onnx.cpp — ONNX models: initialisers, sparse initialisers, and constants wherever they are.
//
// The graph is walked once, field by field; subgraphs of If, Loop and Scan and the bodies of functions are walked like
// it. A tensor of a subgraph is named "output/attribute/name" after the first output of the node that holds the graph,
// since sibling branches may use a name twice; a tensor of a function "function/name".
#include "runtime/files/onnx.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "runtime/files/names.hpp"
#include "runtime/files/onnx_tensor.hpp"
#include "runtime/files/proto_kind.hpp"
#include "runtime/files/sparse_index.hpp"

namespace sparsert::files::onnx {
namespace {

using protobuf::Message;
using protobuf::Wire;

constexpr std::size_t kMaxMetadata = 100'000;
constexpr std::size_t kMaxMetadataText = std::size_t{16} << 20;

// Field numbers of the messages that are walked.
namespace model {
enum : std::uint32_t {
  ir_version = 1,
  producer_name = 2,
  producer_version = 3,
  domain = 4,
  doc_string = 6,
  graph = 7,
  opset_import = 8,
  metadata_props = 14,
  functions = 25
};
}
namespace graph {
enum : std::uint32_t { node = 1, initializer = 5, sparse_initializer = 15 };
}
namespace node {
enum : std::uint32_t { output = 2, op_type = 4, attribute = 5, domain = 7 };
}
namespace attribute {
enum : std::uint32_t { name = 1, f = 2, i = 3, t = 5, g = 6, floats = 7, ints = 8, graphs = 11, sparse_tensor = 22 };
}
namespace sparse {
enum : std::uint32_t { values = 1, indices = 2, dims = 3 };
}

/// A sparse tensor has indices beside its values.
struct Entry {
  TensorProto values;
  std::optional<TensorProto> indices;
};

class OnnxReader : public Reader {
 public:
  explicit OnnxReader(const Source& source)
      : window_(source.bytes, kFormat), root_(source.root), max_tensors_(source.options->max_tensors) {}

  void walk_model();
  void read_lone_tensor();

  Tensor read(std::size_t position) const override {
    Window window = window_;
    return read_elements(window, entries_[position].values, root_.get());
  }
  SparseTensor read_sparse(std::size_t position) const override;

 private:
  void walk_graph(Message graph, const std::string& prefix);
  void walk_node(Message node, const std::string& prefix);
  void walk_function(Message function);
  void walk_attribute(Message attribute, const std::string& output, const std::string& prefix, bool is_constant);
  void add_metadata(Message entry);
  void set_metadata(const Message& at, std::string key, std::string value);
  void add_tensor(const Message& message, std::string name, TensorProto tensor);
  void add_sparse(const Message& message, std::string name, const std::string& prefix);
  void add_numbers(const Message& attribute, std::string name, std::uint32_t field);
  void add(const Message& at, std::string name, TensorInfo info, Entry entry);
  void check_external() const;

  Window window_;
  std::shared_ptr<const Root> root_;
  std::uint64_t max_tensors_;
  std::vector<Entry> entries_;
  std::set<std::string, std::less<>> names_;
};

void OnnxReader::add(const Message& at, std::string name, TensorInfo tensor, Entry entry) {
  if (name.empty()) at.fail("a tensor has no name");
  if (name.size() > protobuf::kMaxText)
    at.fail("a name has more than " + std::to_string(protobuf::kMaxText) + " bytes");
  if (entries_.size() >= max_tensors_) at.fail("the model has more than " + std::to_string(max_tensors_) + " tensors");
  if (!names_.insert(name).second) at.fail("the model has the tensor " + in_quotes(name) + " twice");
  tensor.name = std::move(name);
  info.tensors.push_back(std::move(tensor));
  entries_.push_back(std::move(entry));
}

void OnnxReader::add_tensor(const Message& message, std::string name, TensorProto tensor) {
  TensorInfo described = tensor.info;
  described.file = tensor.elements.location;
  if (tensor.elements.kind == Elements::Kind::external) described.offset = tensor.elements.raw.begin;
  add(message, std::move(name), std::move(described), {std::move(tensor), std::nullopt});
}

void OnnxReader::add_sparse(const Message& message, std::string name, const std::string& prefix) {
  std::optional<TensorProto> values;
  std::optional<TensorProto> indices;
  Shape shape;
  Message fields = message.message();
  while (fields.next()) {
    if (fields.field() == sparse::dims) {
      add_sizes(fields, shape);
    } else if (fields.field() == sparse::values || fields.field() == sparse::indices) {
      std::optional<TensorProto>& target = fields.field() == sparse::values ? values : indices;
      if (target) fields.fail("a sparse tensor has its values or its indices twice");
      target = parse_tensor(fields.message(), root_.get());
    }
  }
  if (!values || !indices) message.fail("a sparse tensor has no values or no indices");
  if (name.empty()) name = prefix + values->info.name;
  const auto refuse = [&](const std::string& reason) {
    message.fail("sparse tensor " + in_quotes(name) + ": " + reason);
  };
  if (!shape_bits(shape, 64)) refuse("the shape " + to_string(shape) + " overflows 2^64 bits");
  if (shape.empty()) refuse("a scalar is not sparse");
  if (values->info.shape.size() != 1) refuse("values have the shape " + to_string(values->info.shape));
  const std::int64_t nnz = values->info.shape[0];
  const auto rank = static_cast<std::int64_t>(shape.size());
  if (indices->info.dtype != std::string_view("INT64")) refuse("indices are " + indices->info.dtype);
  const Shape& got = indices->info.shape;
  if (got != Shape{nnz} && got != Shape{nnz, rank}) {
    refuse("indices have the shape " + to_string(got) + ", expected " + to_string(Shape{nnz}) + " or " +
           to_string(Shape{nnz, rank}));
  }
  TensorInfo described = values->info;
  described.shape = std::move(shape);
  described.layout = Layout::coo;
  described.nnz = nnz;
  described.nbytes += indices->info.nbytes;
  if (described.storage && !is_floating(*described.storage)) {
    described.refusal = "sparse values of type " + described.dtype;
    described.storage.reset();
  }
  add(message, std::move(name), std::move(described), {std::move(*values), std::move(indices)});
}

/// Numbers that a Constant node has as an attribute of their own: value_float, value_ints, ...
void OnnxReader::add_numbers(const Message& attribute, std::string name, std::uint32_t field) {
  const bool is_float = field == attribute::f || field == attribute::floats;
  const bool is_list = field == attribute::floats || field == attribute::ints;
  TensorProto tensor;
  tensor.element = is_float ? Element::float32 : Element::int64;
  tensor.elements.kind = Elements::Kind::list;
  tensor.elements.at = attribute.range().begin;
  tensor.elements.list = {attribute.range(), field, is_float ? Wire::fixed32 : Wire::varint};
  const std::uint64_t count =
      protobuf::count_numbers(Message(window_, attribute.range(), attribute.depth()), field, tensor.elements.list.wire);
  if (!is_list && count != 1) attribute.fail("a number is there " + std::to_string(count) + " times");
  if (is_list) tensor.info.shape = {static_cast<std::int64_t>(count)};
  tensor.info.dtype = is_float ? "FLOAT" : "INT64";
  tensor.info.storage = storage_of(*tensor.element);
  tensor.info.nbytes = count * bytes_of(*tensor.element);
  tensor.info.offset = window_.source().place(tensor.elements.at);
  add_tensor(attribute, std::move(name), std::move(tensor));
}

void OnnxReader::walk_attribute(Message attribute, const std::string& output, const std::string& prefix,
                                bool is_constant) {
  std::string name;
  bool has_name = false;
  for (Message fields = attribute; fields.next();) {
    if (fields.field() != attribute::name) continue;
    fields.once(has_name, "name");
    name = fields.text();
  }
  const Message whole = attribute;
  bool has_value = false;
  std::size_t graphs = 0;
  const auto is_numbers = [&](std::uint32_t field) {
    return (field == attribute::f && name == "value_float") || (field == attribute::floats && name == "value_floats") ||
           (field == attribute::i && name == "value_int") || (field == attribute::ints && name == "value_ints");
  };
  while (attribute.next()) {
    const std::uint32_t field = attribute.field();
    if (field == attribute::g || field == attribute::graphs) {
      const std::string place = prefix + output + "/" + name;
      walk_graph(attribute.message(), place + (graphs == 0 ? "/" : std::to_string(graphs) + "/"));
      ++graphs;
    } else if (is_constant && field == attribute::t && name == "value") {
      attribute.once(has_value, "value");
      add_tensor(attribute, prefix + output, parse_tensor(attribute.message(), root_.get()));
    } else if (is_constant && field == attribute::sparse_tensor && name == "sparse_value") {
      attribute.once(has_value, "sparse_value");
      add_sparse(attribute, prefix + output, prefix);
    } else if (is_constant && !has_value && is_numbers(field)) {
      has_value = true;
      add_numbers(whole, prefix + output, field);
    }
  }
}

void OnnxReader::walk_node(Message node, const std::string& prefix) {
  std::string output;
  bool has_output = false;
  std::string type;
  bool has_type = false;
  std::string domain;
  bool has_domain = false;
  for (Message fields = node; fields.next();) {
    switch (fields.field()) {
      case node::output:
        if (!has_output) output = fields.text();
        has_output = true;
        break;
      case node::op_type:
        fields.once(has_type, "op_type");
        type = fields.text();
        break;
      case node::domain:
        fields.once(has_domain, "domain");
        domain = fields.text();
        break;
      default: break;
    }
  }
  const bool is_constant = type == "Constant" && (domain.empty() || domain == "ai.onnx");
  while (node.next()) {
    if (node.field() == node::attribute) walk_attribute(node.message(), output, prefix, is_constant);
  }
}

void OnnxReader::walk_graph(Message graph, const std::string& prefix) {
  while (graph.next()) {
    switch (graph.field()) {
      case graph::node: walk_node(graph.message(), prefix); break;
      case graph::initializer: {
        TensorProto tensor = parse_tensor(graph.message(), root_.get());
        if (tensor.info.name.empty()) graph.fail("an initializer has no name");
        std::string name = prefix + tensor.info.name;
        add_tensor(graph, std::move(name), std::move(tensor));
        break;
      }
      case graph::sparse_initializer: add_sparse(graph, {}, prefix); break;
      default: break;
    }
  }
}

void OnnxReader::walk_function(Message function) {
  constexpr std::uint32_t kName = 1;
  constexpr std::uint32_t kNode = 7;
  std::string name;
  bool has_name = false;
  for (Message fields = function; fields.next();) {
    if (fields.field() != kName) continue;
    fields.once(has_name, "name");
    name = fields.text();
  }
  while (function.next()) {
    if (function.field() == kNode) walk_node(function.message(), name + "/");
  }
}

void OnnxReader::set_metadata(const Message& at, std::string key, std::string value) {
  if (info.metadata.size() == kMaxMetadata) at.fail("more than " + std::to_string(kMaxMetadata) + " metadata entries");
  if (!info.metadata.emplace(key, std::move(value)).second) at.fail("metadata has " + in_quotes(key) + " twice");
}

void OnnxReader::add_metadata(Message entry) {
  std::string key;
  std::string value;
  const Message at = entry;
  while (entry.next()) {
    if (entry.field() == 1) key = entry.text();
    if (entry.field() == 2) value = entry.text(kMaxMetadataText);
  }
  set_metadata(at, std::move(key), std::move(value));
}

void OnnxReader::walk_model() {
  Message fields(window_, {0, window_.size()});
  bool has_graph = false;
  while (fields.next()) {
    switch (fields.field()) {
      case model::ir_version: set_metadata(fields, "ir_version", std::to_string(fields.varint())); break;
      case model::producer_name: set_metadata(fields, "producer_name", fields.text()); break;
      case model::producer_version: set_metadata(fields, "producer_version", fields.text()); break;
      case model::doc_string: set_metadata(fields, "doc_string", fields.text(kMaxMetadataText)); break;
      case model::metadata_props: add_metadata(fields.message()); break;
      case model::graph:
        fields.once(has_graph, "graph");
        walk_graph(fields.message(), {});
        break;
      case model::functions: walk_function(fields.message()); break;
      default: break;
    }
  }
  if (!has_graph) window_.fail(0, "the model has no graph");
  check_external();
}

void OnnxReader::read_lone_tensor() {
  const Message message(window_, {0, window_.size()});
  TensorProto tensor = parse_tensor(message, root_.get());
  std::string name = tensor.info.name.empty() ? "tensor" : tensor.info.name;
  add_tensor(message, std::move(name), std::move(tensor));
}

/// No byte of an external file belongs to two tensors.
void OnnxReader::check_external() const {
  std::vector<const TensorProto*> external;
  for (const Entry& entry : entries_) {
    for (const TensorProto* tensor : {&entry.values, entry.indices ? &*entry.indices : nullptr}) {
      if (tensor == nullptr || tensor->elements.kind != Elements::Kind::external) continue;
      if (tensor->elements.raw.size() != 0) external.push_back(tensor);
    }
  }
  const auto key = [](const TensorProto* tensor) {
    return std::tuple(std::string_view(tensor->elements.location), tensor->elements.raw.begin);
  };
  std::sort(external.begin(), external.end(), [&](const auto* a, const auto* b) { return key(a) < key(b); });
  for (std::size_t i = 1; i < external.size(); ++i) {
    const Elements& before = external[i - 1]->elements;
    const Elements& after = external[i]->elements;
    if (before.location != after.location || before.raw.end <= after.raw.begin) continue;
    window_.fail(after.at, "external data at offset " + std::to_string(after.raw.begin) + " of " +
                               in_quotes(after.location) + " overlap those of another tensor");
  }
}

SparseTensor OnnxReader::read_sparse(std::size_t position) const {
  Window window = window_;
  const Entry& entry = entries_[position];
  const Shape& shape = info.tensors[position].shape;
  const Tensor values = read_elements(window, entry.values, root_.get());
  const Tensor indices = read_elements(window, *entry.indices, root_.get());
  const auto got = indices.span<std::int64_t>();
  return make_coo(kFormat, window.source().place(entry.indices->elements.at), got, indices.rank() == 2, values, shape);
}

}  // namespace

bool sniff(const Source& source) { return protobuf::kind_of(source.bytes) == protobuf::Kind::onnx_model; }

std::unique_ptr<Reader> open(const Source& source) {
  auto reader = std::make_unique<OnnxReader>(source);
  reader->walk_model();
  return reader;
}

bool sniff_tensor(const Source& source) { return protobuf::kind_of(source.bytes) == protobuf::Kind::onnx_tensor; }

std::unique_ptr<Reader> open_tensor(const Source& source) {
  auto reader = std::make_unique<OnnxReader>(source);
  reader->read_lone_tensor();
  return reader;
}

}  // namespace sparsert::files::onnx
