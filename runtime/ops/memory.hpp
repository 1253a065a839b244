// runtime/ops/memory.hpp — what fails inside an operation without its doing: the error names the operation and its
// operands.
#pragma once

#include <initializer_list>
#include <string>

#include "sparsert/tensor.hpp"

namespace sparsert {

/// A tensor or a sparse matrix as an error names it: "float32 [3, 5] with 7 entries". Made of a pointer, which may be
/// null: an operand that was not given. Nothing is read before the text is asked for.
class Operand {
 public:
  template <class T>
  Operand(const T* operand) : operand_(operand), describe_(&describe<T>) {}

  bool is_given() const noexcept { return operand_ != nullptr; }
  std::string text() const { return describe_(operand_); }

 private:
  template <class T>
  static std::string describe(const void* operand) {
    const T& x = *static_cast<const T*>(operand);
    std::string text(to_string(x.dtype()));
    text.append(" ").append(to_string(x.shape()));
    if constexpr (requires { x.nnz(); }) text.append(" with ").append(std::to_string(x.nnz())).append(" entries");
    return text;
  }

  const void* operand_;
  std::string (*describe_)(const void*);
};

/// The handler of an operation's function-try-block. `std::bad_alloc` and `OutOfMemory` become an `OutOfMemory` that
/// names `op` and the operands, and so does a fault of the device; every other exception passes.
[[noreturn]] void rethrow_named(const char* op, std::initializer_list<Operand> operands);

}  // namespace sparsert
