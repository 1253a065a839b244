// runtime/sparse.cpp — sparse matrices: the checks their constructors make, and moves between devices.
#include "sparsert/sparse.hpp"

#include <utility>

#include "runtime/check_sparse.hpp"
#include "runtime/ops/memory.hpp"

namespace sparsert {

Csr::Csr(const Tensor& row_offsets, const Tensor& columns, const Tensor& values, Shape shape) try {
  check_index_array("csr", "row_offsets", row_offsets, row_offsets.dtype(), values.device());
  check_index_array("csr", "columns", columns, row_offsets.dtype(), values.device());
  check_matrix_shape("csr", shape, columns.dtype());
  check_shape("csr", "row_offsets", row_offsets, {shape[0] + 1});
  check_shape("csr", "values", values, columns.shape());
  // Copies first, so that what is checked is what is kept.
  row_offsets_ = row_offsets.clone().as_read_only();
  columns_ = columns.clone().as_read_only();
  values_ = values.clone();
  rows_ = shape[0];
  cols_ = shape[1];
  validate();
} catch (...) {
  rethrow_named("csr", {&row_offsets, &columns, &values});
}

void Csr::validate() const {
  check_compressed({"csr", "row_offsets", "columns", "row"}, row_offsets_, columns_, rows_, cols_);
}

Csr Csr::unchecked(Tensor row_offsets, Tensor columns, Tensor values, std::int64_t rows, std::int64_t cols) {
  Csr matrix;
  matrix.row_offsets_ = row_offsets.as_read_only();
  matrix.columns_ = columns.as_read_only();
  matrix.values_ = std::move(values);
  matrix.rows_ = rows;
  matrix.cols_ = cols;
  return matrix;
}

double Csr::density() const noexcept { return density_of(nnz(), rows_, cols_); }

std::int64_t Csr::nbytes() const noexcept { return row_offsets_.nbytes() + columns_.nbytes() + values_.nbytes(); }

Csr Csr::with_values(const Tensor& values) const {
  check_shape("with_values", "values", values, columns_.shape());
  check_device("with_values", "values", values.device(), device());
  return unchecked(row_offsets_, columns_, values, rows_, cols_);
}

Csr Csr::to(const Device& device, const Stream& stream) const try {
  return unchecked(row_offsets_.to(device, stream), columns_.to(device, stream), values_.to(device, stream), rows_,
                   cols_);
} catch (...) {
  rethrow_named("csr.to", {this});
}

Coo::Coo(const Tensor& rows, const Tensor& columns, const Tensor& values, Shape shape) try {
  check_index_array("coo", "rows", rows, rows.dtype(), values.device());
  check_index_array("coo", "columns", columns, rows.dtype(), values.device());
  check_matrix_shape("coo", shape, columns.dtype());
  check_shape("coo", "rows", rows, columns.shape());
  check_shape("coo", "values", values, columns.shape());
  row_indices_ = rows.clone().as_read_only();
  columns_ = columns.clone().as_read_only();
  values_ = values.clone();
  rows_ = shape[0];
  cols_ = shape[1];
  validate();
} catch (...) {
  rethrow_named("coo", {&rows, &columns, &values});
}

void Coo::validate() const {
  check_range("coo", "rows", row_indices_, rows_);
  check_range("coo", "columns", columns_, cols_);
}

Coo Coo::unchecked(Tensor rows, Tensor columns, Tensor values, std::int64_t row_count, std::int64_t col_count) {
  Coo matrix;
  matrix.row_indices_ = rows.as_read_only();
  matrix.columns_ = columns.as_read_only();
  matrix.values_ = std::move(values);
  matrix.rows_ = row_count;
  matrix.cols_ = col_count;
  return matrix;
}

double Coo::density() const noexcept { return density_of(nnz(), rows_, cols_); }

std::int64_t Coo::nbytes() const noexcept { return row_indices_.nbytes() + columns_.nbytes() + values_.nbytes(); }

Coo Coo::to(const Device& device, const Stream& stream) const try {
  return unchecked(row_indices_.to(device, stream), columns_.to(device, stream), values_.to(device, stream), rows_,
                   cols_);
} catch (...) {
  rethrow_named("coo.to", {this});
}

}  // namespace sparsert
