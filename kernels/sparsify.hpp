// kernels/sparsify.hpp — how duplicates of a matrix in coordinates add up, on host and device alike.
#pragma once

#include <type_traits>

#include "kernels/elementwise.hpp"

namespace sparsert::backend {

/// One step of the left-to-right sum of duplicates: integers wrap, booleans stay 0 or 1, floats accumulate in the
/// computing type and are rounded once, by `narrow`, at the end.
template <class T>
constexpr Compute<T> add_duplicate(Compute<T> sum, T x, bool boolean) {
  if constexpr (std::is_integral_v<T>) {
    return boolean ? static_cast<T>(sum | x) : apply(BinaryOp::add, sum, x);
  } else {
    return sum + widen(x);
  }
}

}  // namespace sparsert::backend
