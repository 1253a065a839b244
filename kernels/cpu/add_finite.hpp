// kernels/cpu/add_finite.hpp — sums in place that leave alone what would not be finite, vector by vector.
#pragma once

#include <cstdint>

#include "kernels/elementwise.hpp"

namespace sparsert::backend::cpu {

/// sums[i] += widen(x[i]) where the sum is finite; returns how many are not. T is float, double, float16 or bfloat16.
template <class T>
std::int64_t add_finite(const T* x, Compute<T>* sums, std::int64_t n);

}  // namespace sparsert::backend::cpu
