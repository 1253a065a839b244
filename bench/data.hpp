// bench/data.hpp — values and matrices to measure with, the same on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sparsert/tensor.hpp"

namespace sparsert::bench {

/// Bell-shaped values around zero, cast to `dtype`, on `device`; every page of the memory has been touched.
Tensor random_tensor(Shape shape, DType dtype, const Device& device, std::uint64_t seed);

/// The same in a plain array.
void fill_random(float* data, std::int64_t count, std::uint64_t seed);

/// "1.5e6" as "1500000" would be hard to read: 2^k multiples as Ki, Mi; powers of ten as 1e6; others as they are.
std::string count_text(std::int64_t count);

}  // namespace sparsert::bench
