// runtime/files/sparse_tensor.cpp — sparse tensors from the arrays of a file.
#include "runtime/files/sparse_tensor.hpp"

#include <string>
#include <vector>

#include "runtime/files/bytes.hpp"

namespace sparsert::files {
namespace {

/// Makes what the constructors of the sparse formats refuse an error of the file.
template <class Make>
SparseTensor proven(const char* format, std::uint64_t place, const Shape& shape, Make&& make) {
  const Shape matrix = matrix_shape(format, place, shape);
  try {
    return {make(matrix), shape};
  } catch (const OutOfMemory&) {
    throw;
  } catch (const Error& error) {
    malformed(format, place, std::string("sparse tensor: ") + error.what());
  }
}

std::vector<std::int64_t> integers(const char* format, std::uint64_t place, const Tensor& tensor) {
  if (tensor.dtype() == DType::int64) {
    const auto span = tensor.span<std::int64_t>();
    return {span.begin(), span.end()};
  }
  if (tensor.dtype() != DType::int32) malformed(format, place, "sparse tensor: the indices are no integers");
  const auto span = tensor.span<std::int32_t>();
  return {span.begin(), span.end()};
}

}  // namespace

Shape matrix_shape(const char* format, std::uint64_t place, const Shape& shape) {
  const std::int64_t rows = shape.size() > 1 ? shape[0] : 1;
  std::int64_t columns = 1;
  for (std::size_t d = shape.size() > 1 ? 1 : 0; d < shape.size(); ++d) {
    // Only an empty tensor can have dimensions whose product is more than the whole.
    if (__builtin_mul_overflow(columns, shape[d], &columns)) {
      malformed(format, place, "the shape " + to_string(shape) + " has too many columns");
    }
  }
  return {rows, columns};
}

SparseTensor coo_tensor(const char* format, std::uint64_t place, std::span<const std::int64_t> indices,
                        const Tensor& values, const Shape& shape) {
  const std::int64_t nnz = values.numel();
  const std::size_t rank = shape.size();
  if (rank == 0 || indices.size() != rank * static_cast<std::size_t>(nnz)) {
    malformed(format, place, "sparse tensor: indices and values do not fit each other");
  }
  std::vector<std::int64_t> rows(static_cast<std::size_t>(nnz), 0);
  std::vector<std::int64_t> columns(static_cast<std::size_t>(nnz), 0);
  for (std::size_t dim = 0; dim < rank; ++dim) {
    for (std::size_t e = 0; e < rows.size(); ++e) {
      const std::int64_t index = indices[dim * rows.size() + e];
      if (index < 0 || index >= shape[dim]) {
        malformed(format, place,
                  "sparse tensor: index " + std::to_string(index) + " of dimension " + std::to_string(dim) +
                      ", expected 0 to " + std::to_string(shape[dim] - 1));
      }
      if (dim == 0 && rank > 1) {
        rows[e] = index;
      } else {
        columns[e] = columns[e] * shape[dim] + index;
      }
    }
  }
  const Shape flat{nnz};
  return proven(format, place, shape, [&](const Shape& matrix) {
    return Coo(Tensor::from(rows, flat), Tensor::from(columns, flat), values.reshape(flat), matrix);
  });
}

SparseTensor csr_tensor(const char* format, std::uint64_t place, const Tensor& row_offsets, const Tensor& columns,
                        const Tensor& values, const Shape& shape) {
  return proven(format, place, shape, [&](const Shape& matrix) { return Csr(row_offsets, columns, values, matrix); });
}

SparseTensor blocks_tensor(const char* format, std::uint64_t place, const Tensor& offsets, const Tensor& others,
                           const Tensor& values, const Shape& shape, const Shape& block, bool by_column) {
  const auto compressed = integers(format, place, offsets);
  const auto other = integers(format, place, others);
  const std::size_t major = by_column ? 1 : 0;
  if (shape.size() != 2 || block.size() != 2 || block[0] < 1 || block[1] < 1 || shape[0] % block[0] != 0 ||
      shape[1] % block[1] != 0) {
    malformed(format, place, "sparse tensor: the blocks do not fit the shape " + to_string(shape));
  }
  const std::int64_t majors = shape[major] / block[major];
  const auto count = static_cast<std::int64_t>(other.size());
  const std::int64_t items = block[0] * block[1];
  if (static_cast<std::int64_t>(compressed.size()) != majors + 1 || values.numel() / items != count ||
      values.numel() % items != 0 || compressed.front() != 0 || compressed.back() != count) {
    malformed(format, place, "sparse tensor: offsets, indices and values do not fit each other");
  }
  std::vector<std::int64_t> indices(2 * static_cast<std::size_t>(values.numel()));
  const std::span<std::int64_t> rows = std::span(indices).first(indices.size() / 2);
  const std::span<std::int64_t> columns = std::span(indices).last(indices.size() / 2);
  std::size_t e = 0;
  for (std::int64_t m = 0; m < majors; ++m) {
    const std::int64_t begin = compressed[static_cast<std::size_t>(m)];
    const std::int64_t end = compressed[static_cast<std::size_t>(m) + 1];
    if (begin > end || end > count) malformed(format, place, "sparse tensor: the offsets do not ascend");
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t minor = other[static_cast<std::size_t>(b)];
      if (minor < 0 || minor >= shape[1 - major] / block[1 - major]) {
        malformed(format, place, "sparse tensor: index " + std::to_string(minor) + " is out of range");
      }
      const std::int64_t first_row = (by_column ? minor : m) * block[0];
      const std::int64_t first_column = (by_column ? m : minor) * block[1];
      for (std::int64_t i = 0; i < items; ++i, ++e) {
        rows[e] = first_row + i / block[1];
        columns[e] = first_column + i % block[1];
      }
    }
  }
  return coo_tensor(format, place, indices, values, shape);
}

}  // namespace sparsert::files
