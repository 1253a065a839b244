// kernels/cpu/spmm_plan.hpp — a sparse matrix packed for the panel kernel.
//
// The matrix is cut into blocks of `block_m` rows by `block_k` columns. Within a block the rows are sorted by their
// number of entries, so that trip counts repeat, and taken in groups of `rows` whose entries are interleaved. An entry
// is its value and the offset of its row of the panel, in eighths of bytes; the shorter rows of a group are filled up
// with zeros that point at the panel's own zero row, never at an operand.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/contract/spmm.hpp"
#include "kernels/numerics.hpp"

namespace sparsert::backend::cpu {

/// The form of a packing.
struct PanelShape {
  std::int64_t width;    // columns of B in a panel
  std::int64_t rows;     // rows of A in a group
  std::int64_t block_k;  // rows of a panel that stay in the first-level cache; divides kPiece
  std::int64_t block_m;  // rows of A whose sums stay in the second-level cache
};

/// Entries of `block_m` rows within `block_k` columns.
struct PackedBlock {
  std::int64_t group;  // first of `groups`
  std::int64_t groups;
  std::int64_t entry;  // first of its values and offsets
};

template <class A>
class PackedCsr final : public SpmmPlan {
 public:
  PackedCsr(const CsrView& a, const PanelShape& shape);

  void update_values(const void* values, const Stream& stream) override;
  std::int64_t bytes() const noexcept override;

  const PanelShape& shape() const noexcept { return shape_; }
  std::int64_t blocks_m() const noexcept { return blocks_m_; }
  std::int64_t blocks_k() const noexcept { return blocks_k_; }
  const PackedBlock& block(std::int64_t bm, std::int64_t bk) const { return blocks_[bm * blocks_k_ + bk]; }
  const std::uint16_t* rows() const noexcept { return rows_.data(); }      // within the block; block_m: none
  const std::uint16_t* counts() const noexcept { return counts_.data(); }  // entries of each row of a group
  const std::uint16_t* offsets() const noexcept { return offsets_.data(); }
  const A* values() const noexcept { return values_.data(); }

 private:
  template <class T, class I>
  void pack();
  void pack();
  template <class T, class I>
  void pack_group(const std::int64_t* begins, const std::int64_t* ends, const std::uint16_t* order,
                  std::int64_t rows_left, std::int64_t k0);

  CsrView a_;  // of the plan's own matrix, which outlives it
  PanelShape shape_;
  std::int64_t blocks_m_;
  std::int64_t blocks_k_;
  std::vector<PackedBlock> blocks_;
  std::vector<std::uint16_t> rows_;
  std::vector<std::uint16_t> counts_;
  std::vector<std::uint16_t> offsets_;
  std::vector<A> values_;
};

}  // namespace sparsert::backend::cpu
