// kernels/cpu/blas.hpp — the CPU's BLAS as order=fast's dense product.
#pragma once

#include "kernels/contract/matmul.hpp"

namespace sparsert::backend::cpu {

/// The product through a BLAS found at run time. False where there is none, or where our own kernel is the better
/// choice: then nothing was done.
bool blas_matmul(const MatmulArgs& args);

}  // namespace sparsert::backend::cpu
