// kernels/cuda/bias.cuh — bias and ReLU over a finished dense matrix: what follows a vendor library's product.
#pragma once

#include <algorithm>

#include "device/kernel.cuh"
#include "kernels/products.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

/// Where bias runs along: a bias for each row of the matrix in memory, or one for each column.
enum class BiasOf { rows, columns };

// grid: any
// block: 256
// shared: none
// requires: bias null, or as many as there are rows or columns
template <class T>
__global__ __launch_bounds__(256) void bias_kernel(std::int64_t rows, std::int64_t cols, BiasOf of,
                                                   Global<const T> bias, bool relu, Global<T> c) {
  const Epilogue<T> epilogue{.relu = relu};
  const std::int64_t step = std::int64_t{gridDim.x} * 256;
  for (std::int64_t i = std::int64_t{blockIdx.x} * 256 + threadIdx.x; i < rows * cols; i += step) {
    const bool has_bias = bias != nullptr;
    const T b = has_bias ? static_cast<T>(bias[of == BiasOf::rows ? i / cols : i % cols]) : T{0};
    c[i] = finish(epilogue, static_cast<T>(c[i]), T{0}, has_bias, b);
  }
}

/// c (rows x cols, row-major) = act(c + bias), in place.
template <class T>
void add_bias(std::int64_t rows, std::int64_t cols, BiasOf of, const void* bias, bool relu, void* c,
              const Stream& stream) {
  const std::int64_t blocks = (rows * cols + 255) / 256;
  launch(stream, {.grid = std::min<std::int64_t>(blocks, std::int64_t{8} * multiprocessors(stream)), .block = 256},
         &bias_kernel<T>, rows, cols, of, static_cast<const T*>(bias), relu, static_cast<T*>(c));
}

/// The same for float32 and float64; the 16-bit types would round twice.
inline bool takes_bias_afterwards(DType dtype, const void* bias, bool relu) {
  return (bias == nullptr && !relu) || dtype == DType::float32 || dtype == DType::float64;
}

}  // namespace
}  // namespace sparsert::backend::SPARSERT_BACKEND
