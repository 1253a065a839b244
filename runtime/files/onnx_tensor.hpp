// runtime/files/onnx_tensor.hpp — TensorProto: a type, a shape, and elements in one of many places.
#pragma once

#include <optional>
#include <string>

#include "runtime/files/onnx_types.hpp"
#include "runtime/files/proto_list.hpp"
#include "runtime/files/source.hpp"

namespace sparsert::files::onnx {

inline constexpr const char* kFormat = "onnx";

/// Where the elements are.
struct Elements {
  enum class Kind { raw, list, external, strings };
  Kind kind = Kind::raw;
  Range raw;                  ///< raw: bytes of the model; external: bytes of the file `location`
  protobuf::NumberList list;  ///< list
  std::string location;       ///< external
  std::uint64_t at = 0;       ///< of the message, for errors
};

struct TensorProto {
  TensorInfo info;  ///< without a name where the file gives none
  std::optional<Element> element;
  Elements elements;
};

/// A repeated field of int64 that are sizes. Throws for a negative one and for more than kMaxRank.
void add_sizes(const protobuf::Message& message, Shape& shape);

/// Reads all but the elements, and proves that these are as many as the shape says. `root` holds external files.
TensorProto parse_tensor(protobuf::Message message, const Root* root);

/// The elements of a tensor that has a storage type.
Tensor read_elements(Window& window, const TensorProto& tensor, const Root* root);

}  // namespace sparsert::files::onnx
