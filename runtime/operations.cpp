// runtime/operations.cpp — the table of operations and backends.
#include "sparsert/operations.hpp"

#include "kernels/kernels.hpp"

namespace sparsert {
namespace {

template <class Args>
OperationInfo describe(const char* family, const backend::Op<Args>& op) {
  OperationInfo info{op.name, family, {}};
  if (op.reference != nullptr) info.backends.push_back(Device::Type::reference);
  if (op.cpu != nullptr) info.backends.push_back(Device::Type::cpu);
  if (op.simt != nullptr) info.backends.push_back(Device::Type::simt);
  if (op.cuda != nullptr) info.backends.push_back(Device::Type::cuda);
  return info;
}

}  // namespace

std::vector<OperationInfo> operations() {
  return {
      describe("elementwise", backend::relu),
      describe("elementwise", backend::relu_backward),
      describe("elementwise", backend::binary),
      describe("elementwise", backend::power),
      describe("elementwise", backend::cast),
      describe("elementwise", backend::equal),
      describe("sparsify", backend::count_nonzero),
      describe("sparsify", backend::csr_offsets),
      describe("sparsify", backend::dense_to_csr),
      describe("sparsify", backend::csr_to_dense),
      describe("sparsify", backend::csr_to_coo),
      describe("sparsify", backend::coo_to_csr),
      describe("sparsify", backend::prune_magnitude),
      describe("prune", backend::element_scores),
      describe("prune", backend::block_norms),
      describe("prune", backend::select_units),
      describe("prune", backend::mask_blocks),
      describe("prune", backend::prune_n_m),
      describe("prune", backend::threshold),
      describe("prune", backend::shrink_blocks),
      describe("prune", backend::take),
      describe("activation", backend::relu_offsets),
      describe("activation", backend::relu_csr),
      describe("activation", backend::relu_bitmap),
      describe("activation", backend::gather_gradient),
      describe("activation", backend::activate),
      describe("activation", backend::activate_backward),
      describe("activation", backend::add_bias),
      describe("activation", backend::transpose_dense),
      describe("topk", backend::topk),
      describe("formats", backend::transpose),
      describe("formats", backend::bsr_offsets),
      describe("formats", backend::csr_to_bsr),
      describe("formats", backend::bsr_csr_offsets),
      describe("formats", backend::bsr_to_csr),
      describe("formats", backend::csr_to_bitmap),
      describe("formats", backend::bitmap_offsets),
      describe("formats", backend::bitmap_columns),
      describe("formats", backend::csr_to_nm),
      describe("formats", backend::nm_offsets),
      describe("formats", backend::nm_to_csr),
      describe("formats", backend::nonzero_offsets),
      describe("formats", backend::drop_zeros),
      describe("gradient", backend::accumulate_gradient),
      describe("gradient", backend::accumulate_topk),
      describe("gradient", backend::emit_gradient),
      describe("spmm", backend::spmm_plan),
      describe("spmm", backend::spmm),
      describe("matmul", backend::matmul),
      describe("spmv", backend::spmv_plan),
      describe("spmv", backend::spmv),
      describe("spmm_transposed", backend::spmm_transposed),
      describe("sddmm", backend::sddmm),
      describe("softmax", backend::sparse_softmax),
      describe("softmax", backend::sparse_softmax_backward),
      describe("spgemm", backend::spgemm_offsets),
      describe("spgemm", backend::spgemm),
      describe("spgemm", backend::sparse_add_offsets),
      describe("spgemm", backend::sparse_add),
      describe("reduce", backend::row_sums),
      describe("reduce", backend::scale),
      describe("bsr", backend::bsr_spmm),
      describe("embedding", backend::embedding_bag),
      describe("embedding", backend::bag_winners),
      describe("embedding", backend::bag_max_backward),
      describe("attention", backend::attend),
      describe("attention", backend::attend_backward),
  };
}

}  // namespace sparsert
