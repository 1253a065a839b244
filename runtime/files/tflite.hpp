// runtime/files/tflite.hpp — TensorFlow Lite models.
#pragma once

#include <memory>

#include "runtime/files/format.hpp"

namespace sparsert::files::tflite {

inline constexpr const char* kFormat = "tflite";

bool sniff(const Source& source);
std::unique_ptr<Reader> open(const Source& source);

}  // namespace sparsert::files::tflite
