// kernels/contract/formats.hpp — between the sparse formats: what each operation is given.
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "kernels/views.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// Block compressed rows: blocks of r × c, row-major, sorted columns of blocks. What a block at the edge holds beyond
/// `rows` and `cols` is padding, and never read.
struct BsrView {
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t r;
  std::int64_t c;
  std::int64_t blocks;
  DType index;
  const void* row_offsets;  // of block rows: rows / r, rounded up, + 1
  const void* columns;      // of blocks
  DType dtype;
  const void* values;  // blocks × r × c
};

/// At most n entries in each m columns of a row, in n slots; `positions` within the m, kNoEntry for an empty slot.
struct NmView {
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t n;
  std::int64_t m;
  const std::uint8_t* positions;  // rows × groups × n, where groups is cols / m, rounded up
  DType dtype;
  const void* values;  // one per slot
};
inline constexpr std::uint8_t kNoEntry = 255;

/// Aᵀ as CSR, which is A as CSC; the entries of a column in the order of their rows.
struct TransposeArgs {
  CsrView a;
  void* row_offsets;  // cols + 1
  void* columns;
  void* values;
};
SPARSERT_OP(transpose, TransposeArgs);

/// row_offsets of the r × c blocks that hold an entry.
struct BsrOffsetsArgs {
  CsrView a;
  std::int64_t r;
  std::int64_t c;
  void* row_offsets;
};
SPARSERT_OP(bsr_offsets, BsrOffsetsArgs);

/// Fills columns and values behind the offsets that `bsr_offsets` made; what is no entry is +0.
struct CsrToBsrArgs {
  CsrView a;
  std::int64_t r;
  std::int64_t c;
  const void* row_offsets;
  void* columns;
  void* values;
};
SPARSERT_OP(csr_to_bsr, CsrToBsrArgs);

/// row_offsets of the matrix with every element of a block as an entry, without the padding.
struct BsrCsrOffsetsArgs {
  BsrView a;
  void* row_offsets;
};
SPARSERT_OP(bsr_csr_offsets, BsrCsrOffsetsArgs);

/// Fills columns and values behind the offsets that `bsr_csr_offsets` made.
struct BsrToCsrArgs {
  BsrView a;
  const void* row_offsets;
  void* columns;
  void* values;
};
SPARSERT_OP(bsr_to_csr, BsrToCsrArgs);

/// One bit an element, the lowest bit first, rows padded to whole bytes with zeros. Values do not matter.
struct CsrToBitmapArgs {
  CsrView a;
  std::uint8_t* bits;  // rows × (cols / 8, rounded up)
};
SPARSERT_OP(csr_to_bitmap, CsrToBitmapArgs);

/// row_offsets[r] = bits set before row r; rows + 1 of them.
struct BitmapOffsetsArgs {
  std::int64_t rows;
  std::int64_t cols;
  const std::uint8_t* bits;
  DType index;
  void* row_offsets;
};
SPARSERT_OP(bitmap_offsets, BitmapOffsetsArgs);

/// The columns of the bits that are set, behind the offsets that `bitmap_offsets` made.
struct BitmapColumnsArgs {
  std::int64_t rows;
  std::int64_t cols;
  const std::uint8_t* bits;
  DType index;
  const void* row_offsets;
  void* columns;
};
SPARSERT_OP(bitmap_columns, BitmapColumnsArgs);

/// Slots filled from the left, values of empty ones +0. *overfull (host) is the first group (row · groups + group) with
/// more than n entries, or -1; where there is one the output is of no use.
struct CsrToNmArgs {
  CsrView a;
  std::int64_t n;
  std::int64_t m;
  std::uint8_t* positions;
  void* values;
  std::int64_t* overfull;
};
SPARSERT_OP(csr_to_nm, CsrToNmArgs);

/// row_offsets[r] = entries before row r; rows + 1 of them.
struct NmOffsetsArgs {
  NmView a;
  DType index;
  void* row_offsets;
};
SPARSERT_OP(nm_offsets, NmOffsetsArgs);

/// Fills columns and values behind the offsets that `nm_offsets` made.
struct NmToCsrArgs {
  NmView a;
  DType index;
  const void* row_offsets;
  void* columns;
  void* values;
};
SPARSERT_OP(nm_to_csr, NmToCsrArgs);

/// row_offsets without the entries whose value is zero.
struct NonzeroOffsetsArgs {
  CsrView a;
  void* row_offsets;
};
SPARSERT_OP(nonzero_offsets, NonzeroOffsetsArgs);

/// The entries that are not zero, behind the offsets that `nonzero_offsets` made.
struct DropZerosArgs {
  CsrView a;
  const void* row_offsets;
  void* columns;
  void* values;
};
SPARSERT_OP(drop_zeros, DropZerosArgs);

}  // namespace sparsert::backend
