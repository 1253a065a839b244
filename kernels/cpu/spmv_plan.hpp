// kernels/cpu/spmv_plan.hpp — a sparse matrix packed for products with one vector.
//
// Eight rows are a slab, one row to a lane; four slabs, of rows with about the same number of entries, are a group and
// walk side by side, so that their sums hide each other's latency. A step of a slab looks at a window of eight
// elements of x, which is one load; each lane takes at most one entry in it, found by a permutation of that register.
// So an index costs three bits, and nothing is gathered. A lane without an entry in the window takes 0 times an element
// of x, which changes no sum while x is finite: where it is not, the CSR kernel serves.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/contract/spmv.hpp"
#include "kernels/numerics.hpp"

namespace sparsert::backend::cpu {

inline constexpr std::int64_t kSlab = 8;                // rows of a slab, and elements of a window
inline constexpr std::int64_t kSlabs = 4;               // of a group
inline constexpr std::int64_t kGroup = kSlab * kSlabs;  // its rows, and values of a step
inline constexpr std::int64_t kSlabIndexBits = 3;       // of a lane's place in the window
inline constexpr int kAdvanceShift = 24;                // above them: how far the window moves before the step
inline constexpr std::int64_t kMostAdvance = 255;

class PackedSlabs final : public SpmvPlan {
 public:
  /// Null where windows would be too empty to pay.
  static std::unique_ptr<PackedSlabs> make(const CsrView& a);

  void update_values(const void* values, const Stream& stream) override;
  std::int64_t bytes() const noexcept override;

  std::int64_t groups() const noexcept { return static_cast<std::int64_t>(first_steps_.size()) - 1; }
  std::int64_t pieces() const noexcept { return pieces_; }
  std::int64_t steps() const noexcept { return first_steps_.back(); }
  /// Its kGroup rows, lane by lane; -1: none.
  const std::int64_t* rows(std::int64_t group) const noexcept { return rows_.data() + group * kGroup; }
  /// Steps in each piece.
  const std::int32_t* counts(std::int64_t group) const noexcept { return counts_.data() + group * pieces_; }
  /// kSlabs words for each step.
  const std::uint32_t* words(std::int64_t group) const noexcept { return words_.data() + first_steps_[group] * kSlabs; }
  /// kGroup values for each step.
  const float* values(std::int64_t group) const noexcept { return values_.data() + first_steps_[group] * kGroup; }

 private:
  explicit PackedSlabs(const CsrView& a) : a_(a), pieces_((a.cols + kPiece - 1) / kPiece) {}

  template <class T, class I>
  void pack();
  void pack();
  template <class I>
  void order_rows();
  template <class T, class I>
  void pack_slab(std::int64_t group, std::int64_t slab, std::int64_t piece, std::int64_t* heads);

  CsrView a_;  // of the plan's own matrix, which outlives it
  std::int64_t pieces_;
  std::vector<std::int64_t> rows_;
  std::vector<std::int32_t> counts_;
  std::vector<std::int64_t> first_steps_;
  std::vector<std::uint32_t> words_;
  std::vector<float> values_;
};

}  // namespace sparsert::backend::cpu
