// runtime/ops/spgemm.cpp — sparse times sparse, sparse plus sparse: count, check against the cap, allocate, fill.
#include "kernels/contract/spgemm.hpp"

#include <string>

#include "kernels/dispatch.hpp"
#include "runtime/check_sparse.hpp"
#include "runtime/ops/index.hpp"
#include "runtime/ops/matrix.hpp"
#include "runtime/ops/memory.hpp"
#include "runtime/view.hpp"
#include "sparsert/linalg.hpp"

namespace sparsert {
namespace {

/// Counts by `count`, then fills by `fill`; both are operations of the backend that take two matrices.
template <class CountArgs, class FillArgs>
Csr two_phases(const char* name, const backend::Op<CountArgs>& count, const backend::Op<FillArgs>& fill, const Csr& a,
               const Csr& b, std::int64_t cols, std::int64_t max_bytes, const Stream& stream) {
  const Stream order = stream.on(a.device());
  Tensor offsets = Tensor::empty({a.rows() + 1}, DType::int64, a.device(), order);
  backend::run(count, {view_of(a), view_of(b), static_cast<std::int64_t*>(offsets.mutable_data())}, order);
  const std::int64_t nnz = index_at(offsets, a.rows(), order);
  const DType index = a.index_dtype();
  require(nnz <= index_limit(index), [&] {
    return std::string(name) + ": the result has " + std::to_string(nnz) + " entries, which need int64 indices";
  });
  const double entry = static_cast<double>(size_of(index) + size_of(a.dtype()));
  const double bytes =
      entry * static_cast<double>(nnz) + static_cast<double>(size_of(index)) * static_cast<double>(a.rows() + 1);
  if (max_bytes > 0 && bytes > static_cast<double>(max_bytes)) {
    throw OutOfMemory(std::string(name) + ": the result has " + std::to_string(nnz) + " entries, " +
                      std::to_string(static_cast<std::int64_t>(bytes)) +
                      " bytes, expected at most max_bytes = " + std::to_string(max_bytes));
  }
  Tensor columns = Tensor::empty({nnz}, index, a.device(), order);
  Tensor values = Tensor::empty({nnz}, a.dtype(), a.device(), order);
  backend::run(fill,
               {view_of(a), view_of(b), static_cast<const std::int64_t*>(offsets.data()), columns.mutable_data(),
                values.mutable_data()},
               order);
  return Csr::unchecked(index == DType::int64 ? offsets : cast(offsets, index, order), columns, values, a.rows(), cols);
}

}  // namespace

Csr spgemm(const Csr& a, const Csr& b, const SpgemmOptions& options, const Stream& stream) try {
  check_floating("spgemm", "a", a.dtype());
  check_matrix_like("spgemm", "b", b, a);
  require(b.rows() == a.cols(), [&] {
    return "spgemm: b has " + std::to_string(b.rows()) + " rows, expected a.cols() = " + std::to_string(a.cols());
  });
  require(options.max_bytes >= 0,
          [&] { return "spgemm: max_bytes is " + std::to_string(options.max_bytes) + ", expected at least 0"; });
  return two_phases("spgemm", backend::spgemm_offsets, backend::spgemm, a, b, b.cols(), options.max_bytes, stream);
} catch (...) {
  rethrow_named("spgemm", {&a, &b});
}

Csr add(const Csr& a, const Csr& b, const Stream& stream) try {
  check_matrix_like("add", "b", b, a);
  require(a.shape() == b.shape(),
          [&] { return "add: b has shape " + to_string(b.shape()) + ", expected " + to_string(a.shape()); });
  return two_phases("add", backend::sparse_add_offsets, backend::sparse_add, a, b, a.cols(), 0, stream);
} catch (...) {
  rethrow_named("add", {&a, &b});
}

}  // namespace sparsert
