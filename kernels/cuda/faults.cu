// kernels/cuda/faults.cu — what Thrust throws, as the library's own errors. The type has a name that only nvcc knows.
#include <thrust/system/cuda/error.h>
#include <thrust/system_error.h>

#include "kernels/dispatch.hpp"

namespace sparsert::backend::cuda {

void rethrow(const Stream& stream) {
  try {
    throw;
  } catch (const thrust::system_error& error) {
    if (error.code().category() != thrust::cuda_category()) throw;
    sparsert::cuda::throw_fault(error.code().value(), error.what(), stream);
  }
}

}  // namespace sparsert::backend::cuda
