// kernels/cuda/spmm_transposed.cu — the transpose of a sparse matrix times dense: by way of the transposed matrix.
//
// A scatter would need atomics, which have no order. So the entries are sorted by column first (formats.cu), and a
// column of A then is a row that spmm sums. The cost is one sort of the entries, small beside a product of some width.
#include "kernels/contract/spmm_transposed.hpp"

#include "device/kernel.cuh"
#include "kernels/contract/formats.hpp"
#include "kernels/contract/spmm.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {

void spmm_transposed(const SpmmTransposedArgs& args, const Stream& stream) {
  const CsrView& a = args.a;
  const std::size_t index_bytes = size_of(a.index);
  const Buffer offsets(static_cast<std::size_t>(a.cols + 1) * index_bytes, stream);
  const Buffer columns(static_cast<std::size_t>(a.nnz) * index_bytes, stream);
  const Buffer values(static_cast<std::size_t>(a.nnz) * size_of(a.dtype), stream);
  transpose({a, offsets.data(), columns.data(), values.data()}, stream);
  const CsrView transposed{a.cols, a.rows, a.nnz, a.index, offsets.data(), columns.data(), a.dtype, values.data()};
  spmm({transposed, nullptr, args.n, args.b, args.c, args.column_major, nullptr, false, 1.0, 0.0, Order::canonical},
       stream);
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
