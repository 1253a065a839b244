// kernels/cuda/spgemm.cu — sparse times sparse, sparse plus sparse: the rules of kernels/spgemm.hpp, a thread a row.
#include "kernels/spgemm.hpp"

#include "kernels/cuda/each.cuh"

namespace sparsert::backend::SPARSERT_BACKEND {

void spgemm_offsets(const SpgemmOffsetsArgs& args, const Stream& stream) { Spgemm<Each>::spgemm_offsets(args, stream); }

void spgemm(const SpgemmArgs& args, const Stream& stream) { Spgemm<Each>::spgemm(args, stream); }

void sparse_add_offsets(const SparseAddOffsetsArgs& args, const Stream& stream) {
  Spgemm<Each>::sparse_add_offsets(args, stream);
}

void sparse_add(const SparseAddArgs& args, const Stream& stream) { Spgemm<Each>::sparse_add(args, stream); }

}  // namespace sparsert::backend::SPARSERT_BACKEND
