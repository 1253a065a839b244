// runtime/ops/check.hpp — the checks that operations share, each with the message `op: argument, got, expected`.
#pragma once

#include <functional>
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

/// `out` may not share a byte with an input that is still to be read.
inline void check_no_overlap(const char* op, const char* argument, const Tensor& out, const Tensor& input,
                             SourceLocation where = SourceLocation::current()) {
  const auto* const a = static_cast<const char*>(out.data());
  const auto* const b = static_cast<const char*>(input.data());
  const std::less<const char*> before;
  const bool apart = out.numel() == 0 || input.numel() == 0 || out.device() != input.device() ||
                     !before(a, b + input.nbytes()) || !before(b, a + out.nbytes());
  require(
      apart, [&] { return std::string(op) + ": out overlaps " + argument + ", expected memory of its own"; }, where);
}

}  // namespace sparsert
