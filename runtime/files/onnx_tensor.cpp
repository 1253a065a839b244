// runtime/files/onnx_tensor.cpp — TensorProto: a type, a shape, and elements in one of many places.
#include "runtime/files/onnx_tensor.hpp"

#include <charconv>
#include <limits>
#include <string_view>

#include "runtime/files/names.hpp"

namespace sparsert::files::onnx {
namespace {

using protobuf::Message;
using protobuf::Wire;

namespace tensor_field {
enum : std::uint32_t {
  dims = 1,
  data_type = 2,
  segment = 3,
  name = 8,
  raw_data = 9,
  external_data = 13,
  location = 14
};
}

/// The fields of a TensorProto as they come, to be judged when all are there.
struct Fields {
  Shape shape;
  std::uint64_t type = 0;
  std::string name;
  bool has_type = false;
  bool has_name = false;
  bool has_raw = false;
  bool has_location = false;
  bool is_external = false;
  Range raw;
  std::uint32_t list = 0;  // the field that holds numbers
  std::string location;
  std::string offset;
  std::string length;
};

void add_external(Message entry, Fields& fields) {
  std::string key;
  std::string value;
  bool has_key = false;
  bool has_value = false;
  while (entry.next()) {
    if (entry.field() == 1) {
      entry.once(has_key, "key");
      key = entry.text();
    } else if (entry.field() == 2) {
      entry.once(has_value, "value");
      value = entry.text();
    }
  }
  std::string* const target = key == "location" ? &fields.location
                              : key == "offset" ? &fields.offset
                              : key == "length" ? &fields.length
                                                : nullptr;
  if (target == nullptr) return;
  if (!target->empty()) entry.fail("external_data has " + key + " twice");
  if (value.empty()) entry.fail("external_data has an empty " + key);
  *target = std::move(value);
}

void add_field(const Message& message, Fields& fields) {
  switch (message.field()) {
    case tensor_field::dims: add_sizes(message, fields.shape); return;
    case tensor_field::data_type:
      message.once(fields.has_type, "data_type");
      fields.type = message.varint();
      return;
    case tensor_field::segment: message.fail("a tensor in segments, which is not read");
    case tensor_field::name:
      message.once(fields.has_name, "name");
      fields.name = message.text();
      return;
    case tensor_field::raw_data:
      message.once(fields.has_raw, "raw_data");
      fields.raw = message.bytes();
      return;
    case tensor_field::external_data: add_external(message.message(), fields); return;
    case tensor_field::location:
      message.once(fields.has_location, "data_location");
      if (message.varint() > 1) message.fail("data_location is " + std::to_string(message.varint()));
      fields.is_external = message.varint() == 1;
      return;
    case kFloatData:
    case kInt32Data:
    case kStringData:
    case kInt64Data:
    case kDoubleData:
    case kUint64Data:
      // An empty packed list is what some writers leave of a field that is not used.
      if (message.wire() == Wire::bytes && message.field() != kStringData && message.bytes().size() == 0) return;
      if (fields.list != 0 && fields.list != message.field()) message.fail("a tensor has numbers in two fields");
      fields.list = message.field();
      return;
    default: return;
  }
}

std::uint64_t decimal(const Window& window, std::uint64_t at, const std::string& text, const char* name) {
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) {
    window.fail(at, std::string("the ") + name + " of external data is " + in_quotes(text) + ", expected a number");
  }
  return value;
}

/// Numbers that a list needs for so many elements.
std::uint64_t numbers_of(const Type& type, std::uint64_t elements, std::uint64_t bytes) {
  if (type.bits < 8) return bytes;
  const bool is_complex = type.field == kFloatData ? type.bits == 64 : type.field == kDoubleData && type.bits == 128;
  return is_complex ? 2 * elements : elements;
}

std::uint64_t string_bytes(Message message, std::uint64_t elements) {
  std::uint64_t bytes = 0;
  std::uint64_t count = 0;
  const Range range = message.range();
  while (message.next()) {
    if (message.field() != kStringData) continue;
    bytes += message.bytes().size();
    ++count;
  }
  if (count != elements) {
    message.window().fail(range.begin, "a tensor has " + std::to_string(count) + " strings, expected " +
                                           std::to_string(elements) + " for its shape");
  }
  return bytes;
}

void locate_external(const Window& window, std::uint64_t at, const Fields& fields, const Root* root, TensorProto& out) {
  const auto refuse = [&](const std::string& reason) { window.fail(at, reason); };
  if (fields.location.empty()) refuse("external data without a location");
  if (root == nullptr) refuse("external data in " + in_quotes(fields.location) + ", but the model has no folder");
  const std::uint64_t begin = fields.offset.empty() ? 0 : decimal(window, at, fields.offset, "offset");
  const std::uint64_t size = root->open(fields.location)->size();
  if (begin > size || out.info.nbytes > size - begin) {
    refuse("external data are " + std::to_string(out.info.nbytes) + " bytes at offset " + std::to_string(begin) +
           " of " + in_quotes(fields.location) + ", which has " + std::to_string(size));
  }
  const std::uint64_t length = fields.length.empty() ? size - begin : decimal(window, at, fields.length, "length");
  if (length != out.info.nbytes) {
    refuse("external data have " + std::to_string(length) + " bytes, expected " + std::to_string(out.info.nbytes) +
           " for " + out.info.dtype + " " + to_string(out.info.shape));
  }
  out.elements.kind = Elements::Kind::external;
  out.elements.location = fields.location;
  out.elements.raw = {begin, begin + length};
}

/// Takes the elements from where they are, once their number is proven.
void locate(const Message& message, const Fields& fields, const Type& type, const Root* root, TensorProto& out) {
  Window& window = message.window();
  const std::uint64_t at = message.range().begin;
  const auto refuse = [&](const std::string& reason) { window.fail(at, reason); };
  if (fields.has_raw + fields.is_external + (fields.list != 0) > 1) refuse("a tensor has its elements in two places");
  const std::uint64_t elements = *shape_bits(out.info.shape, 1);
  if (type.field == kStringData) {
    if (fields.has_raw || fields.is_external) refuse("a tensor of strings has raw data");
    out.elements.kind = Elements::Kind::strings;
    out.info.nbytes = string_bytes(message, elements);
    return;
  }
  if (fields.is_external) return locate_external(window, at, fields, root, out);
  if (!fields.location.empty()) refuse("external_data without data_location");
  if (fields.has_raw || (fields.list == 0 && elements == 0)) {
    if (fields.raw.size() != out.info.nbytes) {
      refuse("raw_data has " + std::to_string(fields.raw.size()) + " bytes, expected " +
             std::to_string(out.info.nbytes) + " for " + out.info.dtype + " " + to_string(out.info.shape));
    }
    out.elements.raw = fields.raw;
    return;
  }
  if (fields.list != type.field) {
    refuse("a tensor of type " + out.info.dtype + " has " +
           (fields.list == 0 ? "no elements" : "its numbers in field " + std::to_string(fields.list)) +
           ", expected field " + std::to_string(type.field));
  }
  out.elements.kind = Elements::Kind::list;
  out.elements.list = {message.range(), type.field, type.wire};
  const std::uint64_t count = protobuf::count_numbers(message, type.field, type.wire);
  const std::uint64_t expected = numbers_of(type, elements, out.info.nbytes);
  if (count != expected) {
    refuse("a tensor has " + std::to_string(count) + " numbers, expected " + std::to_string(expected) + " for " +
           out.info.dtype + " " + to_string(out.info.shape));
  }
}

}  // namespace

void add_sizes(const Message& message, Shape& shape) {
  const auto add = [&](std::uint64_t size) {
    if (size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      message.fail("a dimension is " + std::to_string(static_cast<std::int64_t>(size)));
    }
    if (shape.size() == kMaxRank) message.fail("a tensor has more than " + std::to_string(kMaxRank) + " dimensions");
    shape.push_back(static_cast<std::int64_t>(size));
  };
  if (message.wire() != Wire::bytes) return add(message.varint());
  const Range packed = message.bytes();
  for (std::uint64_t at = packed.begin; at < packed.end;) add(protobuf::read_varint(message.window(), at, packed.end));
}

TensorProto parse_tensor(Message message, const Root* root) {
  const Message again = message;
  Fields fields;
  while (message.next()) add_field(message, fields);
  TensorProto out;
  out.elements.at = again.range().begin;
  if (fields.type == 0 || fields.type >= kTypes.size()) {
    message.window().fail(out.elements.at, "a tensor has the data_type " + std::to_string(fields.type));
  }
  const Type& type = kTypes[static_cast<std::size_t>(fields.type)];
  out.info.name = std::move(fields.name);
  out.info.dtype = type.name;
  out.element = type.element;
  if (type.element) out.info.storage = storage_of(*type.element);
  out.info.shape = std::move(fields.shape);
  // At least a byte an element, so that the count of elements of every type is proven, too.
  const auto bits = shape_bits(out.info.shape, std::max(type.bits, 8u));
  if (!bits) {
    message.window().fail(out.elements.at, "the shape " + to_string(out.info.shape) + " overflows 2^64 bits");
  }
  out.info.nbytes = type.bits >= 8 ? *bits / 8 : (*bits / 8 * type.bits + 7) / 8;
  locate(again, fields, type, root, out);
  out.info.offset = out.elements.kind == Elements::Kind::raw && out.info.nbytes != 0
                        ? again.window().source().place(out.elements.raw.begin)
                        : again.window().source().place(out.elements.at);
  return out;
}

Tensor read_elements(Window& window, const TensorProto& tensor, const Root* root) {
  const Elements& elements = tensor.elements;
  const Shape& shape = tensor.info.shape;
  switch (elements.kind) {
    case Elements::Kind::raw:
      return read_tensor(kFormat, window.source().part(elements.raw.begin, elements.raw.size()), shape,
                         *tensor.element);
    case Elements::Kind::external:
      return read_tensor(kFormat, Bytes(root->open(elements.location)).part(elements.raw.begin, elements.raw.size()),
                         shape, *tensor.element);
    case Elements::Kind::list: return protobuf::read_list(window, elements.list, shape, *tensor.element);
    case Elements::Kind::strings: break;
  }
  window.fail(elements.at, "a tensor of strings is not read");
}

}  // namespace sparsert::files::onnx
