// runtime/check_sparse.hpp — what makes the arrays of a sparse matrix one, checked in O(entries).
#pragma once

#include <cstdint>
#include <string>

#include "runtime/ops/check.hpp"

namespace sparsert {

/// How the parts of a compressed format are called in messages.
struct CompressedNames {
  const char* op;       // "csr"
  const char* offsets;  // "row_offsets"
  const char* indices;  // "columns"
  const char* line;     // "row"
};

inline Tensor on_host(const Tensor& tensor) { return tensor.device().is_host() ? tensor : tensor.cpu(); }

inline void check_index_dtype(const char* op, const char* argument, DType index) {
  require(index == DType::int32 || index == DType::int64, [&] {
    return std::string(op) + ": " + argument + " is " + std::string(to_string(index)) + ", expected int32 or int64";
  });
}

inline void check_index_array(const char* op, const char* argument, const Tensor& array, DType expected,
                              const Device& device) {
  check_index_dtype(op, argument, array.dtype());
  require(array.dtype() == expected, [&] {
    return std::string(op) + ": " + argument + " is " + std::string(to_string(array.dtype())) + ", expected " +
           std::string(to_string(expected)) + " like the other index array";
  });
  check_device(op, argument, array.device(), device);
  check_rank(op, argument, array, 1);
}

/// The largest size or count that indices of a type can name. Tests make it small to see every promotion and refusal.
std::int64_t index_limit(DType index) noexcept;

inline void check_matrix_shape(const char* op, const Shape& shape, DType index) {
  require(shape.size() == 2 && shape[0] >= 0 && shape[1] >= 0,
          [&] { return std::string(op) + ": shape is " + to_string(shape) + ", expected two sizes of at least 0"; });
  require(shape[0] < INT64_MAX, [&] { return std::string(op) + ": shape is " + to_string(shape) + ", too large"; });
  require(shape[0] <= index_limit(index) && shape[1] <= index_limit(index),
          [&] { return std::string(op) + ": shape is " + to_string(shape) + ", which needs int64 indices"; });
}

inline void check_in_range(const char* op, const char* argument, std::int64_t at, std::int64_t got,
                           std::int64_t limit) {
  require(got >= 0 && got < limit, [&] {
    return std::string(op) + ": " + argument + "[" + std::to_string(at) + "] is " + std::to_string(got) +
           ", expected 0 to " + std::to_string(limit - 1);
  });
}

/// Every index within [0, limit).
void check_range(const char* op, const char* argument, const Tensor& indices, std::int64_t limit);

/// Offsets that ascend from 0 to the number of indices; within a line indices that ascend in [0, limit).
void check_compressed(const CompressedNames& names, const Tensor& offsets, const Tensor& indices, std::int64_t lines,
                      std::int64_t limit);

inline double density_of(std::int64_t nnz, std::int64_t rows, std::int64_t cols) {
  return rows == 0 || cols == 0 ? 0.0
                                : static_cast<double>(nnz) / (static_cast<double>(rows) * static_cast<double>(cols));
}

}  // namespace sparsert
