// kernels/cpu/reduce.cpp — sums and scalings of rows, on threads.
#include "kernels/reduce.hpp"

#include "kernels/cpu/each.hpp"

namespace sparsert::backend::cpu {

void row_sums(const RowSumsArgs& args, const Stream& stream) { Reduce<Each>::row_sums(args, stream); }

void scale(const ScaleArgs& args, const Stream& stream) { Reduce<Each>::scale(args, stream); }

}  // namespace sparsert::backend::cpu
