// kernels/cuda/vendor.hpp — NVIDIA's libraries as order=fast's algorithms of a product. Opened at run time.
//
// Each returns false where the library is absent, or does not take the product: then nothing was done, and our own
// kernel serves. The simt device has no such library.
#pragma once

#include "kernels/contract/matmul.hpp"
#include "kernels/contract/spmm.hpp"

namespace sparsert::backend {
namespace cuda {

/// A·B through cuBLAS, without bias and ReLU.
bool cublas_matmul(const MatmulArgs& args, const Stream& stream);

/// alpha·A·B + beta·C through cuSPARSE, without bias and ReLU.
bool cusparse_spmm(const SpmmArgs& args, const Stream& stream);

}  // namespace cuda
namespace simt {

inline bool cublas_matmul(const MatmulArgs&, const Stream&) { return false; }
inline bool cusparse_spmm(const SpmmArgs&, const Stream&) { return false; }

}  // namespace simt
}  // namespace sparsert::backend
