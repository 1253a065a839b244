// runtime/files/proto_kind.hpp — which message a file is. Protocol Buffers have no magic number.
#pragma once

#include "runtime/files/source.hpp"

namespace sparsert::files::protobuf {

enum class Kind : std::uint8_t { none, onnx_model, onnx_tensor, graph_def, saved_model };

/// The one whose fields, by number and wire type, are all that the top level has. Where the file ends in the middle,
/// what is there decides.
Kind kind_of(const Bytes& bytes);

}  // namespace sparsert::files::protobuf
