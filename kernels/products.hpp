// kernels/products.hpp — the rules that every sum of products obeys, on host and device alike (docs/numerics.md).
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/elementwise.hpp"
#include "kernels/numerics.hpp"

namespace sparsert::backend {

/// What happens to a finished sum before it is stored. `A` is the accumulator's type.
template <class A>
struct Epilogue {
  A alpha = 1;
  A beta = 0;  // 0: the old value is not looked at
  bool relu = false;
};

/// The stored value: relu(alpha · sum + beta · old + bias) + 0, each step rounded once in this order.
/// The last + 0 makes every zero result +0, whatever the layout that it was summed in.
template <class A>
constexpr A finish(const Epilogue<A>& epilogue, A sum, A old, bool has_bias, A bias) {
  A result = epilogue.alpha == 1 ? sum : epilogue.alpha * sum;
  if (epilogue.beta != 0) result = std::fma(epilogue.beta, old, result);
  if (has_bias) result = result + bias;
  result = result + A{0};
  return epilogue.relu ? relu_of(result) : result;
}

/// A sum of products in canonical order, for contraction indices that ascend.
template <class A>
class CanonicalSum {
 public:
  constexpr void add(std::int64_t k, A a, A b) {
    if (k >= piece_end_) {
      total_ = total_ + piece_;
      piece_ = 0;
      piece_end_ = (k / kPiece + 1) * kPiece;
    }
    piece_ = std::fma(a, b, piece_);
  }
  constexpr A value() const { return total_ + piece_; }

 private:
  A piece_ = 0;
  A total_ = 0;  // starts at +0, so that no order of empty pieces leaves a -0
  std::int64_t piece_end_ = kPiece;
};

}  // namespace sparsert::backend
