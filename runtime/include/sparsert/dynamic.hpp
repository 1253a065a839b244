// sparsert/dynamic.hpp — dynamic sparse training: a matrix that is never dense, whose pattern moves while it learns.
//
// Each step drops the entries with the smallest magnitudes and grows as many elsewhere: at random (SET, Mocanu and
// others 2018) or where the gradient is largest (RigL, Evci and others 2020). The pattern is decided on the CPU, from
// exact values and a counter-based generator: it is the same for one seed wherever the matrix lives.
#pragma once

#include <cstdint>
#include <vector>

#include "sparsert/sparse.hpp"

namespace sparsert::prune {

enum class Growth : std::uint8_t { set, rigl };

/// Where the first entries are: the largest magnitudes of the dense matrix, or drawn at random.
enum class Pattern : std::uint8_t { magnitude, random };

struct DynamicOptions {
  Growth method = Growth::rigl;
  Pattern pattern = Pattern::magnitude;
  double fraction = 0.3;  ///< of the entries, dropped and grown by a step
  std::uint64_t seed = 0;
  DType index_dtype = DType::int32;
};

/// A weight (CSR) with nearbyint(density · elements) entries, always.
class DynamicSparse {
 public:
  /// Throws `Error{invalid_argument}` for another rank than 2, a density or fraction outside [0, 1], or a density whose
  /// entries the NaNs of `w` alone exceed; `Error{not_supported}` for an integer dtype.
  DynamicSparse(const Tensor& w, double density, const DynamicOptions& options = {});

  /// What training reads and, by its values, writes. A step makes new index arrays; copies of the old ones stay.
  const Csr& weight() const noexcept { return weight_; }

  /// What a step did.
  struct Change {
    std::int64_t dropped = 0;
    std::int64_t grown = 0;  ///< always as many
    std::int64_t moved = 0;  ///< of them, those that are not where one was dropped
  };

  /// One drop-and-grow. Of the entries nearbyint(fraction · nnz) go: smallest magnitude first, ties from the highest
  /// index, NaN last. As many grow among all other places, those just left included: the largest |gradient| first, ties
  /// to the lower index, a NaN counting as 0; SET draws them and reads no gradient. Grown entries are stored zeros.
  /// `state` are arrays of one value per entry, such as an optimizer's moments, of any float dtype: kept entries keep
  /// theirs, grown ones start from 0. `dense_grad` has the matrix's shape and dtype; a CUDA one is read in panels.
  Change step(const Tensor& dense_grad, std::vector<Tensor*> state = {});
  /// The same where the method needs no gradient (SET).
  Change step(std::vector<Tensor*> state = {});

  double fraction() const noexcept { return options_.fraction; }
  /// For a schedule that lets the changes die out. Throws `Error{invalid_argument}` outside [0, 1].
  void set_fraction(double fraction);

  std::int64_t steps() const noexcept { return steps_; }  ///< so far; the generator's counter
  void set_steps(std::int64_t steps);                     ///< when a saved run goes on
  void set_weight(const Csr& weight);                     ///< of the same shape, dtype and number of entries
  std::int64_t nbytes() const noexcept { return weight_.nbytes(); }

 private:
  Change step(const Tensor* dense_grad, const std::vector<Tensor*>& state);

  DynamicOptions options_;
  Csr weight_;
  std::int64_t steps_ = 0;
};

}  // namespace sparsert::prune
