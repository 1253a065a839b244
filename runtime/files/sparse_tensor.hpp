// runtime/files/sparse_tensor.hpp — sparse tensors from the arrays of a file, proven before anything uses them.
#pragma once

#include <cstdint>
#include <span>

#include "sparsert/files.hpp"

namespace sparsert::files {

/// Rows and columns of the matrix that stands for a sparse tensor: the first dimension, and all others; one row below
/// rank 2. Throws `FileError` for columns that overflow.
Shape matrix_shape(const char* format, std::uint64_t place, const Shape& shape);

/// From coordinates: `indices` has one row of `nnz` for each dimension. Throws `FileError` for an index out of range.
SparseTensor coo_tensor(const char* format, std::uint64_t place, std::span<const std::int64_t> indices,
                        const Tensor& values, const Shape& shape);

/// From compressed rows. Throws `FileError` for offsets that do not ascend, and for columns out of range or order.
SparseTensor csr_tensor(const char* format, std::uint64_t place, const Tensor& row_offsets, const Tensor& columns,
                        const Tensor& values, const Shape& shape);

/// From compressed columns or from compressed blocks of block[0] by block[1] elements, as coordinates in stored order.
/// `values` has the elements of block after block. `by_column`: the offsets count columns (of blocks).
SparseTensor blocks_tensor(const char* format, std::uint64_t place, const Tensor& offsets, const Tensor& others,
                           const Tensor& values, const Shape& shape, const Shape& block, bool by_column);

}  // namespace sparsert::files
