// runtime/attention/mask.hpp — what a Mask holds, and how its blocks are looked at.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "runtime/attention/tiles.hpp"

namespace sparsert::attention {

struct MaskImpl {
  std::shared_ptr<const Evaluation> evaluation;
  std::int64_t block_size;

  mutable std::mutex mutex;
  mutable std::optional<BlockCounts> blocks;
};

/// A new mask. Throws `Error{invalid_argument}` for a block size that is not 16, 32, 64 or 128.
Mask make_mask(NodePtr node, std::int64_t block_size);

inline const Node& node_of(const Mask& mask) { return mask.impl().evaluation->node(); }

/// Throws `Error{invalid_argument}` for lengths or an offset out of range.
void check_lengths(const char* op, Lengths n, const MaskOptions& options);

/// Pairs that `rows` see of `keys`.
std::int64_t count_pairs(const Node& node, std::int64_t head, Span rows, Span keys);

/// Calls f(begin, end, coverage) for the runs of a row of blocks, none of them unresolved.
template <class F>
void for_each_run(const Node& node, std::int64_t head, Span rows, std::int64_t block, F&& f) {
  Runs runs;
  node.runs(head, rows, block, runs);
  for (const Run& run : runs) {
    if (run.coverage != Coverage::unresolved) {
      f(run.begin, run.end, run.coverage);
      continue;
    }
    for (std::int64_t b = run.begin; b < run.end; ++b) {
      const Span keys{b * block, std::min(node.lengths().key, (b + 1) * block)};
      const std::int64_t seen = count_pairs(node, head, rows, keys);
      if (seen != 0) f(b, b + 1, seen == rows.size() * keys.size() ? Coverage::full : Coverage::partial);
    }
  }
}

}  // namespace sparsert::attention
