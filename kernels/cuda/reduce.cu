// kernels/cuda/reduce.cu — sums and scalings of rows, a thread each.
#include "kernels/reduce.hpp"

#include "kernels/cuda/each.cuh"

namespace sparsert::backend::SPARSERT_BACKEND {

void row_sums(const RowSumsArgs& args, const Stream& stream) { Reduce<Each>::row_sums(args, stream); }

void scale(const ScaleArgs& args, const Stream& stream) { Reduce<Each>::scale(args, stream); }

}  // namespace sparsert::backend::SPARSERT_BACKEND
