// runtime/sparse.cpp — sparse matrices: the checks their constructors make, and moves between devices.
#include "sparsert/sparse.hpp"

#include <utility>

#include "runtime/ops/check.hpp"

namespace sparsert {
namespace {

void check_index_array(const char* op, const char* argument, const Tensor& array, DType expected,
                       const Device& device) {
  require(array.dtype() == DType::int32 || array.dtype() == DType::int64, [&] {
    return std::string(op) + ": " + argument + " is " + std::string(to_string(array.dtype())) +
           ", expected int32 or int64";
  });
  require(array.dtype() == expected, [&] {
    return std::string(op) + ": " + argument + " is " + std::string(to_string(array.dtype())) + ", expected " +
           std::string(to_string(expected)) + " like the other index array";
  });
  check_device(op, argument, array.device(), device);
  check_rank(op, argument, array, 1);
}

void check_matrix_shape(const char* op, const Shape& shape, DType index) {
  require(shape.size() == 2 && shape[0] >= 0 && shape[1] >= 0,
          [&] { return std::string(op) + ": shape is " + to_string(shape) + ", expected two sizes of at least 0"; });
  require(shape[0] < INT64_MAX, [&] { return std::string(op) + ": shape is " + to_string(shape) + ", too large"; });
  require(index == DType::int64 || (shape[0] <= INT32_MAX && shape[1] <= INT32_MAX),
          [&] { return std::string(op) + ": shape is " + to_string(shape) + ", which needs int64 indices"; });
}

void check_columns_in_range(const char* op, const char* argument, std::int64_t at, std::int64_t got,
                            std::int64_t limit) {
  require(got >= 0 && got < limit, [&] {
    return std::string(op) + ": " + argument + "[" + std::to_string(at) + "] is " + std::to_string(got) +
           ", expected 0 to " + std::to_string(limit - 1);
  });
}

template <class I>
void check_csr(const Tensor& row_offsets, const Tensor& columns, std::int64_t rows, std::int64_t cols) {
  const auto offsets = row_offsets.span<I>();
  const auto column = columns.span<I>();
  const auto nnz = static_cast<std::int64_t>(column.size());
  require(offsets[0] == 0, [&] { return "csr: row_offsets[0] is " + std::to_string(offsets[0]) + ", expected 0"; });
  // All offsets first: only then may they be used to read columns.
  for (std::int64_t r = 0; r < rows; ++r) {
    require(offsets[r] <= offsets[r + 1] && offsets[r + 1] <= nnz, [&] {
      return "csr: row_offsets[" + std::to_string(r + 1) + "] is " + std::to_string(offsets[r + 1]) + ", expected " +
             std::to_string(offsets[r]) + " to nnz = " + std::to_string(nnz);
    });
  }
  require(offsets[rows] == nnz, [&] {
    return "csr: row_offsets[" + std::to_string(rows) + "] is " + std::to_string(offsets[rows]) +
           ", expected the number of columns given, " + std::to_string(nnz);
  });
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t e = offsets[r]; e < offsets[r + 1]; ++e) {
      check_columns_in_range("csr", "columns", e, column[e], cols);
      require(e == offsets[r] || column[e - 1] < column[e], [&] {
        return "csr: columns[" + std::to_string(e) + "] of row " + std::to_string(r) + " is " +
               std::to_string(column[e]) + " after " + std::to_string(column[e - 1]) +
               (column[e - 1] == column[e] ? ", a duplicate" : ", expected ascending columns in a row");
      });
    }
  }
}

template <class I>
void check_range(const char* argument, const Tensor& indices, std::int64_t limit) {
  const auto values = indices.span<I>();
  for (std::size_t e = 0; e < values.size(); ++e) {
    check_columns_in_range("coo", argument, static_cast<std::int64_t>(e), values[e], limit);
  }
}

double density_of(std::int64_t nnz, std::int64_t rows, std::int64_t cols) {
  return rows == 0 || cols == 0 ? 0.0
                                : static_cast<double>(nnz) / (static_cast<double>(rows) * static_cast<double>(cols));
}

}  // namespace

Csr::Csr(const Tensor& row_offsets, const Tensor& columns, const Tensor& values, Shape shape) {
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
  const Tensor host_offsets = row_offsets_.device().is_host() ? row_offsets_ : row_offsets_.cpu();
  const Tensor host_columns = columns_.device().is_host() ? columns_ : columns_.cpu();
  if (index_dtype() == DType::int32) {
    check_csr<std::int32_t>(host_offsets, host_columns, rows_, cols_);
  } else {
    check_csr<std::int64_t>(host_offsets, host_columns, rows_, cols_);
  }
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

Csr Csr::to(const Device& device, const Stream& stream) const {
  return unchecked(row_offsets_.to(device, stream), columns_.to(device, stream), values_.to(device, stream), rows_,
                   cols_);
}

Coo::Coo(const Tensor& rows, const Tensor& columns, const Tensor& values, Shape shape) {
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
  const Tensor host_rows = row_indices_.device().is_host() ? row_indices_ : row_indices_.cpu();
  const Tensor host_columns = columns_.device().is_host() ? columns_ : columns_.cpu();
  if (index_dtype() == DType::int32) {
    check_range<std::int32_t>("rows", host_rows, rows_);
    check_range<std::int32_t>("columns", host_columns, cols_);
  } else {
    check_range<std::int64_t>("rows", host_rows, rows_);
    check_range<std::int64_t>("columns", host_columns, cols_);
  }
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

Coo Coo::to(const Device& device, const Stream& stream) const {
  return unchecked(row_indices_.to(device, stream), columns_.to(device, stream), values_.to(device, stream), rows_,
                   cols_);
}

}  // namespace sparsert
