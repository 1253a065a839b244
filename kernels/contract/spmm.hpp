// kernels/contract/spmm.hpp — sparse times dense: what each operation is given.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/op.hpp"
#include "kernels/views.hpp"
#include "sparsert/order.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// What a backend prepared once for a matrix (packed blocks, row order). Opaque above kernels/.
struct SpmmPlan {
  virtual ~SpmmPlan() = default;
  /// Takes new values for the same pattern, in the CSR order of the matrix the plan was made of.
  virtual void update_values(const void* values, const Stream& stream) = 0;
  virtual std::int64_t bytes() const noexcept = 0;
};

struct SpmmPlanArgs {
  CsrView a;
  std::int64_t n;  // the width of B the plan is tuned for; any other works too
  std::unique_ptr<SpmmPlan>* plan;
};
SPARSERT_OP(spmm_plan, SpmmPlanArgs);

/// C = act(alpha * A·B + beta * C + bias), A sparse (m x k), B (k x n), C (m x n); bias per row of A.
/// B and C are row-major, or both column-major: then it is Cᵀ = Bᵀ·Aᵀ, the layer y = x·Wᵀ.
struct SpmmArgs {
  CsrView a;
  const SpmmPlan* plan;  // null: none was made
  std::int64_t n;
  const void* b;
  void* c;
  bool column_major;
  const void* bias;  // null: none
  bool relu;
  double alpha;
  double beta;  // 0: C is not read
  Order order;
};
SPARSERT_OP(spmm, SpmmArgs);

}  // namespace sparsert::backend
