// sparsert/sparse.hpp — sparse matrices: structs of tensors that are checked when they are made.
#pragma once

#include <cstdint>
#include <string>

#include "sparsert/tensor.hpp"

namespace sparsert {

class Coo;

/// Compressed sparse rows. Within a row the columns ascend, without duplicates.
class Csr {
 public:
  /// Copies and checks, O(nnz). Indices are int32 or int64, the same type for both arrays.
  /// Throws `Error{invalid_argument}` that names what is wrong (offsets, range, order, duplicates) and where.
  Csr(const Tensor& row_offsets, const Tensor& columns, const Tensor& values, Shape shape);

  std::int64_t rows() const noexcept { return rows_; }
  std::int64_t cols() const noexcept { return cols_; }
  std::int64_t nnz() const noexcept { return columns_.numel(); }
  Shape shape() const { return {rows_, cols_}; }
  double density() const noexcept;       ///< nnz / (rows · cols); 0 for an empty matrix
  std::int64_t nbytes() const noexcept;  ///< of the three arrays
  DType dtype() const noexcept { return values_.dtype(); }
  DType index_dtype() const noexcept { return columns_.dtype(); }
  const Device& device() const noexcept { return values_.device(); }

  const Tensor& row_offsets() const noexcept { return row_offsets_; }  ///< (rows + 1), read-only
  const Tensor& columns() const noexcept { return columns_; }          ///< (nnz), read-only
  const Tensor& values() const noexcept { return values_; }            ///< (nnz), shared by copies of the matrix

  /// The same pattern with other values: shape (nnz), any float dtype, same device. Shares the index arrays.
  Csr with_values(const Tensor& values) const;

  Csr to(const Device& device, const Stream& stream = {}) const;
  Csr cpu() const { return to(cpu_device); }
  Tensor to_dense(const Stream& stream = {}) const;  ///< (rows, cols)
  Coo to_coo(const Stream& stream = {}) const;

  /// Checks again what the constructor checks. Throws `Error{invalid_argument}`.
  void validate() const;

  /// For arrays that are correct by construction, such as an operation's own result: no copy, no check.
  static Csr unchecked(Tensor row_offsets, Tensor columns, Tensor values, std::int64_t rows, std::int64_t cols);

 private:
  Csr() = default;

  Tensor row_offsets_;
  Tensor columns_;
  Tensor values_;
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
};

/// Coordinates, in any order; duplicates mean their sum, in the order given.
class Coo {
 public:
  /// Copies and checks, O(nnz): indices in range, int32 or int64. Throws `Error{invalid_argument}`.
  Coo(const Tensor& rows, const Tensor& columns, const Tensor& values, Shape shape);

  std::int64_t nnz() const noexcept { return columns_.numel(); }
  Shape shape() const { return {rows_, cols_}; }
  double density() const noexcept;
  std::int64_t nbytes() const noexcept;
  DType dtype() const noexcept { return values_.dtype(); }
  DType index_dtype() const noexcept { return columns_.dtype(); }
  const Device& device() const noexcept { return values_.device(); }

  const Tensor& rows() const noexcept { return row_indices_; }  ///< (nnz), read-only
  const Tensor& columns() const noexcept { return columns_; }   ///< (nnz), read-only
  const Tensor& values() const noexcept { return values_; }     ///< (nnz)

  Coo to(const Device& device, const Stream& stream = {}) const;
  Coo cpu() const { return to(cpu_device); }
  Csr to_csr(const Stream& stream = {}) const;       ///< sorted; duplicates summed left to right
  Tensor to_dense(const Stream& stream = {}) const;  ///< (rows, cols)

  /// Checks again what the constructor checks. Throws `Error{invalid_argument}`.
  void validate() const;

  static Coo unchecked(Tensor rows, Tensor columns, Tensor values, std::int64_t row_count, std::int64_t col_count);

 private:
  Coo() = default;

  Tensor row_indices_;
  Tensor columns_;
  Tensor values_;
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
};

/// The non-zeros of a dense (rows, cols) tensor: NaN is one, -0 is not.
/// Throws `Error{invalid_argument}` for another rank or where the index type is too small.
Csr to_csr(const Tensor& dense, DType index_dtype = DType::int32, const Stream& stream = {});
Coo to_coo(const Tensor& dense, DType index_dtype = DType::int32, const Stream& stream = {});

}  // namespace sparsert
