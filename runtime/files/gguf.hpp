// runtime/files/gguf.hpp — GGUF, the format of llama.cpp.
#pragma once

#include <memory>

#include "runtime/files/format.hpp"

namespace sparsert::files::gguf {

inline constexpr const char* kFormat = "gguf";

bool sniff(const Source& source);
std::unique_ptr<Reader> open(const Source& source);

}  // namespace sparsert::files::gguf
