// runtime/ops/check.hpp — the checks that operations share, each with the message `op: argument, got, expected`.
#pragma once

#include <initializer_list>
#include <string>

#include "sparsert/error.hpp"
#include "sparsert/tensor.hpp"

namespace sparsert {

inline void check_same_dtype(const char* op, const char* argument, const Tensor& got, const Tensor& expected,
                             SourceLocation where = SourceLocation::current()) {
  require(
      got.dtype() == expected.dtype(),
      [&] {
        return std::string(op) + ": " + argument + " is " + std::string(to_string(got.dtype())) + ", expected " +
               std::string(to_string(expected.dtype())) + " like the first operand (there is no implicit promotion)";
      },
      where);
}

inline void check_device(const char* op, const char* argument, const Device& got, const Device& expected,
                         SourceLocation where = SourceLocation::current()) {
  require(
      got == expected,
      [&] {
        return std::string(op) + ": " + argument + " is on " + to_string(got) + ", expected " + to_string(expected);
      },
      where);
}

inline void check_same_device(const char* op, const char* argument, const Tensor& got, const Tensor& expected,
                              SourceLocation where = SourceLocation::current()) {
  check_device(op, argument, got.device(), expected.device(), where);
}

inline void check_shape(const char* op, const char* argument, const Tensor& got, const Shape& expected,
                        SourceLocation where = SourceLocation::current()) {
  require(
      got.shape() == expected,
      [&] {
        return std::string(op) + ": " + argument + " has shape " + to_string(got.shape()) + ", expected " +
               to_string(expected);
      },
      where);
}

inline void check_rank(const char* op, const char* argument, const Tensor& got, int expected,
                       SourceLocation where = SourceLocation::current()) {
  require(
      got.rank() == expected,
      [&] {
        return std::string(op) + ": " + argument + " has shape " + to_string(got.shape()) + ", expected " +
               std::to_string(expected) + " dimension(s)";
      },
      where);
}

inline void check_floating(const char* op, const char* argument, DType dtype,
                           SourceLocation where = SourceLocation::current()) {
  require(
      is_floating(dtype),
      [&] {
        return std::string(op) + ": " + argument + " is " + std::string(to_string(dtype)) +
               ", expected a floating type";
      },
      where);
}

}  // namespace sparsert
