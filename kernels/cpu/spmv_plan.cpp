// kernels/cpu/spmv_plan.cpp — packing a sparse matrix for products with one vector.
#include "kernels/cpu/spmv_plan.hpp"

#include <algorithm>
#include <memory>
#include <numeric>

#include "kernels/dispatch.hpp"
#include "kernels/elementwise.hpp"

namespace sparsert::backend::cpu {
namespace {

constexpr std::int64_t kFewestEntries = 5;  // of a step of kGroup, below which CSR is as fast

}  // namespace

std::unique_ptr<PackedSlabs> PackedSlabs::make(const CsrView& a) {
  if (a.dtype == DType::float64 || a.nnz == 0) return nullptr;
  std::unique_ptr<PackedSlabs> plan(new PackedSlabs(a));
  plan->pack();
  if (a.nnz < kFewestEntries * plan->steps()) return nullptr;
  return plan;
}

void PackedSlabs::update_values(const void* values, const Stream&) {
  a_.values = values;
  pack();
}

std::int64_t PackedSlabs::bytes() const noexcept {
  return static_cast<std::int64_t>((rows_.size() + first_steps_.size()) * sizeof(std::int64_t) +
                                   (counts_.size() + words_.size() + values_.size()) * 4);
}

void PackedSlabs::pack() {
  dispatch_any_float("spmv_plan", a_.dtype, [&]<class T>() {
    if constexpr (std::is_same_v<Compute<T>, float>) {
      dispatch_index("spmv_plan", a_.index, [&]<class I>() { pack<T, I>(); });
    }
  });
}

/// Rows by falling number of entries, ties in order: what walks side by side should end together.
template <class I>
void PackedSlabs::order_rows() {
  const auto* offsets = static_cast<const I*>(a_.row_offsets);
  rows_.resize(static_cast<std::size_t>(a_.rows));
  std::iota(rows_.begin(), rows_.end(), std::int64_t{0});
  std::stable_sort(rows_.begin(), rows_.end(), [&](std::int64_t r, std::int64_t s) {
    return offsets[r + 1] - offsets[r] > offsets[s + 1] - offsets[s];
  });
  rows_.resize(static_cast<std::size_t>((a_.rows + kGroup - 1) / kGroup * kGroup), -1);
}

template <class T, class I>
void PackedSlabs::pack() {
  order_rows<I>();
  const auto* offsets = static_cast<const I*>(a_.row_offsets);
  const auto count = static_cast<std::int64_t>(rows_.size()) / kGroup;
  counts_.assign(static_cast<std::size_t>(count * pieces_), 0);
  first_steps_.assign(1, 0);
  words_.clear();
  values_.clear();
  for (std::int64_t group = 0; group < count; ++group) {
    std::int64_t heads[kGroup] = {};
    for (std::int64_t lane = 0; lane < kGroup; ++lane) {
      if (const std::int64_t row = rows(group)[lane]; row >= 0) heads[lane] = static_cast<std::int64_t>(offsets[row]);
    }
    std::int64_t steps = first_steps_.back();
    for (std::int64_t piece = 0; piece < pieces_; ++piece) {
      for (std::int64_t slab = 0; slab < kSlabs; ++slab) pack_slab<T, I>(group, slab, piece, heads + slab * kSlab);
      steps += counts(group)[piece];
    }
    first_steps_.push_back(steps);
  }
}

/// The entries of a slab within a piece, from `heads` on, which move behind them. Steps that no slab before had are
/// appended for all of the group.
template <class T, class I>
void PackedSlabs::pack_slab(std::int64_t group, std::int64_t slab, std::int64_t piece, std::int64_t* heads) {
  const auto* offsets = static_cast<const I*>(a_.row_offsets);
  const auto* columns = static_cast<const I*>(a_.columns);
  const auto* values = static_cast<const T*>(a_.values);
  const std::int64_t* const row = rows(group) + slab * kSlab;
  const std::int64_t end = std::min(a_.cols, (piece + 1) * kPiece);
  std::int32_t& count = counts_[static_cast<std::size_t>(group * pieces_ + piece)];
  const std::int64_t first = static_cast<std::int64_t>(words_.size()) / kSlabs - count;
  // The column at a lane's head; `end` where the lane has none left in the piece.
  const auto next = [&](std::int64_t lane) {
    if (row[lane] < 0 || heads[lane] == static_cast<std::int64_t>(offsets[row[lane] + 1])) return end;
    return std::min(end, static_cast<std::int64_t>(columns[heads[lane]]));
  };
  std::int64_t window = piece * kPiece;
  for (std::int64_t step = 0;; ++step) {
    std::int64_t nearest = end;
    for (std::int64_t lane = 0; lane < kSlab; ++lane) nearest = std::min(nearest, next(lane));
    if (nearest == end) return;
    if (step == count) {
      ++count;
      words_.resize(words_.size() + kSlabs);
      values_.resize(values_.size() + kGroup);
    }
    const std::int64_t advance = std::min(nearest - window, kMostAdvance);
    window += advance;
    auto word = static_cast<std::uint32_t>(advance) << kAdvanceShift;
    for (std::int64_t lane = 0; lane < kSlab; ++lane) {
      const std::int64_t place = next(lane) - window;
      if (place >= std::min(kSlab, end - window)) continue;
      word |= static_cast<std::uint32_t>(place) << (kSlabIndexBits * lane);
      values_[static_cast<std::size_t>(((first + step) * kSlabs + slab) * kSlab + lane)] = widen(values[heads[lane]++]);
    }
    words_[static_cast<std::size_t>((first + step) * kSlabs + slab)] = word;
  }
}

}  // namespace sparsert::backend::cpu
