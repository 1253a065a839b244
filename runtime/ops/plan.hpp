// runtime/ops/plan.hpp — what a plan holds.
#pragma once

#include <memory>

#include "kernels/contract/spmm.hpp"
#include "kernels/contract/spmv.hpp"
#include "sparsert/ops.hpp"

namespace sparsert {

struct Plan::Impl {
  Csr matrix;                                      // with values of its own: a plan is what the matrix was when made
  std::unique_ptr<backend::SpmmPlan> packed;       // null where the device multiplies the matrix as it is
  std::unique_ptr<backend::SpmvPlan> for_vectors;  // made where the plan is for one column
};

}  // namespace sparsert
