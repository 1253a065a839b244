// kernels/contract/embedding.hpp — rows of a table gathered into bags: what each operation is given.
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

enum class BagMode : std::uint8_t { sum, mean, max };

/// out[b] = the sum (mean, largest) of table[indices[e]] for e in [offsets[b], offsets[b + 1]), left to right; weighted
/// by weights[e] where there are weights (sum only). An empty bag gives 0. A NaN is larger than everything.
struct EmbeddingBagArgs {
  DType dtype;
  std::int64_t dim;
  const void* table;  // rows of dim
  DType index;
  std::int64_t bags;
  const void* indices;
  const void* offsets;  // bags + 1
  const void* weights;  // null: none
  BagMode mode;
  void* out;  // bags × dim
};
SPARSERT_OP(embedding_bag, EmbeddingBagArgs);

/// winners[b, d] = the table row that a bag's maximum came from, the first of equals; -1 for an empty bag.
struct BagWinnersArgs {
  DType dtype;
  std::int64_t dim;
  const void* table;
  DType index;
  std::int64_t bags;
  const void* indices;
  const void* offsets;
  std::int64_t* winners;  // bags × dim
};
SPARSERT_OP(bag_winners, BagWinnersArgs);

/// out[u, d] = the sum of grad[b, d] over the bags b of row u whose winner there is table_rows[u], in the order of the
/// bags.
struct BagMaxBackwardArgs {
  DType dtype;
  std::int64_t dim;
  const void* grad;  // bags × dim
  const std::int64_t* winners;
  std::int64_t count;  // of table_rows
  const std::int64_t* table_rows;
  DType index;
  const void* bag_offsets;  // count + 1: the bags that hold a row
  const void* bags;
  void* out;  // count × dim
};
SPARSERT_OP(bag_max_backward, BagMaxBackwardArgs);

}  // namespace sparsert::backend
