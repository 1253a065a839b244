// kernels/reference/reduce.cpp — sums and scalings of rows, one after the other.
#include "kernels/reduce.hpp"

#include "kernels/reference/each.hpp"

namespace sparsert::backend::reference {

void row_sums(const RowSumsArgs& args, const Stream& stream) { Reduce<Each>::row_sums(args, stream); }

void scale(const ScaleArgs& args, const Stream& stream) { Reduce<Each>::scale(args, stream); }

}  // namespace sparsert::backend::reference
