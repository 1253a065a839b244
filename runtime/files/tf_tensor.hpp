// runtime/files/tf_tensor.hpp — TensorFlow's element types, shapes and TensorProto.
#pragma once

#include <optional>
#include <string>

#include "runtime/files/proto_list.hpp"
#include "runtime/files/source.hpp"

namespace sparsert::files::tensorflow {

inline constexpr const char* kFormat = "tensorflow";

/// An element type, and the field of TensorProto that lists its numbers.
struct Type {
  const char* name;
  std::optional<Element> element;  ///< none: listed, not loaded
  unsigned bytes;                  ///< of an element; 0: not of a fixed size
  std::uint32_t field;
  protobuf::Wire wire;
};

/// By the number of DataType. Throws for one that is unknown, and for references.
const Type& type_of(const protobuf::Message& at, std::uint64_t number);

/// A tensor of text, a resource or a variant, which has no numbers.
inline bool is_no_number(const Type& type) { return type.bytes == 0; }

/// Reads a TensorShapeProto. Throws for an unknown dimension or rank.
Shape parse_shape(protobuf::Message message);

/// A constant, but for its name.
struct Constant {
  TensorInfo info;
  const Type* type = nullptr;
  Range raw;                  ///< of tensor_content
  protobuf::NumberList list;  ///< where it has no content
  bool is_raw = false;
};

/// Reads all but the elements, and proves that these are as many as the shape says or fewer, the last one repeated.
Constant parse_constant(protobuf::Message message);

/// The elements of a constant that has a storage type.
Tensor read_constant(Window& window, const Constant& constant);

}  // namespace sparsert::files::tensorflow
