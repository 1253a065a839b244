// kernels/views.hpp — sparse matrices as plain pointers, passed to kernels by value.
#pragma once

#include <cstdint>

#include "sparsert/dtype.hpp"

namespace sparsert::backend {

/// Compressed sparse rows: sorted columns, no duplicates. Index arrays are int32 or int64.
struct CsrView {
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t nnz;
  DType index;
  const void* row_offsets;  // rows + 1
  const void* columns;      // nnz
  DType dtype;
  const void* values;  // nnz
};

/// Coordinates in any order, duplicates allowed.
struct CooView {
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t nnz;
  DType index;
  const void* row_indices;  // nnz
  const void* columns;      // nnz
  DType dtype;
  const void* values;  // nnz
};

}  // namespace sparsert::backend
