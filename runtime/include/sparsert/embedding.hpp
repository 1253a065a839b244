// sparsert/embedding.hpp — rows of a table gathered into bags.
#pragma once

#include <cstdint>

#include "sparsert/ops.hpp"

namespace sparsert {

enum class BagMode : std::uint8_t { sum, mean, max };

/// For each bag the sum, mean or largest of the table's rows that its indices name, left to right. `table` is (rows,
/// dim), `indices` int32 or int64 (n), `offsets` of the same type (bags): where each bag begins; the last ends at n.
/// `weights` (n) multiply the rows of a sum. The result is (bags, dim); an empty bag gives 0. NaN counts as the
/// largest. Throws `Error{invalid_argument}`, also for an index outside the table, which is looked for first.
Tensor embedding_bag(const Tensor& table, const Tensor& indices, const Tensor& offsets, BagMode mode = BagMode::sum,
                     const Tensor* weights = nullptr, const Stream& stream = {});

/// A gradient of a table that only some rows have.
struct RowGradient {
  Tensor rows;    ///< (u), int64, ascending, on the CPU: the rows that the bags named
  Tensor values;  ///< (u, dim): their gradients
};

/// The table's gradient from `grad` (bags, dim), the gradient of the result of embedding_bag with the same arguments.
/// Sums go over the bags in canonical order; the weight of a row that a bag names more than once is added up first.
RowGradient embedding_bag_backward(const Tensor& grad, const Tensor& table, const Tensor& indices,
                                   const Tensor& offsets, BagMode mode = BagMode::sum, const Tensor* weights = nullptr,
                                   const Stream& stream = {});

}  // namespace sparsert
