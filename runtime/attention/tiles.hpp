// runtime/attention/tiles.hpp — a mask as kernels read it: runs of 64 x 64 tiles, and the pairs of those seen in part.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/attention/node.hpp"
#include "sparsert/tensor.hpp"

namespace sparsert::attention {

/// Runs of a list: three numbers each, first tile, tile after the last, and the place of their pairs in `bits` or -1
/// where every pair is seen.
struct TileRuns {
  std::vector<std::int64_t> offsets;  // of the runs of each (head, tile), and their end
  std::vector<std::int32_t> runs;
};

/// For every tile of queries the runs of key tiles it sees. Bit r of word 64 · b + c: query r of a tile sees key c.
struct Tiles {
  TileRuns rows;
  std::vector<std::uint64_t> bits;  // each different tile once
};

Tiles make_tiles(const Node& node);
/// The same the other way round: for every tile of keys the runs of query tiles that see it.
TileRuns transpose(const TileRuns& rows, std::int64_t heads, std::int64_t query_tiles, std::int64_t key_tiles);

/// Tiles on a device. `key_*` are there where they were asked for.
struct DeviceTiles {
  Tensor offsets;
  Tensor runs;
  Tensor key_offsets;
  Tensor key_runs;
  Tensor bits;
};

/// A node and what was computed of it: shared by masks that differ in block size only.
class Evaluation {
 public:
  explicit Evaluation(NodePtr node) : node_(std::move(node)) {}

  const Node& node() const noexcept { return *node_; }
  const NodePtr& pointer() const noexcept { return node_; }
  std::int64_t nnz() const;
  const DeviceTiles& tiles(const Device& device, bool by_key) const;
  std::int64_t bytes() const;

 private:
  NodePtr node_;
  mutable std::mutex mutex_;
  mutable std::optional<std::int64_t> nnz_;
  mutable std::optional<Tiles> tiles_;
  mutable std::map<std::string, DeviceTiles> on_device_;
};

}  // namespace sparsert::attention
