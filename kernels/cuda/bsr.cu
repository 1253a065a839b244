// kernels/cuda/bsr.cu — block-sparse times dense: a thread for an element of C, neighbours side by side in B and C.
#include "kernels/bsr.hpp"

#include "kernels/cuda/each.cuh"

namespace sparsert::backend::SPARSERT_BACKEND {

void bsr_spmm(const BsrSpmmArgs& args, const Stream& stream) { bsr_spmm_by_element<Each>(args, stream); }

}  // namespace sparsert::backend::SPARSERT_BACKEND
