// kernels/contract/sddmm.hpp — dense times dense on the entries of a sparse pattern.
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "kernels/views.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// out[e] = x's row i · y's row j for each entry e = (i, j) of the pattern: 16 lanes over k, then a fixed tree.
/// x is (rows x k) and y (cols x k), row-major, or both given transposed: (k x rows), (k x cols).
struct SddmmArgs {
  CsrView pattern;  // its values are not read; its dtype is that of x, y and out
  std::int64_t k;
  const void* x;
  const void* y;
  bool transposed;
  void* out;
};
SPARSERT_OP(sddmm, SddmmArgs);

}  // namespace sparsert::backend
