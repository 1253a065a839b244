// runtime/files/tflite.cpp — TensorFlow Lite models: the tensors that have a buffer with data.
//
// Names need not be there, nor be unique: a tensor without one is "tensor_INDEX", a second of the same name gets
// ":INDEX", and tensors of other subgraphs than the first are "SUBGRAPH/name". Quantized integers are loaded as they
// are, with their scales in `TensorInfo::quantization`; sparse ones, for which there is no integer matrix, are loaded
// as float32.
#include "runtime/files/tflite.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/files/bytes.hpp"
#include "runtime/files/element.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/sparse_index.hpp"
#include "runtime/files/tflite_sparsity.hpp"

namespace sparsert::files::tflite {
namespace {

using flatbuffer::Table;
using flatbuffer::Vector;

// Field numbers of the tables.
namespace model {
enum : unsigned { version = 0, operator_codes = 1, subgraphs = 2, description = 3, buffers = 4 };
}
namespace subgraph {
enum : unsigned { tensors = 0, operators = 3, name = 4 };
}
namespace tensor {
enum : unsigned { shape = 0, type = 1, buffer = 2, name = 3, quantization = 4, sparsity = 6 };
}
namespace buffer {
enum : unsigned { data = 0, offset = 1, size = 2 };
}
namespace quantization {
enum : unsigned { scale = 2, zero_point = 3, details_type = 4, dimension = 6 };
}
namespace operation {
enum : unsigned { code = 0, inputs = 1 };
}
namespace operator_code {
enum : unsigned { deprecated = 0, builtin = 3 };
}

constexpr std::uint64_t kVersion = 3;
constexpr std::uint64_t kMaxOperators = 1'000'000;
constexpr std::uint64_t kMaxSubgraphs = 10'000;
// Tensors may share buffers and tables share texts; real models do so a few times, not a million times.
constexpr std::uint64_t kMaxShared = 16;
constexpr std::uint64_t kFreeBytes = std::uint64_t{1} << 20;

struct Type {
  const char* name;
  std::optional<Element> element;
  unsigned bits;  ///< 0: not of a fixed size
};

constexpr std::array<Type, 21> kTypes{{
    {"FLOAT32", Element::float32, 32},
    {"FLOAT16", Element::float16, 16},
    {"INT32", Element::int32, 32},
    {"UINT8", Element::uint8, 8},
    {"INT64", Element::int64, 64},
    {"STRING", {}, 0},
    {"BOOL", Element::boolean, 8},
    {"INT16", Element::int16, 16},
    {"COMPLEX64", Element::complex64, 64},
    {"INT8", Element::int8, 8},
    {"FLOAT64", Element::float64, 64},
    {"COMPLEX128", Element::complex128, 128},
    {"UINT64", Element::uint64, 64},
    {"RESOURCE", {}, 0},
    {"VARIANT", {}, 0},
    {"UINT32", Element::uint32, 32},
    {"UINT16", Element::uint16, 16},
    {"INT4", {}, 4},
    {"BFLOAT16", Element::bfloat16, 16},
    {"INT2", {}, 2},
    {"UINT4", {}, 4},
}};

/// Operators whose second input is a weight with a known order of dimensions.
constexpr std::uint64_t kConv2d = 3;
constexpr std::uint64_t kDepthwiseConv2d = 4;

struct Entry {
  Type type;
  Range data;  ///< in the file
  std::optional<Sparsity> sparsity;
  std::shared_ptr<const Quantization> quantization;  ///< of a sparse tensor, which is dequantized when it is read
};

class TfliteReader : public Reader {
 public:
  explicit TfliteReader(const Source& source)
      : window_(source.bytes, kFormat), max_tensors_(source.options->max_tensors) {}

  void open();
  Tensor read(std::size_t position) const override;
  SparseTensor read_sparse(std::size_t position) const override;

 private:
  void add_subgraph(const Table& root, const Table& graph, std::uint64_t number);
  void add_tensor(const Table& root, const Table& graph, const Table& table, std::uint64_t index,
                  const std::string& prefix, std::string_view axes);
  Range data_of(const Table& root, std::uint64_t number) const;
  Shape shape_of(const Table& table) const;
  std::string name_of_tensor(const Table& table, std::uint64_t index, const std::string& prefix);
  std::shared_ptr<const Quantization> quantization_of(const Table& table, const Shape& shape) const;
  std::map<std::uint64_t, std::string_view> axes_of(const Table& root, const Table& graph);
  void add_sparsity(const Table& table, const Table& sparsity, TensorInfo& tensor, Entry& entry) const;

  mutable Window window_;
  std::uint64_t max_tensors_;
  std::vector<Entry> entries_;
  std::set<std::string, std::less<>> names_;
  std::map<std::uint64_t, std::size_t> by_buffer_;  // the first tensor of each
  std::uint64_t operators_ = 0;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t name_bytes_ = 0;
};

/// Where the bytes of a buffer are; empty where it has none.
Range TfliteReader::data_of(const Table& root, std::uint64_t number) const {
  const Vector buffers = root.vector(model::buffers, 4);
  if (number >= buffers.size) {
    root.fail("a tensor has buffer " + std::to_string(number) + " of " + std::to_string(buffers.size));
  }
  const Table table = root.item(buffers, number);
  const Vector data = table.vector(buffer::data, 1);
  const std::uint64_t offset = table.number(buffer::offset, 8);
  const std::uint64_t size = table.number(buffer::size, 8);
  // Data behind the tables, for models of more than 2 GiB.
  if (offset <= 1) return {data.begin, data.begin + data.size};
  if (data.size != 0) table.fail("a buffer has its data in two places");
  if (offset > window_.size() || size > window_.size() - offset) {
    table.fail("a buffer has " + std::to_string(size) + " bytes at offset " + std::to_string(offset) +
               " of a file of " + std::to_string(window_.size()));
  }
  return {offset, offset + size};
}

Shape TfliteReader::shape_of(const Table& table) const {
  const Vector sizes = table.vector(tensor::shape, 4);
  if (sizes.size > kMaxRank) table.fail("a tensor has " + std::to_string(sizes.size) + " dimensions");
  Shape shape;
  for (std::uint64_t d = 0; d < sizes.size; ++d) {
    const auto size = static_cast<std::int32_t>(static_cast<std::uint32_t>(window_.number(sizes.begin + 4 * d, 4)));
    if (size < 0) table.fail("a dimension is " + std::to_string(size));
    shape.push_back(size);
  }
  return shape;
}

std::string TfliteReader::name_of_tensor(const Table& table, std::uint64_t index, const std::string& prefix) {
  std::string name = table.text(tensor::name);
  if (name.empty()) name = "tensor_" + std::to_string(index);
  name = prefix + name;
  name_bytes_ += name.size();
  if (name_bytes_ > kFreeBytes + kMaxShared * window_.size())
    table.fail("the names of tensors are longer than the file");
  if (names_.contains(name)) name += ":" + std::to_string(index);
  if (!names_.insert(name).second) table.fail("the model has the tensor " + in_quotes(name) + " twice");
  return name;
}

std::shared_ptr<const Quantization> TfliteReader::quantization_of(const Table& table, const Shape& shape) const {
  const auto parameters = table.table(tensor::quantization);
  if (!parameters) return nullptr;
  const Vector scales = parameters->vector(quantization::scale, 4);
  if (scales.size == 0) return nullptr;  // the range of a float tensor
  if (parameters->number(quantization::details_type, 1) != 0)
    parameters->fail("quantization of a kind that is not read");
  const Vector zeros = parameters->vector(quantization::zero_point, 8);
  const auto axis =
      static_cast<std::int32_t>(static_cast<std::uint32_t>(parameters->number(quantization::dimension, 4)));
  if (zeros.size != 0 && zeros.size != scales.size && zeros.size != 1) {
    parameters->fail(std::to_string(scales.size) + " scales and " + std::to_string(zeros.size) + " zero points");
  }
  if (scales.size != 1) {
    if (axis < 0 || axis >= static_cast<int>(shape.size()))
      parameters->fail("scales are along dimension " + std::to_string(axis) + " of " + to_string(shape));
    if (scales.size != static_cast<std::uint64_t>(shape[static_cast<std::size_t>(axis)])) {
      parameters->fail(std::to_string(scales.size) + " scales along dimension " + std::to_string(axis) + " of " +
                       to_string(shape));
    }
  }
  auto out = std::make_shared<Quantization>();
  out->axis = scales.size == 1 ? 0 : axis;
  bool has_zero_point = false;
  for (std::uint64_t i = 0; i < scales.size; ++i) {
    const auto bits = static_cast<std::uint32_t>(window_.number(scales.begin + 4 * i, 4));
    out->scales.push_back(std::bit_cast<float>(bits));
    const std::uint64_t zero = zeros.size == 0 ? 0 : zeros.size == 1 ? zeros.begin : zeros.begin + 8 * i;
    out->zero_points.push_back(zero == 0 ? 0 : static_cast<std::int64_t>(window_.number(zero, 8)));
    has_zero_point = has_zero_point || out->zero_points.back() != 0;
  }
  if (!has_zero_point) out->zero_points.clear();
  return out;
}

void TfliteReader::add_sparsity(const Table& table, const Table& sparsity, TensorInfo& tensor, Entry& entry) const {
  if (tensor.shape.empty()) table.fail("a scalar is not sparse");
  if (!shape_bits(tensor.shape, 64)) table.fail("the shape " + to_string(tensor.shape) + " overflows 2^64 bits");
  // Of an empty tensor nothing could be stored, and a level of it could be as large as it likes.
  if (*shape_bits(tensor.shape, 1) == 0) table.fail("a sparse tensor of the shape " + to_string(tensor.shape));
  entry.sparsity = parse_sparsity(sparsity, tensor.shape);
  const std::int64_t entries = entry.sparsity->entries;
  const std::uint64_t bytes = entry.data.size();
  if (!entry.type.element || static_cast<std::uint64_t>(entries) != bytes / bytes_of(*entry.type.element) ||
      bytes % bytes_of(*entry.type.element) != 0) {
    table.fail("a sparse tensor of type " + std::string(entry.type.name) + " has " + std::to_string(entries) +
               " entries and " + std::to_string(bytes) + " bytes");
  }
  tensor.layout = Layout::csr;
  // Rows without entries cost memory that the file does not have; no real model is like this.
  constexpr std::int64_t kFreeRows = 65'536;
  if (tensor.shape.size() > 1 && tensor.shape[0] > kFreeRows + 16 * entries) tensor.layout = Layout::coo;
  tensor.nnz = entries;
  tensor.nbytes = bytes + entry.sparsity->nbytes;
  if (tensor.quantization) {
    const auto& zeros = tensor.quantization->zero_points;
    if (!zeros.empty()) {
      tensor.refusal = "is sparse and quantized with zero points";
      tensor.storage.reset();
    } else {
      tensor.storage = DType::float32;
    }
    entry.quantization = std::exchange(tensor.quantization, nullptr);
  } else if (tensor.storage && !is_floating(*tensor.storage)) {
    tensor.refusal = "is sparse and of type " + tensor.dtype;
    tensor.storage.reset();
  }
}

void TfliteReader::add_tensor(const Table& root, const Table& graph, const Table& table, std::uint64_t index,
                              const std::string& prefix, std::string_view axes) {
  const std::uint64_t number = table.number(tensor::buffer, 4);
  const Range data = data_of(root, number);
  if (data.size() == 0) return;  // not a constant
  if (entries_.size() >= max_tensors_) graph.fail("more than " + std::to_string(max_tensors_) + " tensors");
  const std::uint64_t type = table.number(tensor::type, 1);
  if (type >= kTypes.size()) table.fail("a tensor has the type " + std::to_string(type));
  Entry entry{kTypes[static_cast<std::size_t>(type)], data, {}, {}};
  TensorInfo tensor;
  tensor.name = name_of_tensor(table, index, prefix);
  tensor.dtype = entry.type.name;
  if (entry.type.element) tensor.storage = storage_of(*entry.type.element);
  tensor.shape = shape_of(table);
  tensor.offset = window_.source().place(data.begin);
  tensor.nbytes = data.size();
  tensor.quantization = quantization_of(table, tensor.shape);
  const auto sparsity = table.table(tensor::sparsity);
  if (sparsity && sparsity->vector(0, 4).size != 0) {
    add_sparsity(table, *sparsity, tensor, entry);
  } else if (entry.type.bits != 0) {
    const auto elements = shape_bits(tensor.shape, 128);
    if (!elements) table.fail("the shape " + to_string(tensor.shape) + " has too many elements");
    const std::uint64_t expected = (*elements / 128 * entry.type.bits + 7) / 8;
    if (data.size() != expected) {
      table.fail("tensor " + in_quotes(tensor.name) + " has " + std::to_string(data.size()) + " bytes, expected " +
                 std::to_string(expected) + " for " + tensor.dtype + " " + to_string(tensor.shape));
    }
    tensor.axes = axes;
    const auto [twin, is_first] = by_buffer_.try_emplace(number, entries_.size());
    if (!is_first && info.tensors[twin->second].dtype == tensor.dtype &&
        info.tensors[twin->second].shape == tensor.shape && info.tensors[twin->second].layout == Layout::dense &&
        info.tensors[twin->second].axes == tensor.axes) {
      tensor.tied_to = info.tensors[twin->second].name;
    }
  }
  if (tensor.tied_to.empty()) total_bytes_ += tensor.nbytes;
  if (total_bytes_ > kFreeBytes + kMaxShared * window_.size()) table.fail("tensors share their bytes too often");
  info.tensors.push_back(std::move(tensor));
  entries_.push_back(std::move(entry));
}

/// The order of the dimensions of those tensors that are weights of an operator which has one.
std::map<std::uint64_t, std::string_view> TfliteReader::axes_of(const Table& root, const Table& graph) {
  std::map<std::uint64_t, std::string_view> axes;
  const Vector codes = root.vector(model::operator_codes, 4);
  const Vector operators = graph.vector(subgraph::operators, 4);
  operators_ += operators.size;
  if (operators_ > kMaxOperators) graph.fail("more than " + std::to_string(kMaxOperators) + " operators");
  for (std::uint64_t i = 0; i < operators.size; ++i) {
    const Table operation = graph.item(operators, i);
    const std::uint64_t index = operation.number(operation::code, 4);
    if (index >= codes.size) {
      operation.fail("an operator has the code " + std::to_string(index) + " of " + std::to_string(codes.size));
    }
    const Table code = root.item(codes, index);
    const std::uint64_t kind =
        std::max(code.number(operator_code::deprecated, 1), code.number(operator_code::builtin, 4));
    if (kind != kConv2d && kind != kDepthwiseConv2d) continue;
    const Vector inputs = operation.vector(operation::inputs, 4);
    if (inputs.size < 2) operation.fail("a convolution has " + std::to_string(inputs.size) + " inputs");
    const std::uint64_t weight = window_.number(inputs.begin + 4, 4);
    if (weight >= graph.vector(subgraph::tensors, 4).size)
      operation.fail("a convolution has the weight " + std::to_string(weight));
    axes[weight] = kind == kConv2d ? "OHWI" : "1HWC";
  }
  return axes;
}

void TfliteReader::add_subgraph(const Table& root, const Table& graph, std::uint64_t number) {
  std::string prefix;
  if (number != 0) {
    prefix = graph.text(subgraph::name);
    prefix = (prefix.empty() ? "subgraph_" + std::to_string(number) : prefix) + "/";
  }
  const auto axes = axes_of(root, graph);
  const Vector tensors = graph.vector(subgraph::tensors, 4);
  for (std::uint64_t i = 0; i < tensors.size; ++i) {
    const auto known = axes.find(i);
    add_tensor(root, graph, graph.item(tensors, i), i, prefix,
               known == axes.end() ? std::string_view() : known->second);
  }
}

void TfliteReader::open() {
  const Table root = Table::root(window_);
  const std::uint64_t version = root.number(model::version, 4);
  if (version != kVersion) root.fail("the version is " + std::to_string(version) + ", expected 3");
  const std::string description = root.text(model::description);
  if (!description.empty()) info.metadata.emplace("description", description);
  const Vector graphs = root.vector(model::subgraphs, 4);
  if (graphs.size > kMaxSubgraphs) root.fail("more than " + std::to_string(kMaxSubgraphs) + " subgraphs");
  std::uint64_t walked = 0;
  for (std::uint64_t i = 0; i < graphs.size; ++i) {
    const Table graph = root.item(graphs, i);
    // Subgraphs may be the same table again and again: what they list together is bounded by the file.
    walked += graph.vector(subgraph::tensors, 4).size;
    if (walked > window_.size()) graph.fail("the subgraphs list more tensors than the file has bytes");
    add_subgraph(root, graph, i);
  }
}

Tensor TfliteReader::read(std::size_t position) const {
  const Entry& entry = entries_[position];
  return read_tensor(kFormat, window_.source().part(entry.data.begin, entry.data.size()), info.tensors[position].shape,
                     *entry.type.element);
}

/// What the scale of an entry multiplies.
float dequantized(const Quantization& quantization, const Shape& shape, std::int64_t linear, std::int32_t value) {
  std::size_t which = 0;
  if (quantization.scales.size() > 1) {
    std::int64_t inner = 1;
    for (std::size_t d = static_cast<std::size_t>(quantization.axis) + 1; d < shape.size(); ++d) inner *= shape[d];
    which = static_cast<std::size_t>(linear / inner % shape[static_cast<std::size_t>(quantization.axis)]);
  }
  return quantization.scales[which] * static_cast<float>(value);
}

SparseTensor TfliteReader::read_sparse(std::size_t position) const {
  const Entry& entry = entries_[position];
  const TensorInfo& tensor = info.tensors[position];
  Window window = window_;
  const std::vector<std::int64_t> places = linear_indices(window, *entry.sparsity, tensor.shape);
  const auto nnz = static_cast<std::int64_t>(places.size());
  Tensor stored =
      read_tensor(kFormat, window.source().part(entry.data.begin, entry.data.size()), {nnz}, *entry.type.element);
  if (entry.quantization) {
    Tensor real = Tensor::empty({nnz}, DType::float32);
    const bool is_byte = stored.dtype() == DType::uint8;
    if (!is_byte && stored.dtype() != DType::int32)
      window.fail(entry.data.begin, "quantized values of " + tensor.dtype);
    for (std::size_t i = 0; i < places.size(); ++i) {
      const std::int32_t value = is_byte ? stored.span<std::uint8_t>()[i] : stored.span<std::int32_t>()[i];
      real.mutable_span<float>()[i] = dequantized(*entry.quantization, tensor.shape, places[i], value);
    }
    stored = real;
  }
  return sorted_sparse(kFormat, window.source().place(entry.data.begin), places, stored, tensor.shape,
                       tensor.layout == Layout::csr);
}

}  // namespace

bool sniff(const Source& source) { return begins_with(source.bytes, "TFL3", 4); }

std::unique_ptr<Reader> open(const Source& source) {
  auto reader = std::make_unique<TfliteReader>(source);
  reader->open();
  return reader;
}

}  // namespace sparsert::files::tflite
