// bench/data.hpp — values and matrices to measure with, the same on every machine.
#pragma once

#include <cstdint>
#include <string>

#include "sparsert/tensor.hpp"

namespace sparsert::bench {

/// Bell-shaped values around zero, cast to `dtype`, on `device`; every page of the memory has been touched.
Tensor random_tensor(Shape shape, DType dtype, const Device& device, std::uint64_t seed);

/// The same in a plain array.
void fill_random(float* data, std::int64_t count, std::uint64_t seed);

/// Sets about `share` of the values to zero, anywhere.
void make_zeros(float* data, std::int64_t count, double share, std::uint64_t seed);

/// A count that people can read: 65536 as "64Ki", 1000000 as "1e6", others as they are.
std::string count_text(std::int64_t count);

}  // namespace sparsert::bench
