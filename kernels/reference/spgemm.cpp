// kernels/reference/spgemm.cpp — sparse times sparse, sparse plus sparse, one row after the other: what it means.
#include "kernels/spgemm.hpp"

#include "kernels/reference/each.hpp"

namespace sparsert::backend::reference {

void spgemm_offsets(const SpgemmOffsetsArgs& args, const Stream& stream) { Spgemm<Each>::spgemm_offsets(args, stream); }

void spgemm(const SpgemmArgs& args, const Stream& stream) { Spgemm<Each>::spgemm(args, stream); }

void sparse_add_offsets(const SparseAddOffsetsArgs& args, const Stream& stream) {
  Spgemm<Each>::sparse_add_offsets(args, stream);
}

void sparse_add(const SparseAddArgs& args, const Stream& stream) { Spgemm<Each>::sparse_add(args, stream); }

}  // namespace sparsert::backend::reference
