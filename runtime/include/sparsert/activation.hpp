// sparsert/activation.hpp — activations as sparse matrices: zeros that are never stored, and what they cost.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sparsert/formats.hpp"
#include "sparsert/ops.hpp"

namespace sparsert {

struct SparseReluOptions {
  double threshold = 0;  ///< x at or below it is left out; rounded to the computing type
  DType index_dtype = DType::int32;
};

/// ReLU of a matrix (rows, cols), of which only what passes is made: x > threshold, and NaN. There is no dense
/// intermediate; the bits are those of to_csr(relu(x)) where the threshold is 0.
Csr relu_to_csr(const Tensor& x, const SparseReluOptions& options = {}, const Stream& stream = {});
Bitmap relu_to_bitmap(const Tensor& x, const SparseReluOptions& options = {}, const Stream& stream = {});

/// The gradient through it, on the pattern that it left: grad (dense, the matrix's shape and dtype) at each entry, NaN
/// where the entry is one.
Csr relu_backward(const Tensor& grad, const Csr& out, const Stream& stream = {});
Bitmap relu_backward(const Tensor& grad, const Bitmap& out, const Stream& stream = {});

/// x > 0, else slope · x; NaN stays.
Tensor leaky_relu(const Tensor& x, double slope = 0.01, const Stream& stream = {});
Tensor leaky_relu_backward(const Tensor& grad, const Tensor& x, double slope = 0.01, const Stream& stream = {});

/// max(x, 0)²; NaN stays. Its gradient is (x + x) · grad where x > 0.
Tensor squared_relu(const Tensor& x, const Stream& stream = {});
Tensor squared_relu_backward(const Tensor& grad, const Tensor& x, const Stream& stream = {});

/// The k largest magnitudes of each row (the last dimension), zeros elsewhere; ties to the lower index, NaN above Inf.
/// Throws `Error{invalid_argument}` where a row has more NaNs than k.
Tensor topk_activation(const Tensor& x, std::int64_t k, const Stream& stream = {});

/// y = act(x·Wᵀ + bias) with a compressed activation x (batch, in) and a dense W (out, in): the bits of the dense
/// layer, for finite operands. W is transposed on the way; `spmm` with a W that lies transposed saves that.
Tensor linear(const Csr& x, const Tensor& w, const LinearOptions& options = {}, const Stream& stream = {});
Tensor linear(const Bitmap& x, const Tensor& w, const LinearOptions& options = {}, const Stream& stream = {});

/// How sparse the activations of each layer are over a run.
class ActivationStatistics {
 public:
  struct Layer {
    std::int64_t rows = 0;
    std::int64_t elements = 0;
    std::int64_t zeros = 0;
    std::int64_t features = 0;
    std::int64_t dead = 0;  ///< features that were zero in every row so far
    double sparsity() const noexcept {
      return elements == 0 ? 0 : static_cast<double>(zeros) / static_cast<double>(elements);
    }
  };

  /// Adds a batch (rows, features) of a layer. Throws `Error{invalid_argument}` for another number of features than
  /// before.
  void add(const std::string& layer, const Tensor& activations, const Stream& stream = {});
  std::map<std::string, Layer> layers() const;

 private:
  struct Sums {
    Layer layer;
    std::vector<bool> alive;
  };
  std::map<std::string, Sums> sums_;
};

}  // namespace sparsert
