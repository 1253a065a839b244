// sparsert/formats.hpp — the other sparse formats: CSC, BSR, N:M, bitmap; and conversions between all of them.
//
// A conversion is exact: it moves values and keeps stored zeros. CSR is the hub; each format has `to_csr` and is made
// of a Csr or of a dense tensor, whose non-zeros it takes.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sparsert/sparse.hpp"

namespace sparsert {

/// Compressed sparse columns. Within a column the rows ascend, without duplicates.
class Csc {
 public:
  /// Copies and checks, O(nnz), as `Csr` does. Throws `Error{invalid_argument}` that names what is wrong, and where.
  Csc(const Tensor& col_offsets, const Tensor& rows, const Tensor& values, Shape shape);

  Shape shape() const { return {transposed_.cols(), transposed_.rows()}; }
  std::int64_t nnz() const noexcept { return transposed_.nnz(); }
  double density() const noexcept { return transposed_.density(); }
  std::int64_t nbytes() const noexcept { return transposed_.nbytes(); }
  DType dtype() const noexcept { return transposed_.dtype(); }
  DType index_dtype() const noexcept { return transposed_.index_dtype(); }
  const Device& device() const noexcept { return transposed_.device(); }

  const Tensor& col_offsets() const noexcept { return transposed_.row_offsets(); }  ///< (cols + 1), read-only
  const Tensor& rows() const noexcept { return transposed_.columns(); }             ///< (nnz), read-only
  const Tensor& values() const noexcept { return transposed_.values(); }            ///< (nnz)

  /// The transposed matrix: the same arrays, read as CSR.
  const Csr& transposed() const noexcept { return transposed_; }
  /// The matrix whose transpose in CSR is given: the same arrays, read as CSC.
  static Csc of_transposed(Csr transposed) { return Csc(std::move(transposed)); }

  Csc to(const Device& device, const Stream& stream = {}) const { return Csc(transposed_.to(device, stream)); }
  Csc cpu() const { return to(cpu_device); }
  Csr to_csr(const Stream& stream = {}) const;
  Coo to_coo(const Stream& stream = {}) const { return to_csr(stream).to_coo(stream); }
  Tensor to_dense(const Stream& stream = {}) const { return to_csr(stream).to_dense(stream); }

  /// Checks again what the constructor checks. Throws `Error{invalid_argument}`.
  void validate() const;

 private:
  explicit Csc(Csr transposed) : transposed_(std::move(transposed)) {}

  Csr transposed_;
};

/// Rows and columns of a block.
using Block = std::array<std::int64_t, 2>;

/// Block compressed sparse rows, blocks of any size. A shape that blocks do not divide is padded inside the last ones;
/// the padding is never read.
class Bsr {
 public:
  /// `values` is (blocks, r, c); `row_offsets` has one more than there are rows of blocks. Copies and checks,
  /// O(blocks).
  Bsr(const Tensor& row_offsets, const Tensor& columns, const Tensor& values, Shape shape);

  Shape shape() const { return {rows_, cols_}; }  ///< without the padding
  Block block() const { return {values_.size(1), values_.size(2)}; }
  std::int64_t blocks() const noexcept { return columns_.numel(); }
  std::int64_t nnz() const noexcept { return values_.numel(); }  ///< elements of blocks, zeros and padding among them
  double density() const noexcept;                               ///< blocks stored / blocks there could be
  std::int64_t nbytes() const noexcept { return row_offsets_.nbytes() + columns_.nbytes() + values_.nbytes(); }
  DType dtype() const noexcept { return values_.dtype(); }
  DType index_dtype() const noexcept { return columns_.dtype(); }
  const Device& device() const noexcept { return values_.device(); }

  const Tensor& row_offsets() const noexcept { return row_offsets_; }  ///< read-only
  const Tensor& columns() const noexcept { return columns_; }          ///< (blocks), of blocks, read-only
  const Tensor& values() const noexcept { return values_; }            ///< (blocks, r, c)

  Bsr to(const Device& device, const Stream& stream = {}) const;
  Bsr cpu() const { return to(cpu_device); }
  Csr to_csr(const Stream& stream = {}) const;  ///< every element of a block is an entry, zeros too
  Coo to_coo(const Stream& stream = {}) const { return to_csr(stream).to_coo(stream); }
  Tensor to_dense(const Stream& stream = {}) const { return to_csr(stream).to_dense(stream); }
  void validate() const;

  /// For arrays that are correct by construction: no copy, no check.
  static Bsr unchecked(Tensor row_offsets, Tensor columns, Tensor values, std::int64_t rows, std::int64_t cols);

 private:
  Bsr() = default;

  Tensor row_offsets_;
  Tensor columns_;
  Tensor values_;
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
};

/// At most n entries in each m columns of a row. A row has n slots for every m columns (the last may be fewer), filled
/// from the left; `positions` are within the m, `kEmptySlot` where there is no entry.
class Nm {
 public:
  static constexpr int kMostM = 32;
  static constexpr std::uint8_t kEmptySlot = 255;

  /// `values` and `positions` (uint8) are (rows, groups · n). Copies and checks, O(slots).
  Nm(const Tensor& values, const Tensor& positions, Shape shape, int n, int m);

  Shape shape() const { return {rows_, cols_}; }
  int n() const noexcept { return n_; }
  int m() const noexcept { return m_; }
  std::int64_t nnz() const noexcept { return nnz_; }  ///< slots that are not empty
  double density() const noexcept;
  std::int64_t nbytes() const noexcept { return values_.nbytes() + positions_.nbytes(); }
  DType dtype() const noexcept { return values_.dtype(); }
  const Device& device() const noexcept { return values_.device(); }

  const Tensor& values() const noexcept { return values_; }
  const Tensor& positions() const noexcept { return positions_; }  ///< read-only

  Nm to(const Device& device, const Stream& stream = {}) const;
  Nm cpu() const { return to(cpu_device); }
  Csr to_csr(DType index_dtype = DType::int32, const Stream& stream = {}) const;
  Coo to_coo(DType index_dtype = DType::int32, const Stream& stream = {}) const;
  Tensor to_dense(const Stream& stream = {}) const;
  void validate() const;

  static Nm unchecked(Tensor values, Tensor positions, std::int64_t rows, std::int64_t cols, int n, int m,
                      std::int64_t nnz);

 private:
  Nm() = default;

  Tensor values_;
  Tensor positions_;
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
  int n_ = 1;
  int m_ = 1;
  std::int64_t nnz_ = 0;
};

/// One bit an element, and the values of those that are set, row by row. The lowest bit comes first, as in NumPy's
/// `packbits(axis=1, bitorder="little")`; the bits that fill a row's last byte are zero.
class Bitmap {
 public:
  /// `bits` (uint8) is (rows, cols / 8 rounded up), `values` (bits set). Copies and checks, O(bytes).
  Bitmap(const Tensor& bits, const Tensor& values, Shape shape, DType index_dtype = DType::int32);

  Shape shape() const { return {rows_, cols_}; }
  std::int64_t nnz() const noexcept { return values_.numel(); }
  double density() const noexcept;
  std::int64_t nbytes() const noexcept { return bits_.nbytes() + row_offsets_.nbytes() + values_.nbytes(); }
  DType dtype() const noexcept { return values_.dtype(); }
  DType index_dtype() const noexcept { return row_offsets_.dtype(); }
  const Device& device() const noexcept { return values_.device(); }

  const Tensor& bits() const noexcept { return bits_; }                ///< read-only
  const Tensor& row_offsets() const noexcept { return row_offsets_; }  ///< (rows + 1): values before each row
  const Tensor& values() const noexcept { return values_; }            ///< (nnz)

  Bitmap to(const Device& device, const Stream& stream = {}) const;
  Bitmap cpu() const { return to(cpu_device); }
  Csr to_csr(const Stream& stream = {}) const;
  Coo to_coo(const Stream& stream = {}) const { return to_csr(stream).to_coo(stream); }
  Tensor to_dense(const Stream& stream = {}) const { return to_csr(stream).to_dense(stream); }
  void validate() const;

  static Bitmap unchecked(Tensor bits, Tensor row_offsets, Tensor values, std::int64_t rows, std::int64_t cols);

 private:
  Bitmap() = default;

  Tensor bits_;
  Tensor row_offsets_;
  Tensor values_;
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
};

// ---- conversions

Csc to_csc(const Csr& a, const Stream& stream = {});
Csc to_csc(const Tensor& dense, DType index_dtype = DType::int32, const Stream& stream = {});

/// The blocks that hold an entry; their other elements are stored zeros. Throws `Error{invalid_argument}` for a block
/// without rows or columns.
Bsr to_bsr(const Csr& a, Block block, const Stream& stream = {});
Bsr to_bsr(const Tensor& dense, Block block, DType index_dtype = DType::int32, const Stream& stream = {});

/// Throws `Error{invalid_argument}` that names the first m columns with more than n entries: prune first.
Nm to_nm(const Csr& a, int n, int m, const Stream& stream = {});
Nm to_nm(const Tensor& dense, int n, int m, const Stream& stream = {});

/// A 2:4 matrix as the sparse tensor cores' instructions take it: two values for every four columns, and for these
/// four bits of metadata, the lower two the first value's place. A slot that was empty holds a zero, which multiplies.
struct SparseTensorCoreLayout {
  Tensor values;    ///< (rows, 2 · groups), groups being cols / 4 rounded up
  Tensor metadata;  ///< (rows, groups / 2 rounded up), uint8, the lower four bits the earlier group
};
/// Throws `Error{invalid_argument}` for another n and m. Made on the CPU; the result is where the matrix is.
SparseTensorCoreLayout to_sparse_tensor_cores(const Nm& a);

Bitmap to_bitmap(const Csr& a, const Stream& stream = {});
Bitmap to_bitmap(const Tensor& dense, DType index_dtype = DType::int32, const Stream& stream = {});

// ---- matrices of matrices

/// Aᵀ.
Csr transpose(const Csr& a, const Stream& stream = {});

/// Without the entries whose value is zero. NaN is none.
Csr prune_zeros(const Csr& a, const Stream& stream = {});

/// Rows [begin, end). Throws `Error{invalid_argument}` for a range outside the matrix.
Csr slice_rows(const Csr& a, std::int64_t begin, std::int64_t end, const Stream& stream = {});

/// One below the other (axis 0), or side by side (axis 1). All of one dtype, index type and device, and of one width
/// (height). Throws `Error{invalid_argument}`, also for none at all or more entries than indices count.
Csr concatenate(const std::vector<Csr>& matrices, int axis = 0, const Stream& stream = {});

/// Sorted by row and column, duplicates summed left to right.
Coo coalesce(const Coo& a, const Stream& stream = {});

}  // namespace sparsert
