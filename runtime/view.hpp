// runtime/view.hpp — the kernels' view of a checked sparse matrix.
#pragma once

#include "kernels/views.hpp"
#include "sparsert/sparse.hpp"

namespace sparsert {

inline backend::CsrView view_of(const Csr& a) {
  return {a.rows(),           a.cols(),  a.nnz(),          a.index_dtype(), a.row_offsets().data(),
          a.columns().data(), a.dtype(), a.values().data()};
}

}  // namespace sparsert
