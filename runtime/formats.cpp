// runtime/formats.cpp — CSC, BSR, N:M and bitmap matrices: the checks their constructors make, moves between devices.
#include "sparsert/formats.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "kernels/contract/formats.hpp"
#include "kernels/dispatch.hpp"
#include "runtime/check_sparse.hpp"
#include "runtime/ops/memory.hpp"

namespace sparsert {
namespace {

std::int64_t groups_of(std::int64_t cols, std::int64_t size) { return cols / size + (cols % size != 0 ? 1 : 0); }

void check_two_sizes(const char* op, const Shape& shape) {
  require(shape.size() == 2 && shape[0] >= 0 && shape[1] >= 0,
          [&] { return std::string(op) + ": shape is " + to_string(shape) + ", expected two sizes of at least 0"; });
}

void check_bytes(const char* op, const char* argument, const Tensor& array, const Device& device) {
  require(array.dtype() == DType::uint8, [&] {
    return std::string(op) + ": " + argument + " is " + std::string(to_string(array.dtype())) + ", expected uint8";
  });
  check_device(op, argument, array.device(), device);
}

/// Positions of a group's slots ascend, empty slots come last; all lie within the columns there are. Counts entries.
std::int64_t check_positions(const Tensor& positions, std::int64_t rows, std::int64_t cols, int n, int m) {
  const Tensor host = on_host(positions);
  const auto slots = host.span<std::uint8_t>();
  const std::int64_t groups = groups_of(cols, m);
  std::int64_t nnz = 0;
  for (std::int64_t group = 0; group < rows * groups; ++group) {
    const std::int64_t width = std::min<std::int64_t>(m, cols - group % groups * m);
    int before = -1;
    for (int s = 0; s < n; ++s) {
      const int position = slots[static_cast<std::size_t>(group * n + s)];
      const bool empty = position == Nm::kEmptySlot;
      require(empty || (position < width && position > before), [&] {
        return "nm: positions[" + std::to_string(group / groups) + ", " + std::to_string(group % groups * n + s) +
               "] is " + std::to_string(position) + (before >= 0 ? " after " + std::to_string(before) : "") +
               ", expected ascending positions below " + std::to_string(width) + ", then 255 for empty slots";
      });
      nnz += empty ? 0 : 1;
      before = empty ? static_cast<int>(width) : position;
    }
  }
  return nnz;
}

Tensor offsets_of_bits(const Tensor& bits, std::int64_t rows, std::int64_t cols, DType index) {
  const Stream order(bits.device());
  Tensor offsets = Tensor::empty({rows + 1}, index, bits.device(), order);
  backend::run(backend::bitmap_offsets,
               {rows, cols, static_cast<const std::uint8_t*>(bits.data()), index, offsets.mutable_data()}, order);
  return offsets;
}

std::int64_t count_bits(const Tensor& bits) {
  const Tensor host = on_host(bits);
  std::int64_t count = 0;
  for (const std::uint8_t byte : host.span<std::uint8_t>()) count += std::popcount(byte);
  return count;
}

}  // namespace

// ---- CSC

Csc::Csc(const Tensor& col_offsets, const Tensor& rows, const Tensor& values, Shape shape) try
    : transposed_(Csr::unchecked(col_offsets, rows, values, 0, 0)) {
  check_index_array("csc", "col_offsets", col_offsets, col_offsets.dtype(), values.device());
  check_index_array("csc", "rows", rows, col_offsets.dtype(), values.device());
  check_matrix_shape("csc", shape, rows.dtype());
  require(shape[1] < INT64_MAX, [&] { return "csc: shape is " + to_string(shape) + ", too large"; });
  check_shape("csc", "col_offsets", col_offsets, {shape[1] + 1});
  check_shape("csc", "values", values, rows.shape());
  // Copies first, so that what is checked is what is kept.
  transposed_ = Csr::unchecked(col_offsets.clone(), rows.clone(), values.clone(), shape[1], shape[0]);
  validate();
} catch (...) {
  rethrow_named("csc", {&col_offsets, &rows, &values});
}

void Csc::validate() const {
  check_compressed({"csc", "col_offsets", "rows", "column"}, col_offsets(), rows(), transposed_.rows(),
                   transposed_.cols());
}

// ---- BSR

Bsr::Bsr(const Tensor& row_offsets, const Tensor& columns, const Tensor& values, Shape shape) try {
  check_index_array("bsr", "row_offsets", row_offsets, row_offsets.dtype(), values.device());
  check_index_array("bsr", "columns", columns, row_offsets.dtype(), values.device());
  check_matrix_shape("bsr", shape, columns.dtype());
  check_rank("bsr", "values", values, 3);
  require(values.size(1) > 0 && values.size(2) > 0, [&] {
    return "bsr: values has shape " + to_string(values.shape()) + ", expected blocks with rows and columns";
  });
  check_shape("bsr", "values", values, {columns.numel(), values.size(1), values.size(2)});
  check_shape("bsr", "row_offsets", row_offsets, {groups_of(shape[0], values.size(1)) + 1});
  row_offsets_ = row_offsets.clone().as_read_only();
  columns_ = columns.clone().as_read_only();
  values_ = values.clone();
  rows_ = shape[0];
  cols_ = shape[1];
  validate();
} catch (...) {
  rethrow_named("bsr", {&row_offsets, &columns, &values});
}

Bsr Bsr::unchecked(Tensor row_offsets, Tensor columns, Tensor values, std::int64_t rows, std::int64_t cols) {
  Bsr matrix;
  matrix.row_offsets_ = row_offsets.as_read_only();
  matrix.columns_ = columns.as_read_only();
  matrix.values_ = std::move(values);
  matrix.rows_ = rows;
  matrix.cols_ = cols;
  return matrix;
}

void Bsr::validate() const {
  const auto [r, c] = block();
  check_compressed({"bsr", "row_offsets", "columns", "row of blocks"}, row_offsets_, columns_, groups_of(rows_, r),
                   groups_of(cols_, c));
}

double Bsr::density() const noexcept {
  return density_of(blocks(), groups_of(rows_, values_.size(1)), groups_of(cols_, values_.size(2)));
}

Bsr Bsr::to(const Device& device, const Stream& stream) const try {
  return unchecked(row_offsets_.to(device, stream), columns_.to(device, stream), values_.to(device, stream), rows_,
                   cols_);
} catch (...) {
  rethrow_named("bsr.to", {this});
}

// ---- N:M

Nm::Nm(const Tensor& values, const Tensor& positions, Shape shape, int n, int m) try {
  check_two_sizes("nm", shape);
  require(n >= 1 && n <= m && m <= kMostM, [&] {
    return "nm: n and m are " + std::to_string(n) + " and " + std::to_string(m) + ", expected 1 <= n <= m <= 32";
  });
  check_bytes("nm", "positions", positions, values.device());
  const Shape expected{shape[0], groups_of(shape[1], m) * n};
  check_shape("nm", "positions", positions, expected);
  check_shape("nm", "values", values, expected);
  values_ = values.clone();
  positions_ = positions.clone().as_read_only();
  rows_ = shape[0];
  cols_ = shape[1];
  n_ = n;
  m_ = m;
  nnz_ = check_positions(positions_, rows_, cols_, n, m);
} catch (...) {
  rethrow_named("nm", {&values, &positions});
}

Nm Nm::unchecked(Tensor values, Tensor positions, std::int64_t rows, std::int64_t cols, int n, int m,
                 std::int64_t nnz) {
  Nm matrix;
  matrix.values_ = std::move(values);
  matrix.positions_ = positions.as_read_only();
  matrix.rows_ = rows;
  matrix.cols_ = cols;
  matrix.n_ = n;
  matrix.m_ = m;
  matrix.nnz_ = nnz;
  return matrix;
}

void Nm::validate() const { check_positions(positions_, rows_, cols_, n_, m_); }

double Nm::density() const noexcept { return density_of(nnz_, rows_, cols_); }

Nm Nm::to(const Device& device, const Stream& stream) const try {
  return unchecked(values_.to(device, stream), positions_.to(device, stream), rows_, cols_, n_, m_, nnz_);
} catch (...) {
  rethrow_named("nm.to", {this});
}

namespace {

/// The places of two slots of a group, empty ones filled so that they ascend; which slot each value goes to.
struct PairOfFour {
  unsigned first;
  unsigned second;
  int slot_of_first;  // of the N:M matrix, or -1: a zero
  int slot_of_second;
};

PairOfFour pair_of(const std::uint8_t* slots) {
  if (slots[0] == Nm::kEmptySlot) return {0, 1, -1, -1};
  if (slots[1] != Nm::kEmptySlot) return {slots[0], slots[1], 0, 1};
  if (slots[0] == 0) return {0, 1, 0, -1};
  return {0, slots[0], -1, 0};
}

}  // namespace

SparseTensorCoreLayout to_sparse_tensor_cores(const Nm& a) try {
  require(a.n() == 2 && a.m() == 4, [&] {
    return "to_sparse_tensor_cores: a is " + std::to_string(a.n()) + ":" + std::to_string(a.m()) + ", expected 2:4";
  });
  const Tensor host_positions = on_host(a.positions());
  const Tensor host_values = on_host(a.values());
  const std::int64_t rows = a.shape()[0];
  const std::int64_t groups = groups_of(a.shape()[1], 4);
  const std::int64_t bytes = groups_of(groups, 2);
  const std::size_t item = size_of(a.dtype());
  const auto slots = host_positions.span<std::uint8_t>();
  const auto* const from = static_cast<const std::byte*>(host_values.data());
  Tensor values = Tensor::zeros({rows, 2 * groups}, a.dtype());
  auto* const to = static_cast<std::byte*>(values.numel() > 0 ? values.mutable_data() : nullptr);
  std::vector<std::uint8_t> metadata(static_cast<std::size_t>(rows * bytes));
  for (std::int64_t group = 0; group < rows * groups; ++group) {
    const PairOfFour pair = pair_of(&slots[static_cast<std::size_t>(group * 2)]);
    const std::size_t at = static_cast<std::size_t>(group * 2) * item;
    if (pair.slot_of_first >= 0)
      std::copy_n(from + at + static_cast<std::size_t>(pair.slot_of_first) * item, item, to + at);
    if (pair.slot_of_second >= 0) {
      std::copy_n(from + at + static_cast<std::size_t>(pair.slot_of_second) * item, item, to + at + item);
    }
    const unsigned bits = pair.first | pair.second << 2;
    const std::int64_t in_row = group % groups;
    metadata[static_cast<std::size_t>(group / groups * bytes + in_row / 2)] |=
        static_cast<std::uint8_t>(bits << (in_row % 2 * 4));
  }
  // The half byte of a group that is not there names two different places too.
  for (std::int64_t row = 0; row < rows && groups % 2 != 0; ++row) {
    metadata[static_cast<std::size_t>((row + 1) * bytes - 1)] |= 0x40u;
  }
  return {values.to(a.device()), Tensor::from(metadata, {rows, bytes}, a.device())};
} catch (...) {
  rethrow_named("to_sparse_tensor_cores", {&a});
}

// ---- bitmap

Bitmap::Bitmap(const Tensor& bits, const Tensor& values, Shape shape, DType index_dtype) try {
  check_index_dtype("bitmap", "index_dtype", index_dtype);
  check_matrix_shape("bitmap", shape, index_dtype);
  check_bytes("bitmap", "bits", bits, values.device());
  check_shape("bitmap", "bits", bits, {shape[0], groups_of(shape[1], 8)});
  check_rank("bitmap", "values", values, 1);
  bits_ = bits.clone().as_read_only();
  const std::int64_t set = count_bits(bits_);
  require(set <= index_limit(index_dtype),
          [&] { return "bitmap: " + std::to_string(set) + " bits are set, which need index_dtype int64"; });
  check_shape("bitmap", "values", values, {set});
  values_ = values.clone();
  rows_ = shape[0];
  cols_ = shape[1];
  row_offsets_ = offsets_of_bits(bits_, rows_, cols_, index_dtype).as_read_only();
  validate();
} catch (...) {
  rethrow_named("bitmap", {&bits, &values});
}

Bitmap Bitmap::unchecked(Tensor bits, Tensor row_offsets, Tensor values, std::int64_t rows, std::int64_t cols) {
  Bitmap matrix;
  matrix.bits_ = bits.as_read_only();
  matrix.row_offsets_ = row_offsets.as_read_only();
  matrix.values_ = std::move(values);
  matrix.rows_ = rows;
  matrix.cols_ = cols;
  return matrix;
}

void Bitmap::validate() const {
  check_shape("bitmap", "values", values_, {count_bits(bits_)});
  if (cols_ % 8 == 0) return;
  const Tensor host = on_host(bits_);
  const auto span = host.span<std::uint8_t>();
  const std::int64_t bytes = groups_of(cols_, 8);
  for (std::int64_t r = 0; r < rows_; ++r) {
    const unsigned last = span[static_cast<std::size_t>((r + 1) * bytes - 1)];
    require(last >> (cols_ % 8) == 0, [&] {
      return "bitmap: bits[" + std::to_string(r) + ", " + std::to_string(bytes - 1) + "] is " + std::to_string(last) +
             ", expected zeros from bit " + std::to_string(cols_ % 8) + " on, past the last column";
    });
  }
}

double Bitmap::density() const noexcept { return density_of(nnz(), rows_, cols_); }

Bitmap Bitmap::to(const Device& device, const Stream& stream) const try {
  return unchecked(bits_.to(device, stream), row_offsets_.to(device, stream), values_.to(device, stream), rows_, cols_);
} catch (...) {
  rethrow_named("bitmap.to", {this});
}

}  // namespace sparsert
