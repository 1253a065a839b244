// runtime/files/tf_tensor.cpp — TensorFlow's element types, shapes and TensorProto.
#include "runtime/files/tf_tensor.hpp"

#include <array>
#include <limits>

#include "runtime/files/bytes.hpp"

namespace sparsert::files::tensorflow {
namespace {

using protobuf::Message;
using protobuf::Wire;

// A few bytes can say "this value, 2^40 times". What repeats a value is listed, and loaded up to this size.
constexpr std::uint64_t kMaxRepeated = std::uint64_t{64} << 20;
constexpr std::uint64_t kReference = 100;  // DT_FLOAT_REF is DT_FLOAT + 100

namespace field {
enum : std::uint32_t {
  dtype = 1,
  shape = 2,
  content = 4,
  float_val = 5,
  double_val = 6,
  int_val = 7,
  string_val = 8,
  scomplex_val = 9,
  int64_val = 10,
  bool_val = 11,
  dcomplex_val = 12,
  half_val = 13,
  uint32_val = 16,
  uint64_val = 17,
  float8_val = 18
};
}

constexpr std::array<Type, 31> kTypes{{
    {"DT_INVALID", {}, 0, 0, Wire::varint},
    {"DT_FLOAT", Element::float32, 4, field::float_val, Wire::fixed32},
    {"DT_DOUBLE", Element::float64, 8, field::double_val, Wire::fixed64},
    {"DT_INT32", Element::int32, 4, field::int_val, Wire::varint},
    {"DT_UINT8", Element::uint8, 1, field::int_val, Wire::varint},
    {"DT_INT16", Element::int16, 2, field::int_val, Wire::varint},
    {"DT_INT8", Element::int8, 1, field::int_val, Wire::varint},
    {"DT_STRING", {}, 0, field::string_val, Wire::bytes},
    {"DT_COMPLEX64", Element::complex64, 8, field::scomplex_val, Wire::fixed32},
    {"DT_INT64", Element::int64, 8, field::int64_val, Wire::varint},
    {"DT_BOOL", Element::boolean, 1, field::bool_val, Wire::varint},
    {"DT_QINT8", Element::int8, 1, field::int_val, Wire::varint},
    {"DT_QUINT8", Element::uint8, 1, field::int_val, Wire::varint},
    {"DT_QINT32", Element::int32, 4, field::int_val, Wire::varint},
    {"DT_BFLOAT16", Element::bfloat16, 2, field::half_val, Wire::varint},
    {"DT_QINT16", Element::int16, 2, field::int_val, Wire::varint},
    {"DT_QUINT16", Element::uint16, 2, field::int_val, Wire::varint},
    {"DT_UINT16", Element::uint16, 2, field::int_val, Wire::varint},
    {"DT_COMPLEX128", Element::complex128, 16, field::dcomplex_val, Wire::fixed64},
    {"DT_HALF", Element::float16, 2, field::half_val, Wire::varint},
    {"DT_RESOURCE", {}, 0, 0, Wire::bytes},
    {"DT_VARIANT", {}, 0, 0, Wire::bytes},
    {"DT_UINT32", Element::uint32, 4, field::uint32_val, Wire::varint},
    {"DT_UINT64", Element::uint64, 8, field::uint64_val, Wire::varint},
    {"DT_FLOAT8_E5M2", Element::float8_e5m2, 1, field::float8_val, Wire::bytes},
    {"DT_FLOAT8_E4M3FN", Element::float8_e4m3, 1, field::float8_val, Wire::bytes},
    {"DT_FLOAT8_E4M3FNUZ", {}, 1, field::float8_val, Wire::bytes},
    {"DT_FLOAT8_E4M3B11FNUZ", {}, 1, field::float8_val, Wire::bytes},
    {"DT_FLOAT8_E5M2FNUZ", {}, 1, field::float8_val, Wire::bytes},
    {"DT_INT4", {}, 1, field::int_val, Wire::varint},
    {"DT_UINT4", {}, 1, field::int_val, Wire::varint},
}};

bool is_list(std::uint32_t number) {
  return (number >= field::float_val && number <= field::half_val) || number == field::uint32_val ||
         number == field::uint64_val || number == field::float8_val;
}

/// Numbers in the list of a constant; throws where they are too many.
std::uint64_t listed_numbers(const Message& message, const Constant& constant, std::uint64_t elements) {
  const Type& type = *constant.type;
  if (type.wire == Wire::bytes) return 0;
  const std::uint64_t count = protobuf::count_numbers(message, type.field, type.wire);
  const unsigned each = type.field == field::scomplex_val || type.field == field::dcomplex_val ? 2 : 1;
  if (count > elements * each) {
    message.window().fail(message.range().begin, "a constant has " + std::to_string(count) +
                                                     " numbers, expected at most " + std::to_string(elements * each) +
                                                     " for the shape " + to_string(constant.info.shape));
  }
  return count / each;
}

}  // namespace

const Type& type_of(const Message& at, std::uint64_t number) {
  if (number == 0 || number >= kTypes.size()) {
    at.fail("the data type is " + std::to_string(number) +
            (number > kReference && number < kReference + kTypes.size() ? ", a reference" : ", which is unknown"));
  }
  return kTypes[static_cast<std::size_t>(number)];
}

Shape parse_shape(Message message) {
  constexpr std::uint32_t kDim = 2;
  constexpr std::uint32_t kUnknownRank = 3;
  Shape shape;
  while (message.next()) {
    if (message.field() == kUnknownRank && message.varint() != 0) message.fail("a shape has an unknown rank");
    if (message.field() != kDim) continue;
    if (shape.size() == kMaxRank) message.fail("a shape has more than " + std::to_string(kMaxRank) + " dimensions");
    std::int64_t size = 0;
    bool has_size = false;
    for (Message dim = message.message(); dim.next();) {
      if (dim.field() != 1) continue;
      dim.once(has_size, "size");
      size = static_cast<std::int64_t>(dim.varint());
      if (size < 0) dim.fail("a dimension is " + std::to_string(size));
    }
    shape.push_back(size);
  }
  return shape;
}

Constant parse_constant(Message message) {
  const Message again = message;
  Constant constant;
  bool has_type = false;
  bool has_shape = false;
  std::uint32_t list = 0;
  while (message.next()) {
    const std::uint32_t number = message.field();
    if (number == field::dtype) {
      message.once(has_type, "dtype");
      constant.type = &type_of(message, message.varint());
    } else if (number == field::shape) {
      message.once(has_shape, "tensor_shape");
      constant.info.shape = parse_shape(message.message());
    } else if (number == field::content) {
      message.once(constant.is_raw, "tensor_content");
      constant.raw = message.bytes();
    } else if (is_list(number)) {
      // An empty packed list is the same as none.
      if (message.wire() == Wire::bytes && number != field::string_val && message.bytes().size() == 0) continue;
      if (list != 0 && list != number) message.fail("a constant has numbers in two fields");
      list = number;
    }
  }
  const auto refuse = [&](const std::string& reason) { message.window().fail(again.range().begin, reason); };
  if (constant.type == nullptr) refuse("a constant has no data type");
  const Type& type = *constant.type;
  TensorInfo& info = constant.info;
  info.dtype = type.name;
  if (type.element) info.storage = storage_of(*type.element);
  info.offset = message.window().source().place(again.range().begin);
  if (is_no_number(type)) return constant;
  const auto bits = shape_bits(info.shape, 8 * std::uint64_t{type.bytes});
  // Widened elements must fit, too: int8 becomes int32.
  if (!bits || *bits >> 60 != 0) refuse("the shape " + to_string(info.shape) + " has too many elements");
  info.nbytes = *bits / 8;
  const std::uint64_t elements = info.nbytes / type.bytes;
  if (constant.raw.size() == 0) constant.is_raw = false;
  if (constant.is_raw) {
    if (list != 0) refuse("a constant has its elements in two places");
    if (constant.raw.size() != info.nbytes) {
      refuse("tensor_content has " + std::to_string(constant.raw.size()) + " bytes, expected " +
             std::to_string(info.nbytes) + " for " + info.dtype + " " + to_string(info.shape));
    }
    info.offset = message.window().source().place(constant.raw.begin);
    return constant;
  }
  if (list != 0 && list != type.field) {
    refuse("a constant of type " + info.dtype + " has its numbers in field " + std::to_string(list) + ", expected " +
           std::to_string(type.field));
  }
  constant.list = {again.range(), type.field, type.wire};
  if (listed_numbers(again, constant, elements) < elements && info.nbytes > kMaxRepeated) {
    info.refusal = "repeats one value in " + std::to_string(info.nbytes) + " bytes";
    info.storage.reset();
  }
  return constant;
}

Tensor read_constant(Window& window, const Constant& constant) {
  const Element element = *constant.type->element;
  if (!constant.is_raw) return protobuf::read_list(window, constant.list, constant.info.shape, element);
  return read_tensor(window.format(), window.source().part(constant.raw.begin, constant.raw.size()),
                     constant.info.shape, element);
}

}  // namespace sparsert::files::tensorflow
