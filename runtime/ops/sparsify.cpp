// runtime/ops/sparsify.cpp — pruning, counting zeros, and dense <-> sparse: check, allocate, dispatch.
#include <cmath>

#include "kernels/contract/sparsify.hpp"
#include "kernels/dispatch.hpp"
#include "runtime/check_sparse.hpp"
#include "runtime/ops/index.hpp"
#include "runtime/ops/memory.hpp"
#include "runtime/view.hpp"
#include "sparsert/ops.hpp"
#include "sparsert/prune.hpp"
#include "sparsert/sparse.hpp"

namespace sparsert {
namespace {

void check_fits(const char* op, const char* what, std::int64_t got, DType index) {
  require(got <= index_limit(index), [&] {
    return std::string(op) + ": dense has " + std::to_string(got) + " " + what +
           ", which needs index_dtype int64, got int32";
  });
}

Csr dense_to_csr(const char* op, const Tensor& dense, DType index, const Stream& stream) try {
  check_rank(op, "dense", dense, 2);
  check_index_dtype(op, "index_dtype", index);
  const std::int64_t rows = dense.size(0);
  const std::int64_t cols = dense.size(1);
  check_fits(op, "rows", rows, index);
  check_fits(op, "columns", cols, index);
  // The non-zeros themselves are counted only where they might be too many.
  if (dense.numel() > index_limit(index)) {
    check_fits(op, "non-zeros", count_nonzero(dense, stream), index);
  }
  Tensor row_offsets = Tensor::empty({rows + 1}, index, dense.device(), stream);
  backend::run(backend::csr_offsets, {dense.dtype(), rows, cols, dense.data(), index, row_offsets.mutable_data()},
               stream);
  const std::int64_t nnz = index_at(row_offsets, rows, stream);
  Tensor columns = Tensor::empty({nnz}, index, dense.device(), stream);
  Tensor values = Tensor::empty({nnz}, dense.dtype(), dense.device(), stream);
  backend::run(backend::dense_to_csr,
               {dense.dtype(), rows, cols, dense.data(), index, row_offsets.data(), columns.mutable_data(),
                values.mutable_data()},
               stream);
  return Csr::unchecked(row_offsets, columns, values, rows, cols);
} catch (...) {
  rethrow_named(op, {&dense});
}

/// The first `count` elements, in memory of their own size.
Tensor first_of(const Tensor& tensor, std::int64_t count, const Stream& stream) {
  if (count == tensor.numel()) return tensor;
  Tensor out = Tensor::empty({count}, tensor.dtype(), tensor.device(), stream);
  copy_bytes(out.mutable_data(), out.device(), tensor.data(), tensor.device(), static_cast<std::size_t>(out.nbytes()),
             stream);
  return out;
}

std::vector<Tensor> prune_together(const char* op, const std::vector<Tensor>& tensors, double amount,
                                   const Stream& stream) try {
  require(amount >= 0 && amount <= 1, [&] {  // also false for NaN
    return std::string(op) + ": amount is " + std::to_string(amount) + ", expected 0 to 1";
  });
  std::vector<Tensor> pruned;
  std::vector<backend::PruneTensor> parts;
  std::int64_t total = 0;
  for (const Tensor& x : tensors) {
    pruned.push_back(Tensor::empty(x.shape(), x.dtype(), x.device(), stream));
    parts.push_back({x.numel(), x.data(), pruned.back().mutable_data()});
    total += x.numel();
  }
  const auto remove = static_cast<std::int64_t>(std::nearbyint(amount * static_cast<double>(total)));
  bool nan_reached = false;
  backend::run(backend::prune_magnitude, {tensors.front().dtype(), parts, remove, &nan_reached}, stream);
  require(!nan_reached, [&] {
    return std::string(op) + ": amount " + std::to_string(amount) + " removes " + std::to_string(remove) + " of " +
           std::to_string(total) + " entries, expected no more than there are without the NaNs, which are kept";
  });
  return pruned;
} catch (...) {
  rethrow_named(op, {&tensors.front()});
}

}  // namespace

std::int64_t count_nonzero(const Tensor& x, const Stream& stream) try {
  std::int64_t result = 0;
  backend::run(backend::count_nonzero, {x.dtype(), x.numel(), x.data(), &result}, stream.on(x.device()));
  return result;
} catch (...) {
  rethrow_named("count_nonzero", {&x});
}

double sparsity(const Tensor& x, const Stream& stream) {
  const std::int64_t n = x.numel();
  return n == 0 ? 0.0 : static_cast<double>(n - count_nonzero(x, stream)) / static_cast<double>(n);
}

Csr to_csr(const Tensor& dense, DType index_dtype, const Stream& stream) {
  return dense_to_csr("to_csr", dense, index_dtype, stream.on(dense.device()));
}

Coo to_coo(const Tensor& dense, DType index_dtype, const Stream& stream) {
  const Stream order = stream.on(dense.device());
  return dense_to_csr("to_coo", dense, index_dtype, order).to_coo(order);
}

Tensor Csr::to_dense(const Stream& stream) const try {
  const Stream order = stream.on(device());
  Tensor dense = Tensor::empty(shape(), dtype(), device(), order);
  backend::run(backend::csr_to_dense, {view_of(*this), dense.mutable_data()}, order);
  return dense;
} catch (...) {
  rethrow_named("csr.to_dense", {this});
}

Coo Csr::to_coo(const Stream& stream) const try {
  const Stream order = stream.on(device());
  Tensor rows = Tensor::empty({nnz()}, index_dtype(), device(), order);
  backend::run(backend::csr_to_coo, {view_of(*this), rows.mutable_data()}, order);
  // The values are copied: a matrix never changes because another one did.
  return Coo::unchecked(rows, columns_, values_.clone(order), rows_, cols_);
} catch (...) {
  rethrow_named("csr.to_coo", {this});
}

Csr Coo::to_csr(const Stream& stream) const try {
  const Stream order = stream.on(device());
  Tensor row_offsets = Tensor::empty({rows_ + 1}, index_dtype(), device(), order);
  Tensor columns = Tensor::empty({nnz()}, index_dtype(), device(), order);
  Tensor values = Tensor::empty({nnz()}, dtype(), device(), order);
  std::int64_t unique = 0;
  backend::run(backend::coo_to_csr,
               {{rows_, cols_, nnz(), index_dtype(), row_indices_.data(), columns_.data(), dtype(), values_.data()},
                row_offsets.mutable_data(),
                columns.mutable_data(),
                values.mutable_data(),
                &unique},
               order);
  return Csr::unchecked(row_offsets, first_of(columns, unique, order), first_of(values, unique, order), rows_, cols_);
} catch (...) {
  rethrow_named("coo.to_csr", {this});
}

Tensor Coo::to_dense(const Stream& stream) const { return to_csr(stream).to_dense(stream); }

namespace prune {

Tensor magnitude(const Tensor& x, double amount, const Stream& stream) try {
  return prune_together("prune::magnitude", {x}, amount, stream.on(x.device())).front();
} catch (...) {
  rethrow_named("prune::magnitude", {&x});
}

NamedTensors global_magnitude(const NamedTensors& tensors, double amount, const Stream& stream) try {
  constexpr const char* kOp = "prune::global_magnitude";
  std::vector<Tensor> inputs;
  for (const auto& [name, x] : tensors) {
    check_same_dtype(kOp, name.c_str(), x, tensors.front().second);
    check_same_device(kOp, name.c_str(), x, tensors.front().second);
    inputs.push_back(x);
  }
  if (inputs.empty()) {
    require(amount >= 0 && amount <= 1,
            [&] { return std::string(kOp) + ": amount is " + std::to_string(amount) + ", expected 0 to 1"; });
    return {};
  }
  const std::vector<Tensor> pruned = prune_together(kOp, inputs, amount, stream.on(inputs.front().device()));
  NamedTensors result;
  for (std::size_t i = 0; i < tensors.size(); ++i) result.emplace_back(tensors[i].first, pruned[i]);
  return result;
} catch (...) {
  rethrow_named("prune::global_magnitude", {tensors.empty() ? nullptr : &tensors.front().second});
}

}  // namespace prune
}  // namespace sparsert
