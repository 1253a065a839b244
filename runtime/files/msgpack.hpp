// runtime/files/msgpack.hpp — MessagePack as Flax and msgpack-numpy write it.
#pragma once

#include <memory>

#include "runtime/files/format.hpp"

namespace sparsert::files::msgpack {

inline constexpr const char* kFormat = "msgpack";

bool sniff(const Source& source);
std::unique_ptr<Reader> open(const Source& source);

}  // namespace sparsert::files::msgpack
