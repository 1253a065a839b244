// runtime/ops/matrix.hpp — the checks that operations on a sparse matrix share.
#pragma once

#include <string>

#include "runtime/ops/check.hpp"
#include "sparsert/sparse.hpp"

namespace sparsert {

/// An operand of the matrix's dtype and device.
inline void check_operand(const char* op, const char* argument, const Tensor& operand, const Csr& a) {
  check_device(op, argument, operand.device(), a.device());
  require(operand.dtype() == a.dtype(), [&] {
    return std::string(op) + ": " + argument + " is " + std::string(to_string(operand.dtype())) + ", expected " +
           std::string(to_string(a.dtype())) + " like the matrix (there is no implicit promotion)";
  });
}

/// The same, of a shape.
inline void check_operand(const char* op, const char* argument, const Tensor& operand, const Csr& a,
                          const Shape& shape) {
  check_operand(op, argument, operand, a);
  check_shape(op, argument, operand, shape);
}

/// Another matrix of the same dtype, index type and device.
inline void check_matrix_like(const char* op, const char* argument, const Csr& got, const Csr& expected) {
  check_device(op, argument, got.device(), expected.device());
  check_same_dtype(op, argument, got.values(), expected.values());
  require(got.index_dtype() == expected.index_dtype(), [&] {
    return std::string(op) + ": " + argument + " has " + std::string(to_string(got.index_dtype())) +
           " indices, expected " + std::string(to_string(expected.index_dtype())) + " like the first operand";
  });
}

}  // namespace sparsert
