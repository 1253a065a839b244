// kernels/contract/spmv.hpp — sparse times a vector: what each operation is given.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/op.hpp"
#include "kernels/views.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// What a backend prepared once for products with vectors. Opaque above kernels/.
struct SpmvPlan {
  virtual ~SpmvPlan() = default;
  /// Takes new values for the same pattern, in the CSR order of the matrix the plan was made of.
  virtual void update_values(const void* values, const Stream& stream) = 0;
  virtual std::int64_t bytes() const noexcept = 0;
};

/// *plan stays null where the backend has nothing to prepare.
struct SpmvPlanArgs {
  CsrView a;
  std::unique_ptr<SpmvPlan>* plan;
};
SPARSERT_OP(spmv_plan, SpmvPlanArgs);

/// y = A·x in the canonical order of spmm.
struct SpmvArgs {
  CsrView a;
  const SpmvPlan* plan;  // null: none was made
  const void* x;
  void* y;
};
SPARSERT_OP(spmv, SpmvArgs);

}  // namespace sparsert::backend
