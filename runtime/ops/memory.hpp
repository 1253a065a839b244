// runtime/ops/memory.hpp — what fails inside an operation without its doing: the error names the operation and its
// operands.
#pragma once

#include <initializer_list>
#include <string>

#include "sparsert/tensor.hpp"

namespace sparsert {

/// The handler of an operation's function-try-block. `std::bad_alloc` and `OutOfMemory` become an `OutOfMemory` that
/// names `op` and the operands, and so does a fault of the device; every other exception passes.
[[noreturn]] void rethrow_named(const char* op, std::initializer_list<const Tensor*> operands);

}  // namespace sparsert
