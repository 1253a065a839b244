// runtime/ops/spmv.cpp — sparse times a vector: check, allocate, dispatch.
#include "kernels/contract/spmv.hpp"

#include "kernels/dispatch.hpp"
#include "runtime/ops/matrix.hpp"
#include "runtime/ops/memory.hpp"
#include "runtime/ops/plan.hpp"
#include "runtime/view.hpp"
#include "sparsert/linalg.hpp"

namespace sparsert {
namespace {

Tensor multiply(const Csr& a, const backend::SpmvPlan* plan, const Tensor& x, const Stream& stream) try {
  check_floating("spmv", "a", a.dtype());
  check_operand("spmv", "x", x, a, {a.cols()});
  const Stream order = stream.on(a.device());
  Tensor y = Tensor::empty({a.rows()}, a.dtype(), a.device(), order);
  backend::run(backend::spmv, {view_of(a), plan, x.data(), y.mutable_data()}, order);
  return y;
} catch (...) {
  rethrow_named("spmv", {&a, &x});
}

}  // namespace

Tensor spmv(const Csr& a, const Tensor& x, const Stream& stream) { return multiply(a, nullptr, x, stream); }

Tensor spmv(const Plan& plan, const Tensor& x, const Stream& stream) {
  return multiply(plan.matrix(), plan.impl().for_vectors.get(), x, stream);
}

}  // namespace sparsert
