// kernels/reference/bsr.cpp — block-sparse times dense, one element at a time: what it means.
#include "kernels/bsr.hpp"

#include "kernels/reference/each.hpp"

namespace sparsert::backend::reference {

void bsr_spmm(const BsrSpmmArgs& args, const Stream& stream) { bsr_spmm_by_element<Each>(args, stream); }

}  // namespace sparsert::backend::reference
