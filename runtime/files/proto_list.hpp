// runtime/files/proto_list.hpp — elements of a tensor as a repeated field of a message, which ONNX and TensorFlow
// share.
#pragma once

#include <cstdint>

#include "runtime/files/element.hpp"
#include "runtime/files/protobuf.hpp"

namespace sparsert::files::protobuf {

/// Where the numbers are.
struct NumberList {
  Range message;
  std::uint32_t field = 0;
  Wire wire = Wire::varint;
};

/// A tensor of the listed numbers; where they are fewer than its elements, the last one is repeated, and where there is
/// none all are zero. Throws for a number that the type does not hold.
Tensor read_list(Window& window, const NumberList& list, const Shape& shape, Element element);

}  // namespace sparsert::files::protobuf
