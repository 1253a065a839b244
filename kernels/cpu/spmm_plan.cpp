// kernels/cpu/spmm_plan.cpp — packing a sparse matrix for the panel kernel.
#include "kernels/cpu/spmm_plan.hpp"

#include <algorithm>

#include "kernels/contract/spmm.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/elementwise.hpp"

namespace sparsert::backend::cpu {
namespace {

/// The rows [0, rows) by falling number of entries, ties in order. Counting sort: counts are at most kPiece.
void sort_by_count(const std::int64_t* begins, const std::int64_t* ends, std::int64_t rows,
                   std::vector<std::uint16_t>& order) {
  std::int64_t starts[kPiece + 2] = {};
  for (std::int64_t r = 0; r < rows; ++r) ++starts[kPiece - (ends[r] - begins[r]) + 1];
  for (std::int64_t c = 1; c <= kPiece + 1; ++c) starts[c] += starts[c - 1];
  for (std::int64_t r = 0; r < rows; ++r) {
    order[static_cast<std::size_t>(starts[kPiece - (ends[r] - begins[r])]++)] = static_cast<std::uint16_t>(r);
  }
}

}  // namespace

template <class A>
PackedCsr<A>::PackedCsr(const CsrView& a, const PanelShape& shape)
    : a_(a),
      shape_(shape),
      blocks_m_((a.rows + shape.block_m - 1) / shape.block_m),
      blocks_k_((a.cols + shape.block_k - 1) / shape.block_k) {
  pack();
}

template <class A>
void PackedCsr<A>::update_values(const void* values, const Stream&) {
  a_.values = values;
  pack();
}

template <class A>
std::int64_t PackedCsr<A>::bytes() const noexcept {
  return static_cast<std::int64_t>(blocks_.size() * sizeof(PackedBlock) + (rows_.size() + counts_.size()) * 2 +
                                   offsets_.size() * 2 + values_.size() * sizeof(A));
}

template <class A>
void PackedCsr<A>::pack() {
  blocks_.clear();
  rows_.clear();
  counts_.clear();
  offsets_.clear();
  values_.clear();
  dispatch_any_float("spmm_plan", a_.dtype, [&]<class T>() {
    if constexpr (std::is_same_v<Compute<T>, A>) {
      dispatch_index("spmm_plan", a_.index, [&]<class I>() { pack<T, I>(); });
    }
  });
}

template <class A>
template <class T, class I>
void PackedCsr<A>::pack() {
  const auto* row_offsets = static_cast<const I*>(a_.row_offsets);
  const auto* columns = static_cast<const I*>(a_.columns);
  const auto nnz = static_cast<std::size_t>(a_.nnz);
  offsets_.reserve(nnz + nnz / 16 + 64);
  values_.reserve(nnz + nnz / 16 + 64);
  const auto most = static_cast<std::size_t>(shape_.block_m);
  std::vector<std::int64_t> begins(most);
  std::vector<std::int64_t> ends(most);
  std::vector<std::uint16_t> order(most);
  for (std::int64_t row0 = 0; row0 < a_.rows; row0 += shape_.block_m) {
    const std::int64_t rows = std::min(shape_.block_m, a_.rows - row0);
    for (std::int64_t r = 0; r < rows; ++r) ends[static_cast<std::size_t>(r)] = row_offsets[row0 + r];
    for (std::int64_t bk = 0; bk < blocks_k_; ++bk) {
      const std::int64_t k0 = bk * shape_.block_k;
      const std::int64_t k1 = k0 + shape_.block_k;
      for (std::int64_t r = 0; r < rows; ++r) {
        auto& end = ends[static_cast<std::size_t>(r)];
        begins[static_cast<std::size_t>(r)] = end;
        const std::int64_t last = row_offsets[row0 + r + 1];
        while (end < last && columns[end] < k1) ++end;
      }
      sort_by_count(begins.data(), ends.data(), rows, order);
      PackedBlock block{static_cast<std::int64_t>(counts_.size()), 0, static_cast<std::int64_t>(values_.size())};
      // A row without entries is left out where its sums stay as they are: in a block that neither begins a piece nor
      // ends one, and in one that does both. The first and the last block hold every row.
      const bool begins_piece = k0 % kPiece == 0;
      const bool ends_piece = k1 % kPiece == 0;
      const bool keep_empty = bk == 0 || bk + 1 == blocks_k_ || begins_piece != ends_piece;
      for (std::int64_t g = 0; g < rows; g += shape_.rows) {
        const auto longest = order[static_cast<std::size_t>(g)];
        if (ends[longest] == begins[longest] && !keep_empty) break;
        pack_group<T, I>(begins.data(), ends.data(), order.data() + g, std::min(shape_.rows, rows - g), k0);
        ++block.groups;
      }
      blocks_.push_back(block);
    }
  }
  // The kernel reads values in whole 16-byte blocks.
  values_.resize(values_.size() + 4);
}

template <class A>
template <class T, class I>
void PackedCsr<A>::pack_group(const std::int64_t* begins, const std::int64_t* ends, const std::uint16_t* order,
                              std::int64_t rows_left, std::int64_t k0) {
  const auto* columns = static_cast<const I*>(a_.columns);
  const auto* values = static_cast<const T*>(a_.values);
  const std::int64_t eighths = shape_.width * static_cast<std::int64_t>(sizeof(A)) / 8;
  const std::int64_t count = ends[order[0]] - begins[order[0]];
  counts_.push_back(static_cast<std::uint16_t>(count));
  for (std::int64_t r = 0; r < shape_.rows; ++r) {
    rows_.push_back(r < rows_left ? order[r] : static_cast<std::uint16_t>(shape_.block_m));
  }
  for (std::int64_t step = 0; step < count; ++step) {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      const bool real = r < rows_left && begins[order[r]] + step < ends[order[r]];
      const std::int64_t e = real ? begins[order[r]] + step : 0;
      offsets_.push_back(static_cast<std::uint16_t>((real ? columns[e] - k0 : shape_.block_k) * eighths));
      values_.push_back(real ? widen(values[e]) : A{0});
    }
  }
}

template class PackedCsr<float>;
template class PackedCsr<double>;

}  // namespace sparsert::backend::cpu
