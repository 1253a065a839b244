// device/libraries.hpp — the vendors' libraries that order=fast may use, opened when first asked for.
#pragma once

#include "device/shared_library.hpp"

namespace sparsert::libraries {

/// Not open where CUDA is not usable: loading them takes a second, and nothing could use them.
const SharedLibrary& cublas();
const SharedLibrary& cusparse();

/// The CPU's: SPARSERT_BLAS names the file ("none": no library), else OpenBLAS, BLIS or MKL, whichever is found first.
const SharedLibrary& blas();

}  // namespace sparsert::libraries
