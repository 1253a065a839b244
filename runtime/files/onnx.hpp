// runtime/files/onnx.hpp — ONNX models, and the lone tensors of ONNX's test data.
#pragma once

#include <memory>

#include "runtime/files/format.hpp"

namespace sparsert::files::onnx {

bool sniff(const Source& source);
std::unique_ptr<Reader> open(const Source& source);

bool sniff_tensor(const Source& source);
std::unique_ptr<Reader> open_tensor(const Source& source);

}  // namespace sparsert::files::onnx
