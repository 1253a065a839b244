// runtime/files/packed.hpp — loading a file whose tensors are packed.
#pragma once

#include "sparsert/files.hpp"

namespace sparsert::files {

/// Reads, expands, and then selects and renames as the options say.
StateDict load_packed(const ModelFile& model, const LoadOptions& options);

}  // namespace sparsert::files
