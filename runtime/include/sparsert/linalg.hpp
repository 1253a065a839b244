// sparsert/linalg.hpp — linear algebra of sparse matrices beside spmm: products with vectors, of transposes, on
// patterns, of two sparse matrices; softmax, sums, scaling; and what training needs, the backward of each.
//
// Operands are of one floating dtype and one device, and results new, as in ops.hpp, whose errors these throw too.
#pragma once

#include <cstdint>
#include <utility>

#include "sparsert/formats.hpp"
#include "sparsert/ops.hpp"

namespace sparsert {

// ---- products

/// A·x: x (cols), the result (rows). The bits of spmm with one column.
Tensor spmv(const Csr& a, const Tensor& x, const Stream& stream = {});
Tensor spmv(const Plan& plan, const Tensor& x, const Stream& stream = {});

/// Aᵀ·B without making Aᵀ: A (k, m), B (k, n), the result (m, n). The bits of spmm with the transposed matrix.
Tensor spmm_transposed(const Csr& a, const Tensor& b, const Stream& stream = {});

/// X·A, dense times sparse, without making Aᵀ: X (n, k), A (k, m), the result (n, m).
Tensor matmul(const Tensor& x, const Csr& a, const Stream& stream = {});

/// x·yᵀ on the pattern's entries: x (rows, k), y (cols, k), the result (nnz), in the pattern's order. Its values are
/// not read. `with_values` makes a matrix of the result.
Tensor sddmm(const Csr& pattern, const Tensor& x, const Tensor& y, const Stream& stream = {});

struct SpgemmOptions {
  std::int64_t max_bytes = 0;  ///< of the result; 0: as much as there is
};

/// A·B, both sparse. Its pattern is of all products, also those that add up to zero.
/// Throws `OutOfMemory` before anything of the result is allocated where it is larger than `max_bytes`, and
/// `Error{invalid_argument}` where it has more entries than the index type counts.
Csr spgemm(const Csr& a, const Csr& b, const SpgemmOptions& options = {}, const Stream& stream = {});

/// A + B, both sparse, of any dtype: entries of both are added, all others copied.
Csr add(const Csr& a, const Csr& b, const Stream& stream = {});

/// Block-sparse times dense, and the layer: the bits of spmm with every element of a block as an entry.
Tensor spmm(const Bsr& a, const Tensor& b, const SpmmOptions& options = {}, const Stream& stream = {});
Tensor linear(const Tensor& x, const Bsr& w, const LinearOptions& options = {}, const Stream& stream = {});

// These formats multiply by way of CSR, with its bits.
inline Tensor spmm(const Csc& a, const Tensor& b, const SpmmOptions& options = {}, const Stream& stream = {}) {
  return spmm(a.to_csr(stream), b, options, stream);
}
inline Tensor spmm(const Nm& a, const Tensor& b, const SpmmOptions& options = {}, const Stream& stream = {}) {
  return spmm(a.to_csr(DType::int32, stream), b, options, stream);
}
inline Tensor spmm(const Bitmap& a, const Tensor& b, const SpmmOptions& options = {}, const Stream& stream = {}) {
  return spmm(a.to_csr(stream), b, options, stream);
}

// ---- rows

/// Softmax over the entries of each row. Entries that are not stored have no weight; a row without entries stays empty.
Csr sparse_softmax(const Csr& a, const Stream& stream = {});

/// The sum of each row's (column's) entries, left to right (downwards); any dtype, integers wrap.
Tensor row_sums(const Csr& a, const Stream& stream = {});
Tensor column_sums(const Csr& a, const Stream& stream = {});

/// Each entry times its row's (column's) factor: (rows), (cols), of the matrix's dtype.
Csr scale_rows(const Csr& a, const Tensor& factors, const Stream& stream = {});
Csr scale_columns(const Csr& a, const Tensor& factors, const Stream& stream = {});

// ---- backward: `grad` is the gradient of the result, and has its shape

struct SpmmGradients {
  Tensor values;  ///< of A's entries, (nnz)
  Tensor b;       ///< (k, n)
};
/// Of C = A·B.
SpmmGradients spmm_backward(const Tensor& grad, const Csr& a, const Tensor& b, const Stream& stream = {});

struct LinearGradients {
  Tensor x;     ///< (batch, in)
  Tensor w;     ///< (nnz) of a sparse weight's entries, (out, in) of a dense one
  Tensor bias;  ///< (out)
};
/// Of y = x·Wᵀ + bias; with ReLU, `grad` is what `relu_backward` gives.
LinearGradients linear_backward(const Tensor& grad, const Tensor& x, const Csr& w, const Stream& stream = {});
LinearGradients linear_backward(const Tensor& grad, const Tensor& x, const Tensor& w, const Stream& stream = {});

struct SddmmGradients {
  Tensor x;  ///< (rows, k)
  Tensor y;  ///< (cols, k)
};
/// Of sddmm: `grad_values` is (nnz).
SddmmGradients sddmm_backward(const Tensor& grad_values, const Csr& pattern, const Tensor& x, const Tensor& y,
                              const Stream& stream = {});

/// Of sparse_softmax, whose result is `out`: `grad_values` is (nnz), and the gradient has out's pattern.
Csr sparse_softmax_backward(const Tensor& grad_values, const Csr& out, const Stream& stream = {});

}  // namespace sparsert
