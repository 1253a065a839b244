// kernels/kernels.hpp — the backend contract on one page: what each operation is given, declared once for all.
//
// Everything here is already checked: shapes agree, indices are in range, memory lives on the stream's device.
// An operation never validates, never allocates its outputs, and writes every element of them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "device/config.hpp"
#include "kernels/views.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/order.hpp"
#include "sparsert/stream.hpp"

// clang-format off
/// Declares `void name(const Args&, const Stream&)` in every backend, and the table `backend::name` that holds them.
#define SPARSERT_OP(name, Args)                                  \
  namespace reference { void name(const Args&, const Stream&); } \
  namespace cpu { void name(const Args&, const Stream&); }       \
  namespace simt { void name(const Args&, const Stream&); }      \
  namespace cuda { void name(const Args&, const Stream&); }      \
  inline constexpr Op<Args> name {                               \
    #name, &reference::name, &cpu::name,                         \
        detail::if_built<kWithSimt>([] { return &simt::name; }), \
        detail::if_built<kWithCuda>([] { return &cuda::name; })  \
  }
// clang-format on

namespace sparsert::backend {

/// One operation on every backend. A backend that is not built is null.
template <class Args>
struct Op {
  using Function = void (*)(const Args&, const Stream&);
  const char* name;
  Function reference;
  Function cpu;
  Function simt;
  Function cuda;
};

namespace detail {
/// `f()` where the backend is built, null where not, without naming the missing function.
template <bool kBuilt, class F>
constexpr auto if_built(F f) {
  if constexpr (kBuilt) return f();
  else return static_cast<decltype(f())>(nullptr);
}
}  // namespace detail

// ---------------------------------------------------------------------------------------------- elementwise

/// out[i] = f(x[i]); out may be x.
struct UnaryArgs {
  DType dtype;
  std::int64_t n;
  const void* x;
  void* out;
};
SPARSERT_OP(relu, UnaryArgs);

/// out[i] = grad[i] where x[i] > 0, 0 where x[i] <= 0, NaN where x[i] is NaN; out may be grad.
struct ReluBackwardArgs {
  DType dtype;
  std::int64_t n;
  const void* grad;
  const void* x;
  void* out;
};
SPARSERT_OP(relu_backward, ReluBackwardArgs);

enum class BinaryOp : std::uint8_t { add, subtract, multiply };

/// out[i] = x[i] op y[i]. A stride of 0 repeats one element (a scalar operand); integers wrap.
struct BinaryArgs {
  DType dtype;
  BinaryOp op;
  std::int64_t n;
  const void* x;
  std::int64_t x_stride;  // 0 or 1
  const void* y;
  std::int64_t y_stride;  // 0 or 1
  void* out;
};
SPARSERT_OP(binary, BinaryArgs);

/// out[i] = x[i] to the power `exponent` >= 0, by repeated multiplication from the left; integers wrap.
struct PowerArgs {
  DType dtype;
  std::int64_t n;
  const void* x;
  int exponent;
  void* out;
};
SPARSERT_OP(power, PowerArgs);

/// out[i] = x[i] in another type: nearest even to floats; toward zero, saturating, NaN -> 0 to integers.
struct CastArgs {
  DType from;
  DType to;
  std::int64_t n;
  const void* x;
  void* out;
};
SPARSERT_OP(cast, CastArgs);

/// *result = (every x[i] == y[i]); NaN equals nothing. `result` is host memory; returns when it is written.
struct EqualArgs {
  DType dtype;
  std::int64_t n;
  const void* x;
  const void* y;
  bool* result;
};
SPARSERT_OP(equal, EqualArgs);

// ------------------------------------------------------------------------------------------------- sparsify

/// *result = the number of x[i] != 0 (NaN counts, -0 does not). Host result; returns when it is written.
struct CountNonzeroArgs {
  DType dtype;
  std::int64_t n;
  const void* x;
  std::int64_t* result;
};
SPARSERT_OP(count_nonzero, CountNonzeroArgs);

/// row_offsets[r] = non-zeros of dense (rows x cols) before row r; rows + 1 of them.
struct CsrOffsetsArgs {
  DType dtype;
  std::int64_t rows;
  std::int64_t cols;
  const void* dense;
  DType index;
  void* row_offsets;
};
SPARSERT_OP(csr_offsets, CsrOffsetsArgs);

/// Fills columns and values behind the offsets that `csr_offsets` made.
struct DenseToCsrArgs {
  DType dtype;
  std::int64_t rows;
  std::int64_t cols;
  const void* dense;
  DType index;
  const void* row_offsets;
  void* columns;
  void* values;
};
SPARSERT_OP(dense_to_csr, DenseToCsrArgs);

/// dense (rows x cols) = the matrix, zeros elsewhere.
struct CsrToDenseArgs {
  CsrView a;
  void* dense;
};
SPARSERT_OP(csr_to_dense, CsrToDenseArgs);

/// rows[e] = the row of entry e: the row indices of the same matrix in COO.
struct CsrToCooArgs {
  CsrView a;
  void* rows;
};
SPARSERT_OP(csr_to_coo, CsrToCooArgs);

/// Stable sort by (row, column), and duplicates summed in input order.
/// `columns` and `values` have room for coo.nnz entries; *nnz (host) is how many were written.
struct CooToCsrArgs {
  CooView a;
  void* row_offsets;
  void* columns;
  void* values;
  std::int64_t* nnz;
};
SPARSERT_OP(coo_to_csr, CooToCsrArgs);

/// One tensor of a joint pruning.
struct PruneTensor {
  std::int64_t n;
  const void* x;
  void* out;  // may be x
};

/// out = x with exactly `remove` of all entries, smallest magnitude first, replaced by +0.
/// Tensors count as one, concatenated; ties go from the highest index; NaN ranks above Inf.
/// *nan_reached (host) says that the amount would have reached a NaN, and then nothing is written.
struct PruneMagnitudeArgs {
  DType dtype;
  std::span<const PruneTensor> tensors;
  std::int64_t remove;
  bool* nan_reached;
};
SPARSERT_OP(prune_magnitude, PruneMagnitudeArgs);

// ----------------------------------------------------------------------------------------------------- topk

/// Per row: the k entries of largest magnitude, descending, ties to the lower index, NaN above Inf.
struct TopkArgs {
  DType dtype;
  std::int64_t rows;
  std::int64_t n;         // entries of a row
  std::int64_t k;         // <= n
  const void* x;          // rows x n
  void* values;           // rows x k
  std::int64_t* indices;  // rows x k, within the row
};
SPARSERT_OP(topk, TopkArgs);

// ----------------------------------------------------------------------------------------------------- spmm

/// What a backend prepared once for a matrix (packed blocks, row order). Opaque above kernels/.
struct SpmmPlan {
  virtual ~SpmmPlan() = default;
  /// Takes new values for the same pattern, in the CSR order of the matrix the plan was made of.
  virtual void update_values(const void* values, const Stream& stream) = 0;
  virtual std::int64_t bytes() const noexcept = 0;
};

struct SpmmPlanArgs {
  CsrView a;
  std::int64_t n;  // the width of B the plan is tuned for; any other works too
  std::unique_ptr<SpmmPlan>* plan;
};
SPARSERT_OP(spmm_plan, SpmmPlanArgs);

/// C = act(alpha * A·B + beta * C + bias), A sparse (m x k), B (k x n), C (m x n); bias per row of A.
/// B and C are row-major, or both column-major: then it is Cᵀ = Bᵀ·Aᵀ, the layer y = x·Wᵀ.
struct SpmmArgs {
  CsrView a;
  const SpmmPlan* plan;  // null: none was made
  std::int64_t n;
  const void* b;
  void* c;
  bool column_major;
  const void* bias;  // null: none
  bool relu;
  double alpha;
  double beta;  // 0: C is not read
  Order order;
};
SPARSERT_OP(spmm, SpmmArgs);

// --------------------------------------------------------------------------------------------------- matmul

/// C = act(A·B + bias), all dense, A (m x k), B (k x n), C (m x n) row-major; the canonical order of spmm.
/// With `b_transposed`, B is given as (n x k) and bias is per column of C: the layer y = x·Wᵀ + bias.
struct MatmulArgs {
  DType dtype;
  std::int64_t m;
  std::int64_t k;
  std::int64_t n;
  const void* a;
  const void* b;
  bool b_transposed;
  void* c;
  const void* bias;  // null: none; n of them
  bool relu;
  Order order;
};
SPARSERT_OP(matmul, MatmulArgs);

}  // namespace sparsert::backend
