// runtime/files/sparse_index.cpp — indices of a file, proven before they become a matrix.
#include "runtime/files/sparse_index.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <utility>

#include "runtime/files/bytes.hpp"
#include "runtime/files/sparse_tensor.hpp"

namespace sparsert::files {

SparseTensor make_coo(const char* format, std::uint64_t offset, std::span<const std::int64_t> indices,
                      bool one_per_dimension, const Tensor& values, const Shape& shape) {
  const std::int64_t nnz = values.numel();
  const auto total = static_cast<std::int64_t>(*shape_bits(shape, 1));
  const Shape matrix = matrix_shape(format, offset, shape);
  Tensor rows = Tensor::empty({nnz}, DType::int64);
  Tensor columns = Tensor::empty({nnz}, DType::int64);
  const auto row = rows.mutable_span<std::int64_t>();
  const auto column = columns.mutable_span<std::int64_t>();
  std::int64_t before = -1;
  for (std::int64_t entry = 0; entry < nnz; ++entry) {
    const auto refuse = [&](const std::string& what) {
      malformed(format, offset, "index " + std::to_string(entry) + " of a sparse tensor " + what);
    };
    std::int64_t linear = 0;
    if (one_per_dimension) {
      const auto at = indices.subspan(static_cast<std::size_t>(entry) * shape.size(), shape.size());
      for (std::size_t d = 0; d < shape.size(); ++d) {
        if (at[d] < 0 || at[d] >= shape[d]) {
          refuse("is " + std::to_string(at[d]) + " in dimension " + std::to_string(d) + " of " + to_string(shape));
        }
        linear = linear * shape[d] + at[d];
      }
    } else {
      linear = indices[static_cast<std::size_t>(entry)];
      if (linear < 0 || linear >= total) refuse("is " + std::to_string(linear) + " in " + to_string(shape));
    }
    if (linear <= before) refuse("is not larger than the one before it");
    before = linear;
    row[static_cast<std::size_t>(entry)] = linear / matrix[1];
    column[static_cast<std::size_t>(entry)] = linear % matrix[1];
  }
  return {Coo::unchecked(std::move(rows), std::move(columns), values, matrix[0], matrix[1]), shape};
}

SparseTensor sorted_sparse(const char* format, std::uint64_t offset, const std::vector<std::int64_t>& indices,
                           const Tensor& values, const Shape& shape, bool csr) {
  std::vector<std::size_t> order(indices.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (!std::is_sorted(indices.begin(), indices.end())) {
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return indices[a] < indices[b]; });
  }
  std::vector<std::int64_t> ascending(indices.size());
  Tensor ordered = Tensor::empty(values.shape(), values.dtype());
  const std::size_t item = size_of(values.dtype());
  const auto* const from = static_cast<const std::byte*>(values.data());
  auto* const to = indices.empty() ? nullptr : static_cast<std::byte*>(ordered.mutable_data());
  for (std::size_t i = 0; i < order.size(); ++i) {
    ascending[i] = indices[order[i]];
    std::memcpy(to + i * item, from + order[i] * item, item);
  }
  SparseTensor coordinates = make_coo(format, offset, ascending, false, ordered, shape);
  if (!csr) return coordinates;
  const Coo& coo = std::get<Coo>(coordinates.matrix);
  Tensor offsets = Tensor::zeros({coo.shape()[0] + 1}, DType::int64);
  const auto counts = offsets.mutable_span<std::int64_t>();
  for (const std::int64_t row : coo.rows().span<std::int64_t>()) ++counts[static_cast<std::size_t>(row) + 1];
  std::partial_sum(counts.begin(), counts.end(), counts.begin());
  return {Csr::unchecked(std::move(offsets), coo.columns(), coo.values(), coo.shape()[0], coo.shape()[1]), shape};
}

}  // namespace sparsert::files
