// runtime/files/sparse_index.hpp — indices of a file, proven before they become a matrix.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sparsert/files.hpp"

namespace sparsert::files {

/// Coordinates of a tensor of `shape`: one linear index an entry, or one index for each dimension. Throws `FileError`
/// where an index is out of range, or not larger than the one before it.
SparseTensor make_coo(const char* format, std::uint64_t offset, std::span<const std::int64_t> indices,
                      bool one_per_dimension, const Tensor& values, const Shape& shape);

/// The same from one linear index an entry in any order: sorted, as compressed rows where `csr`, else as coordinates.
/// Throws `FileError` for an index that is out of range or there twice.
SparseTensor sorted_sparse(const char* format, std::uint64_t offset, const std::vector<std::int64_t>& indices,
                           const Tensor& values, const Shape& shape, bool csr);

}  // namespace sparsert::files
