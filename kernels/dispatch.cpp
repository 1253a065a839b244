// kernels/dispatch.cpp — the cold half of dispatch.hpp.
#include "kernels/dispatch.hpp"

namespace sparsert::backend {

void throw_unsupported_dtype(const char* op, DType dtype) {
  throw Error(ErrorCode::not_supported,
              std::string(op) + ": dtype " + std::string(to_string(dtype)) + " is not supported");
}

}  // namespace sparsert::backend
