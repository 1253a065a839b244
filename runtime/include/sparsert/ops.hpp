// sparsert/ops.hpp — operations. All take tensors of one device and dtype, and give new ones unless `out` is named.
//
// Every one of them throws `Error{invalid_argument}` that names op, argument, got and expected, before anything is
// written; `Error{not_supported}` for a dtype it does not have; `OutOfMemory`; and on CUDA the fault of a launch.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "sparsert/order.hpp"
#include "sparsert/sparse.hpp"
#include "sparsert/tensor.hpp"

namespace sparsert {

// ---- elementwise (any shape)

Tensor add(const Tensor& x, const Tensor& y,
           const Stream& stream = {});  ///< x + y; shapes equal, or one operand has one element
Tensor subtract(const Tensor& x, const Tensor& y, const Stream& stream = {});  ///< x - y
Tensor multiply(const Tensor& x, const Tensor& y, const Stream& stream = {});  ///< x * y; integers wrap
Tensor power(const Tensor& x, int exponent,
             const Stream& stream = {});  ///< x to a small power >= 0, by repeated multiplication
Tensor cast(const Tensor& x, DType dtype,
            const Stream& stream = {});  ///< nearest even to floats; toward zero, saturating, NaN -> 0 to integers
bool equal(const Tensor& x, const Tensor& y,
           const Stream& stream = {});  ///< same shape, dtype and values; NaN equals nothing

inline Tensor operator+(const Tensor& x, const Tensor& y) { return add(x, y); }
inline Tensor operator-(const Tensor& x, const Tensor& y) { return subtract(x, y); }
inline Tensor operator*(const Tensor& x, const Tensor& y) { return multiply(x, y); }

/// max(x, 0): NaN stays NaN, -0 gives +0.
Tensor relu(const Tensor& x, const Stream& stream = {});
/// The same, written over x.
void relu_(Tensor& x, const Stream& stream = {});
/// grad where x > 0, 0 where x <= 0, NaN where x is NaN.
Tensor relu_backward(const Tensor& grad, const Tensor& x, const Stream& stream = {});

// ---- zeros

/// Elements that are not zero. NaN counts, -0 does not.
std::int64_t count_nonzero(const Tensor& x, const Stream& stream = {});
/// Exact zeros / elements; 0 for an empty tensor.
double sparsity(const Tensor& x, const Stream& stream = {});

/// The k largest by magnitude along the last dimension, descending; ties to the lower index, NaN above Inf.
struct Topk {
  Tensor values;   ///< (..., k); a scalar counts as a row of one
  Tensor indices;  ///< (..., k), int64
};
Topk topk(const Tensor& x, std::int64_t k, const Stream& stream = {});

// ---- products

/// A matrix packed once for its device, to be multiplied many times. Cheap to copy; copies share the packing.
class Plan {
 public:
  /// Tuned for products with `n` columns; others work too. For 1 it serves `spmv`, and `spmm` and `linear` of one
  /// column.
  explicit Plan(const Csr& a, std::int64_t n = 256, const Stream& stream = {});

  const Csr& matrix() const noexcept;
  std::int64_t nbytes() const noexcept;  ///< of the packing, beside the matrix itself

  /// New values for the same pattern: shape (nnz), the matrix's dtype and device, CSR order.
  void update_values(const Tensor& values, const Stream& stream = {});

  struct Impl;
  const Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

struct SpmmOptions {
  const Tensor* bias = nullptr;  ///< (m): one per row of A
  bool relu = false;
  double alpha = 1.0;
  double beta = 0.0;      ///< not 0: `out` is needed, and read
  Tensor* out = nullptr;  ///< (m, n), written; must not overlap b
  Order order = Order::canonical;
};

/// C = act(alpha·A·B + beta·C + bias), A sparse (m, k), B (k, n), C (m, n).
Tensor spmm(const Csr& a, const Tensor& b, const SpmmOptions& options = {}, const Stream& stream = {});
Tensor spmm(const Plan& plan, const Tensor& b, const SpmmOptions& options = {}, const Stream& stream = {});

struct LinearOptions {
  const Tensor* bias = nullptr;  ///< (out)
  bool relu = false;
  Tensor* out = nullptr;  ///< (batch, out), written; must not overlap x
  Order order = Order::canonical;
};

/// y = act(x·Wᵀ + bias): x (batch, in), W (out, in) sparse or dense, y (batch, out). The deep-learning layer.
Tensor linear(const Tensor& x, const Csr& w, const LinearOptions& options = {}, const Stream& stream = {});
Tensor linear(const Tensor& x, const Plan& w, const LinearOptions& options = {}, const Stream& stream = {});
Tensor linear(const Tensor& x, const Tensor& w, const LinearOptions& options = {}, const Stream& stream = {});

struct MatmulOptions {
  Tensor* out = nullptr;  ///< (m, n), written; must not overlap x or y
  Order order = Order::canonical;
};

/// x·y, both dense: (m, k) · (k, n). The sums are spmm's, so the bits are those of the sparse product.
Tensor matmul(const Tensor& x, const Tensor& y, const MatmulOptions& options = {}, const Stream& stream = {});

}  // namespace sparsert
