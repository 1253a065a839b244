// kernels/contract/attention.hpp — attention behind a mask: what each operation is given.
#pragma once

#include <cstdint>

#include "kernels/op.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/order.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend {

/// A mask as runs of tiles of 64 queries x 64 keys. A run is three int32: first tile, tile after the last, and the
/// place of the tiles' pairs in `bits`, or -1 where every pair is seen. Bit r of bits[64 · place + c]: query r of the
/// tile sees key c of it. Runs ascend; tiles that nobody sees are in none.
struct MaskView {
  std::int64_t heads;           // 1: shared by all
  const std::int64_t* offsets;  // (heads · query tiles + 1): the runs of key tiles that a query tile sees
  const std::int32_t* runs;
  const std::int64_t* key_offsets;  // (heads · key tiles + 1): the runs of query tiles that see a key tile
  const std::int32_t* key_runs;
  const std::int64_t* bits;
};

/// What both directions read. All row-major: query (batch, heads, queries, depth), key (batch, key_heads, keys, depth),
/// value (batch, key_heads, keys, value_depth). Head h reads key head h / (heads / key_heads).
struct AttentionInputs {
  DType dtype;
  std::int64_t batch;
  std::int64_t heads;
  std::int64_t key_heads;
  std::int64_t queries;
  std::int64_t keys;
  std::int64_t depth;        // 1 to 256
  std::int64_t value_depth;  // 1 to 256
  const void* query;
  const void* key;
  const void* value;
  MaskView mask;
  const void* bias;                // null: none; rows of `keys` elements, one for each query
  std::int64_t bias_batch_stride;  // elements; 0: shared
  std::int64_t bias_head_stride;
  double scale;
};

/// out = softmax(scale · query · keyᵀ + bias, over the keys seen) · value, and log_sum_exp of the scores.
/// A query that sees no key gives 0 and -Inf. The order of all sums is in docs/numerics.md.
struct AttendArgs {
  AttentionInputs in;
  void* out;          // (batch, heads, queries, value_depth)
  void* log_sum_exp;  // null, or (batch, heads, queries) of the accumulator's type
  Order order;
};
SPARSERT_OP(attend, AttendArgs);

/// The gradients of query, key and value for the gradient of `out`. Of what nobody sees it is 0.
struct AttendBackwardArgs {
  AttentionInputs in;
  const void* grad;  // as out
  void* query_grad;
  void* key_grad;
  void* value_grad;
  Order order;
};
SPARSERT_OP(attend_backward, AttendBackwardArgs);

}  // namespace sparsert::backend
