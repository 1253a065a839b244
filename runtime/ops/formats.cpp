// runtime/ops/formats.cpp — conversions between the sparse formats, slices and concatenations: check, allocate,
// dispatch.
#include "sparsert/formats.hpp"

#include <limits>
#include <string>

#include "kernels/contract/formats.hpp"
#include "kernels/dispatch.hpp"
#include "runtime/check_sparse.hpp"
#include "runtime/ops/index.hpp"
#include "runtime/ops/memory.hpp"
#include "runtime/view.hpp"
#include "sparsert/ops.hpp"

namespace sparsert {
namespace {

std::int64_t divide_up(std::int64_t n, std::int64_t by) { return n / by + (n % by != 0 ? 1 : 0); }

backend::BsrView view_of(const Bsr& a) {
  const Shape shape = a.shape();
  const auto [r, c] = a.block();
  return {shape[0],  shape[1],         r, c, a.blocks(), a.index_dtype(), a.row_offsets().data(), a.columns().data(),
          a.dtype(), a.values().data()};
}

backend::NmView view_of(const Nm& a) {
  const Shape shape = a.shape();
  return {shape[0],  shape[1],         a.n(), a.m(), static_cast<const std::uint8_t*>(a.positions().data()),
          a.dtype(), a.values().data()};
}

/// The number of entries must be countable by the index type.
void check_entries(const char* op, double got, DType index) {
  require(got <= static_cast<double>(index_limit(index)), [&] {
    return std::string(op) + ": up to " + std::to_string(static_cast<std::int64_t>(got)) +
           " entries, which need int64 indices, got " + std::string(to_string(index));
  });
}

void copy_part(Tensor& to, std::int64_t at, const Tensor& from, std::int64_t first, std::int64_t count,
               const Stream& stream) {
  const std::size_t item = size_of(from.dtype());
  copy_bytes(static_cast<std::byte*>(to.mutable_data()) + static_cast<std::size_t>(at) * item, to.device(),
             static_cast<const std::byte*>(from.data()) + static_cast<std::size_t>(first) * item, from.device(),
             static_cast<std::size_t>(count) * item, stream);
}

Tensor part_of(const Tensor& from, std::int64_t first, std::int64_t count, const Stream& stream) {
  Tensor part = Tensor::empty({count}, from.dtype(), from.device(), stream);
  copy_part(part, 0, from, first, count, stream);
  return part;
}

Tensor index_scalar(std::int64_t value, DType index, const Device& device) {
  if (index == DType::int64) return Tensor::from(std::vector<std::int64_t>{value}, {1}, device);
  return Tensor::from(std::vector<std::int32_t>{static_cast<std::int32_t>(value)}, {1}, device);
}

Csr stacked(const std::vector<Csr>& matrices, const Stream& stream) {
  const Csr& first = matrices.front();
  std::int64_t rows = 0;
  std::int64_t nnz = 0;
  for (const Csr& a : matrices) {
    rows += a.rows();
    nnz += a.nnz();
  }
  check_entries("concatenate", static_cast<double>(nnz), first.index_dtype());
  check_matrix_shape("concatenate", {rows, first.cols()}, first.index_dtype());
  Tensor row_offsets = Tensor::empty({rows + 1}, first.index_dtype(), first.device(), stream);
  Tensor columns = Tensor::empty({nnz}, first.index_dtype(), first.device(), stream);
  Tensor values = Tensor::empty({nnz}, first.dtype(), first.device(), stream);
  std::int64_t row = 0;
  std::int64_t entry = 0;
  copy_part(row_offsets, 0, first.row_offsets(), 0, 1, stream);
  for (const Csr& a : matrices) {
    const Tensor shifted = add(a.row_offsets(), index_scalar(entry, a.index_dtype(), a.device()), stream);
    copy_part(row_offsets, row + 1, shifted, 1, a.rows(), stream);
    copy_part(columns, entry, a.columns(), 0, a.nnz(), stream);
    copy_part(values, entry, a.values(), 0, a.nnz(), stream);
    row += a.rows();
    entry += a.nnz();
  }
  return Csr::unchecked(row_offsets, columns, values, rows, first.cols());
}

}  // namespace

// ---- CSC

Csr transpose(const Csr& a, const Stream& stream) try {
  const Stream order = stream.on(a.device());
  Tensor row_offsets = Tensor::empty({a.cols() + 1}, a.index_dtype(), a.device(), order);
  Tensor columns = Tensor::empty({a.nnz()}, a.index_dtype(), a.device(), order);
  Tensor values = Tensor::empty({a.nnz()}, a.dtype(), a.device(), order);
  backend::run(backend::transpose,
               {view_of(a), row_offsets.mutable_data(), columns.mutable_data(), values.mutable_data()}, order);
  return Csr::unchecked(row_offsets, columns, values, a.cols(), a.rows());
} catch (...) {
  rethrow_named("transpose", {&a});
}

Csc to_csc(const Csr& a, const Stream& stream) { return Csc::of_transposed(transpose(a, stream)); }

Csc to_csc(const Tensor& dense, DType index_dtype, const Stream& stream) {
  return to_csc(to_csr(dense, index_dtype, stream), stream);
}

Csr Csc::to_csr(const Stream& stream) const { return transpose(transposed_, stream); }

// ---- BSR

Bsr to_bsr(const Csr& a, Block block, const Stream& stream) try {
  const auto [r, c] = block;
  require(r > 0 && c > 0, [&r = r, &c = c] {
    return "to_bsr: block is (" + std::to_string(r) + ", " + std::to_string(c) + "), expected sizes of at least 1";
  });
  const Stream order = stream.on(a.device());
  Tensor row_offsets = Tensor::empty({divide_up(a.rows(), r) + 1}, a.index_dtype(), a.device(), order);
  backend::run(backend::bsr_offsets, {view_of(a), r, c, row_offsets.mutable_data()}, order);
  const std::int64_t blocks = index_at(row_offsets, divide_up(a.rows(), r), order);
  Tensor columns = Tensor::empty({blocks}, a.index_dtype(), a.device(), order);
  Tensor values = Tensor::empty({blocks, r, c}, a.dtype(), a.device(), order);
  backend::run(backend::csr_to_bsr,
               {view_of(a), r, c, row_offsets.data(), columns.mutable_data(), values.mutable_data()}, order);
  return Bsr::unchecked(row_offsets, columns, values, a.rows(), a.cols());
} catch (...) {
  rethrow_named("to_bsr", {&a});
}

Bsr to_bsr(const Tensor& dense, Block block, DType index_dtype, const Stream& stream) {
  return to_bsr(to_csr(dense, index_dtype, stream), block, stream);
}

Csr Bsr::to_csr(const Stream& stream) const try {
  const Stream order = stream.on(device());
  check_entries("to_csr", static_cast<double>(nnz()), index_dtype());
  Tensor row_offsets = Tensor::empty({rows_ + 1}, index_dtype(), device(), order);
  backend::run(backend::bsr_csr_offsets, {view_of(*this), row_offsets.mutable_data()}, order);
  const std::int64_t entries = index_at(row_offsets, rows_, order);
  Tensor columns = Tensor::empty({entries}, index_dtype(), device(), order);
  Tensor values = Tensor::empty({entries}, dtype(), device(), order);
  backend::run(backend::bsr_to_csr, {view_of(*this), row_offsets.data(), columns.mutable_data(), values.mutable_data()},
               order);
  return Csr::unchecked(row_offsets, columns, values, rows_, cols_);
} catch (...) {
  rethrow_named("bsr.to_csr", {this});
}

// ---- N:M

Nm to_nm(const Csr& a, int n, int m, const Stream& stream) try {
  require(n >= 1 && n <= m && m <= Nm::kMostM, [&] {
    return "to_nm: n and m are " + std::to_string(n) + " and " + std::to_string(m) + ", expected 1 <= n <= m <= 32";
  });
  const Stream order = stream.on(a.device());
  const std::int64_t groups = divide_up(a.cols(), m);
  Tensor positions = Tensor::empty({a.rows(), groups * n}, DType::uint8, a.device(), order);
  Tensor values = Tensor::empty({a.rows(), groups * n}, a.dtype(), a.device(), order);
  std::int64_t overfull = -1;
  backend::run(
      backend::csr_to_nm,
      {view_of(a), n, m, static_cast<std::uint8_t*>(positions.mutable_data()), values.mutable_data(), &overfull},
      order);
  require(overfull < 0, [&] {
    const std::int64_t first = overfull % groups * m;
    return "to_nm: row " + std::to_string(overfull / groups) + ", columns " + std::to_string(first) + " to " +
           std::to_string(first + m - 1) + " have more than " + std::to_string(n) + " entries, expected at most n of m";
  });
  return Nm::unchecked(values, positions, a.rows(), a.cols(), n, m, a.nnz());
} catch (...) {
  rethrow_named("to_nm", {&a});
}

Nm to_nm(const Tensor& dense, int n, int m, const Stream& stream) try {
  check_rank("to_nm", "dense", dense, 2);
  const bool wide = dense.numel() > index_limit(DType::int32);
  return to_nm(to_csr(dense, wide ? DType::int64 : DType::int32, stream), n, m, stream);
} catch (...) {
  rethrow_named("to_nm", {&dense});
}

Csr Nm::to_csr(DType index_dtype, const Stream& stream) const try {
  check_index_dtype("to_csr", "index_dtype", index_dtype);
  check_matrix_shape("to_csr", shape(), index_dtype);
  check_entries("to_csr", static_cast<double>(nnz_), index_dtype);
  const Stream order = stream.on(device());
  Tensor row_offsets = Tensor::empty({rows_ + 1}, index_dtype, device(), order);
  backend::run(backend::nm_offsets, {view_of(*this), index_dtype, row_offsets.mutable_data()}, order);
  Tensor columns = Tensor::empty({nnz_}, index_dtype, device(), order);
  Tensor values = Tensor::empty({nnz_}, dtype(), device(), order);
  backend::run(backend::nm_to_csr,
               {view_of(*this), index_dtype, row_offsets.data(), columns.mutable_data(), values.mutable_data()}, order);
  return Csr::unchecked(row_offsets, columns, values, rows_, cols_);
} catch (...) {
  rethrow_named("nm.to_csr", {this});
}

Coo Nm::to_coo(DType index_dtype, const Stream& stream) const { return to_csr(index_dtype, stream).to_coo(stream); }

Tensor Nm::to_dense(const Stream& stream) const try {
  const bool wide =
      rows_ > index_limit(DType::int32) || cols_ > index_limit(DType::int32) || nnz_ > index_limit(DType::int32);
  return to_csr(wide ? DType::int64 : DType::int32, stream).to_dense(stream);
} catch (...) {
  rethrow_named("nm.to_dense", {this});
}

// ---- bitmap

Bitmap to_bitmap(const Csr& a, const Stream& stream) try {
  const Stream order = stream.on(a.device());
  Tensor bits = Tensor::empty({a.rows(), divide_up(a.cols(), 8)}, DType::uint8, a.device(), order);
  backend::run(backend::csr_to_bitmap, {view_of(a), static_cast<std::uint8_t*>(bits.mutable_data())}, order);
  // The values are copied: a matrix never changes because another one did.
  return Bitmap::unchecked(bits, a.row_offsets(), a.values().clone(order), a.rows(), a.cols());
} catch (...) {
  rethrow_named("to_bitmap", {&a});
}

Bitmap to_bitmap(const Tensor& dense, DType index_dtype, const Stream& stream) {
  return to_bitmap(to_csr(dense, index_dtype, stream), stream);
}

Csr Bitmap::to_csr(const Stream& stream) const try {
  const Stream order = stream.on(device());
  Tensor columns = Tensor::empty({nnz()}, index_dtype(), device(), order);
  backend::run(backend::bitmap_columns,
               {rows_, cols_, static_cast<const std::uint8_t*>(bits_.data()), index_dtype(), row_offsets_.data(),
                columns.mutable_data()},
               order);
  return Csr::unchecked(row_offsets_, columns, values_.clone(order), rows_, cols_);
} catch (...) {
  rethrow_named("bitmap.to_csr", {this});
}

// ---- matrices of matrices

Csr prune_zeros(const Csr& a, const Stream& stream) try {
  const Stream order = stream.on(a.device());
  Tensor row_offsets = Tensor::empty({a.rows() + 1}, a.index_dtype(), a.device(), order);
  backend::run(backend::nonzero_offsets, {view_of(a), row_offsets.mutable_data()}, order);
  const std::int64_t kept = index_at(row_offsets, a.rows(), order);
  Tensor columns = Tensor::empty({kept}, a.index_dtype(), a.device(), order);
  Tensor values = Tensor::empty({kept}, a.dtype(), a.device(), order);
  backend::run(backend::drop_zeros, {view_of(a), row_offsets.data(), columns.mutable_data(), values.mutable_data()},
               order);
  return Csr::unchecked(row_offsets, columns, values, a.rows(), a.cols());
} catch (...) {
  rethrow_named("prune_zeros", {&a});
}

Csr slice_rows(const Csr& a, std::int64_t begin, std::int64_t end, const Stream& stream) try {
  require(begin >= 0 && begin <= end && end <= a.rows(), [&] {
    return "slice_rows: rows " + std::to_string(begin) + " to " + std::to_string(end) + ", expected a range within " +
           std::to_string(a.rows()) + " rows";
  });
  const Stream order = stream.on(a.device());
  const std::int64_t first = index_at(a.row_offsets(), begin, order);
  const std::int64_t count = index_at(a.row_offsets(), end, order) - first;
  const Tensor offsets = subtract(part_of(a.row_offsets(), begin, end - begin + 1, order),
                                  index_scalar(first, a.index_dtype(), a.device()), order);
  return Csr::unchecked(offsets, part_of(a.columns(), first, count, order), part_of(a.values(), first, count, order),
                        end - begin, a.cols());
} catch (...) {
  rethrow_named("slice_rows", {&a});
}

Csr concatenate(const std::vector<Csr>& matrices, int axis, const Stream& stream) try {
  require(!matrices.empty(), [] { return std::string("concatenate: no matrices, expected at least one"); });
  require(axis == 0 || axis == 1, [&] { return "concatenate: axis is " + std::to_string(axis) + ", expected 0 or 1"; });
  const Csr& first = matrices.front();
  const Stream order = stream.on(first.device());
  for (std::size_t i = 1; i < matrices.size(); ++i) {
    const Csr& a = matrices[i];
    const std::string name = "matrices[" + std::to_string(i) + "]";
    check_device("concatenate", name.c_str(), a.device(), first.device());
    check_same_dtype("concatenate", name.c_str(), a.values(), first.values());
    require(a.index_dtype() == first.index_dtype(), [&] {
      return "concatenate: " + name + " has " + std::string(to_string(a.index_dtype())) + " indices, expected " +
             std::string(to_string(first.index_dtype())) + " like the first";
    });
    require(axis == 0 ? a.cols() == first.cols() : a.rows() == first.rows(), [&] {
      return "concatenate: " + name + " has shape " + to_string(a.shape()) + ", expected " +
             (axis == 0 ? std::to_string(first.cols()) + " columns" : std::to_string(first.rows()) + " rows") +
             " like the first";
    });
  }
  if (axis == 0) return stacked(matrices, order);
  std::vector<Csr> transposed;
  for (const Csr& a : matrices) transposed.push_back(transpose(a, order));
  return transpose(stacked(transposed, order), order);
} catch (...) {
  rethrow_named("concatenate", {matrices.empty() ? nullptr : &matrices.front()});
}

Coo coalesce(const Coo& a, const Stream& stream) { return a.to_csr(stream).to_coo(stream); }

}  // namespace sparsert
