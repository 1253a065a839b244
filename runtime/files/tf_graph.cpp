// runtime/files/tf_graph.cpp — constants of TensorFlow graphs, and saved models.
//
// A frozen graph holds its weights as Const nodes. A constant of a function is named "function/node". Constants that
// are text (names of files, of operations) are no tensors of the model, and are left out.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/files/names.hpp"
#include "runtime/files/proto_kind.hpp"
#include "runtime/files/tensorflow.hpp"
#include "runtime/files/tf_tensor.hpp"

namespace sparsert::files::tensorflow {
namespace {

using protobuf::Message;

// Field numbers of the messages that are walked.
namespace graph {
enum : std::uint32_t { node = 1, library = 2 };
}
namespace node {
enum : std::uint32_t { name = 1, op = 2, attr = 5 };
}
namespace function {
enum : std::uint32_t { signature = 1, node = 3 };
}
constexpr std::uint32_t kFunction = 1;       // of a library
constexpr std::uint32_t kSignatureName = 1;  // of a signature
constexpr std::uint32_t kTensor = 8;         // of an attribute's value
constexpr std::uint32_t kMetaGraphs = 2;     // of a saved model
constexpr std::uint32_t kGraphDef = 2;       // of a meta graph
constexpr const char* kVariables = "variables/variables.index";

class GraphReader : public Reader {
 public:
  GraphReader(const Source& source, const char* format)
      : window_(source.bytes, kFormat), max_tensors_(source.options->max_tensors) {
    info.format = format;
  }

  void walk_graph(Message graph);
  void walk_saved_model();
  Message whole() { return Message(window_, {0, window_.size()}); }

  Tensor read(std::size_t position) const override {
    Window window = window_;
    return read_constant(window, constants_[position]);
  }

 private:
  void walk_library(Message library);
  void walk_node(Message node, const std::string& prefix);
  void add(const Message& at, std::string name, Message value);

  Window window_;
  std::uint64_t max_tensors_;
  std::vector<Constant> constants_;
  std::set<std::string, std::less<>> names_;
};

void GraphReader::add(const Message& at, std::string name, Message value) {
  Constant constant;
  bool found = false;
  while (value.next()) {
    if (value.field() != kTensor) continue;
    value.once(found, "a tensor");
    constant = parse_constant(value.message());
  }
  if (!found) at.fail("the constant " + in_quotes(name) + " has no tensor");
  if (is_no_number(*constant.type)) return;
  if (name.empty()) at.fail("a constant has no name");
  if (constants_.size() >= max_tensors_)
    at.fail("the model has more than " + std::to_string(max_tensors_) + " tensors");
  if (!names_.insert(name).second) at.fail("the model has the constant " + in_quotes(name) + " twice");
  info.tensors.push_back(constant.info);
  info.tensors.back().name = std::move(name);
  constants_.push_back(std::move(constant));
}

void GraphReader::walk_node(Message node, const std::string& prefix) {
  std::string name;
  bool has_name = false;
  std::string op;
  bool has_op = false;
  for (Message fields = node; fields.next();) {
    if (fields.field() == node::name) {
      fields.once(has_name, "name");
      name = fields.text();
    } else if (fields.field() == node::op) {
      fields.once(has_op, "op");
      op = fields.text();
    }
  }
  if (op != "Const") return;
  bool has_value = false;
  while (node.next()) {
    if (node.field() != node::attr) continue;
    // An entry of a map: a key and a value, in any order.
    std::string key;
    Range value;
    bool has_entry_key = false;
    bool has_entry_value = false;
    Message entry = node.message();
    while (entry.next()) {
      if (entry.field() == 1) {
        entry.once(has_entry_key, "key");
        key = entry.text();
      } else if (entry.field() == 2) {
        entry.once(has_entry_value, "value");
        value = entry.bytes();
      }
    }
    if (key != "value" || !has_entry_value) continue;
    node.once(has_value, "the attribute \"value\"");
    add(node, prefix + name, Message(window_, value, node.depth() + 2));
  }
  if (!has_value) node.fail("the constant " + in_quotes(name) + " has no value");
}

void GraphReader::walk_library(Message library) {
  while (library.next()) {
    if (library.field() != kFunction) continue;
    Message body = library.message();
    std::string prefix;
    for (Message fields = body; fields.next();) {
      if (fields.field() != function::signature) continue;
      for (Message signature = fields.message(); signature.next();) {
        if (signature.field() == kSignatureName) prefix = signature.text() + "/";
      }
    }
    while (body.next()) {
      if (body.field() == function::node) walk_node(body.message(), prefix);
    }
  }
}

void GraphReader::walk_graph(Message graph) {
  while (graph.next()) {
    if (graph.field() == graph::node) walk_node(graph.message(), {});
    if (graph.field() == graph::library) walk_library(graph.message());
  }
}

void GraphReader::walk_saved_model() {
  Message saved = whole();
  std::size_t graphs = 0;
  while (saved.next()) {
    if (saved.field() != kMetaGraphs) continue;
    if (++graphs > 1) saved.fail("a saved model has several graphs and no variables, which is not read");
    Message meta = saved.message();
    bool has_graph = false;
    while (meta.next()) {
      if (meta.field() != kGraphDef) continue;
      meta.once(has_graph, "graph_def");
      walk_graph(meta.message());
    }
  }
}

}  // namespace

bool sniff_graph(const Source& source) { return protobuf::kind_of(source.bytes) == protobuf::Kind::graph_def; }

std::unique_ptr<Reader> open_graph(const Source& source) {
  auto reader = std::make_unique<GraphReader>(source, "tensorflow graph");
  reader->walk_graph(reader->whole());
  return reader;
}

bool sniff_saved_model(const Source& source) { return protobuf::kind_of(source.bytes) == protobuf::Kind::saved_model; }

std::unique_ptr<Reader> open_saved_model(const Source& source) {
  auto reader = std::make_unique<GraphReader>(source, "tensorflow saved model");
  const std::size_t slash = source.name.rfind('/');
  const std::string folder = slash == source.name.npos ? std::string() : source.name.substr(0, slash + 1);
  const std::string variables = folder + kVariables;
  if (source.root != nullptr && source.root->kind(variables) == Root::Kind::file) {
    const Source index{Bytes(source.root->open(variables)), source.root, variables, source.options};
    if (!sniff_checkpoint(index)) throw FileError(in_quotes(variables) + " is no index of a checkpoint");
    auto checkpoint = open_checkpoint(index);
    checkpoint->info.format = reader->info.format;
    return checkpoint;
  }
  reader->walk_saved_model();
  return reader;
}

}  // namespace sparsert::files::tensorflow
