// sparsert/prune.hpp — making zeros in parameters.
//
// An amount is a share of the entries, blocks or slices; exactly nearbyint(amount · count) of them go, ties from the
// highest index. What goes becomes +0, what stays keeps its bits. NaN ranks above Inf and is kept.
// All throw `Error{invalid_argument}` for an amount outside [0, 1], or one that would reach a NaN;
// `Error{not_supported}` for an integer dtype.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sparsert/tensor.hpp"

namespace sparsert::prune {

/// What slices and blocks are ranked by. Summed in float64, in the order of docs/numerics.md.
enum class Norm : std::uint8_t { l1, l2, max };

/// Among whom the amount is counted: the whole tensor, or each row (the first dimension) by itself.
enum class Group : std::uint8_t { tensor, row };

/// The entries with the smallest magnitudes go.
Tensor magnitude(const Tensor& x, double amount, const Stream& stream = {});
/// The same amount of each row.
Tensor magnitude(const Tensor& x, double amount, Group group, const Stream& stream = {});

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// The same over all tensors as if they were one, in the order given. All of one dtype and device.
NamedTensors global_magnitude(const NamedTensors& tensors, double amount, const Stream& stream = {});

/// Entries drawn at random: the same for one seed on every device. An entry that is NaN is never drawn.
Tensor random(const Tensor& x, double amount, std::uint64_t seed = 0, const Stream& stream = {});

/// Of each m entries along an axis (negative: from the last) the n largest magnitudes stay, ties to the lower index;
/// 0 <= n <= m <= 32. Where m does not divide the axis, the last group is smaller.
Tensor n_m(const Tensor& x, int n, int m, int axis = -1, const Stream& stream = {});

/// Rows and columns of a block.
struct BlockShape {
  std::int64_t rows;
  std::int64_t cols;
};

/// Whole blocks of a matrix (the first dimension, and the rest), those with the smallest norms; blocks at the end of a
/// row or column may be smaller.
Tensor block(const Tensor& x, BlockShape shape, double amount, Norm norm = Norm::l2, const Stream& stream = {});
/// The same over all tensors as if they were one.
NamedTensors global_block(const NamedTensors& tensors, BlockShape shape, double amount, Norm norm = Norm::l2,
                          const Stream& stream = {});

/// Slices along an axis: rows, columns, channels; with `width` > 1 that many neighbours are one slice, as in a head.
struct SliceOptions {
  int axis = 0;  ///< negative: from the last
  Norm norm = Norm::l2;
  std::int64_t width = 1;  ///< divides the axis
};

/// Whole slices, those with the smallest norms.
Tensor structured(const Tensor& x, double amount, const SliceOptions& options = {}, const Stream& stream = {});

/// Positions along the axis of what `structured` would keep: int64, ascending, on x's device.
Tensor kept_slices(const Tensor& x, double amount, const SliceOptions& options = {}, const Stream& stream = {});

/// x at `indices` (int64, each in range) of an axis: the shrunk tensor. With the indices of `kept_slices` of a layer's
/// rows it is that layer, its bias, and along axis 1 the layers that read its outputs.
Tensor take(const Tensor& x, const Tensor& indices, int axis = 0, const Stream& stream = {});

/// |x| times the norm of the input that it multiplies (Wanda): x is (out, in), `input_norms` (in) of any float dtype,
/// not negative. The amount is of each row, as published, or of the whole tensor.
Tensor wanda(const Tensor& x, const Tensor& input_norms, double amount, Group group = Group::row,
             const Stream& stream = {});

/// Norms of a layer's inputs over a calibration run: batches (n, in) are added, in order.
class InputNorms {
 public:
  /// Adds a batch; all have one number of columns and one device. The last dimension counts as the columns.
  void add(const Tensor& batch, const Stream& stream = {});
  /// sqrt of each column's sum of squares: (in), float64. Throws `Error{invalid_argument}` before any batch.
  Tensor norms(const Stream& stream = {}) const;
  std::int64_t rows() const noexcept { return rows_; }

 private:
  Tensor squares_;
  std::int64_t rows_ = 0;
};

/// Norms of the blocks of a matrix: (down, across), float64.
Tensor block_norms(const Tensor& x, BlockShape shape, Norm norm = Norm::l2, const Stream& stream = {});

// ---- proximal steps: what an L1, a group or an L0 penalty does to the parameters after a gradient step

/// sign(x) · max(|x| − lambda, 0): the proximal step of lambda · Σ|x|. lambda is rounded to the computing type.
Tensor soft_threshold(const Tensor& x, double lambda, const Stream& stream = {});
void soft_threshold_(Tensor& x, double lambda, const Stream& stream = {});
/// x where |x| > lambda, else 0: the proximal step of (lambda² / 2) · (number of non-zeros).
Tensor hard_threshold(const Tensor& x, double lambda, const Stream& stream = {});
void hard_threshold_(Tensor& x, double lambda, const Stream& stream = {});
/// x · max(1 − lambda / ‖slice‖₂, 0) of each slice: the proximal step of lambda · Σ‖slice‖₂ (group lasso).
Tensor group_soft_threshold(const Tensor& x, double lambda, int axis = 0, const Stream& stream = {});

}  // namespace sparsert::prune
