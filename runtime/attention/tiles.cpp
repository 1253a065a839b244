// runtime/attention/tiles.cpp — a mask's tiles of 64 x 64: found row by row, each different one kept once.
#include "runtime/attention/tiles.hpp"

#include <algorithm>
#include <bit>
#include <unordered_map>

#include "runtime/attention/mask.hpp"

namespace sparsert::attention {
namespace {

std::int64_t tiles_of(std::int64_t n) { return (n + kTile - 1) / kTile; }

struct HashOfTile {
  std::size_t operator()(const TileBits& bits) const noexcept {
    std::uint64_t hash = 0x9e3779b97f4a7c15u;
    for (const std::uint64_t word : bits) hash = std::rotl((hash ^ word) * 0xff51afd7ed558ccdu, 29);
    return hash;
  }
};

/// Rows of bits become columns (Hacker's Delight, section 7-3: swap ever smaller off-diagonal squares).
void transpose_bits(TileBits& bits) {
  std::uint64_t mask = 0x00000000ffffffffu;
  for (std::size_t width = 32; width != 0; width /= 2, mask ^= mask << width) {
    for (std::size_t r = 0; r < bits.size(); r = (r + width + 1) & ~width) {
      const std::uint64_t swapped = ((bits[r] >> width) ^ bits[r + width]) & mask;
      bits[r + width] ^= swapped;
      bits[r] ^= swapped << width;
    }
  }
}

/// Appends tiles to a list of runs that starts at `from`, joined to the last run where they continue it.
void append_tiles(std::vector<std::int32_t>& runs, std::size_t from, std::int64_t begin, std::int64_t end,
                  std::int32_t bits) {
  const std::size_t size = runs.size();
  if (size > from && runs[size - 2] == begin && runs[size - 1] == bits) {
    runs[size - 2] = static_cast<std::int32_t>(end);
  } else {
    runs.insert(runs.end(), {static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end), bits});
  }
}

class TileMaker {
 public:
  explicit TileMaker(const Node& node) : node_(node) {}

  Tiles make() {
    const Lengths n = node_.lengths();
    tiles_.rows.offsets.push_back(0);
    for (std::int64_t head = 0; head < node_.heads(); ++head) {
      for (std::int64_t q = 0; q < n.query; q += kTile) {
        add_row(head, {q, std::min(n.query, q + kTile)});
        tiles_.rows.offsets.push_back(static_cast<std::int64_t>(tiles_.rows.runs.size() / 3));
      }
    }
    return std::move(tiles_);
  }

 private:
  void add_row(std::int64_t head, Span rows) {
    const std::size_t from = tiles_.rows.runs.size();
    runs_.clear();
    node_.runs(head, rows, kTile, runs_);
    for (const Run& run : runs_) {
      if (run.coverage == Coverage::full) {
        append_tiles(tiles_.rows.runs, from, run.begin, run.end, -1);
        continue;
      }
      for (std::int64_t t = run.begin; t < run.end; ++t) add_tile(head, rows, t, from);
    }
  }

  void add_tile(std::int64_t head, Span rows, std::int64_t t, std::size_t from) {
    node_.tile(head, rows, t * kTile, bits_);
    std::int64_t seen = 0;
    for (const std::uint64_t word : bits_) seen += std::popcount(word);
    if (seen == 0) return;
    const std::int64_t all = rows.size() * std::min(kTile, node_.lengths().key - t * kTile);
    append_tiles(tiles_.rows.runs, from, t, t + 1, seen == all ? -1 : place_of_bits());
  }

  std::int32_t place_of_bits() {
    transpose_bits(bits_);
    const auto next = static_cast<std::int32_t>(tiles_.bits.size() / kTile);
    const auto [at, is_new] = places_.try_emplace(bits_, next);
    if (is_new) tiles_.bits.insert(tiles_.bits.end(), bits_.begin(), bits_.end());
    return at->second;
  }

  const Node& node_;
  Tiles tiles_;
  Runs runs_;
  TileBits bits_{};
  std::unordered_map<TileBits, std::int32_t, HashOfTile> places_;
};

template <class T>
Tensor tensor_of(const std::vector<T>& values, const Device& device) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device);
}

}  // namespace

Tiles make_tiles(const Node& node) { return TileMaker(node).make(); }

TileRuns transpose(const TileRuns& rows, std::int64_t heads, std::int64_t query_tiles, std::int64_t key_tiles) {
  TileRuns keys;
  keys.offsets.push_back(0);
  for (std::int64_t head = 0; head < heads; ++head) {
    std::vector<std::vector<std::int32_t>> lists(static_cast<std::size_t>(key_tiles));
    for (std::int64_t q = 0; q < query_tiles; ++q) {
      const std::int64_t* const offsets = rows.offsets.data() + head * query_tiles + q;
      for (std::int64_t run = offsets[0]; run < offsets[1]; ++run) {
        const std::int32_t* const r = rows.runs.data() + 3 * run;
        for (std::int32_t t = r[0]; t < r[1]; ++t) {
          append_tiles(lists[static_cast<std::size_t>(t)], 0, q, q + 1, r[2]);
        }
      }
    }
    for (const auto& list : lists) {
      keys.runs.insert(keys.runs.end(), list.begin(), list.end());
      keys.offsets.push_back(static_cast<std::int64_t>(keys.runs.size() / 3));
    }
  }
  return keys;
}

std::int64_t Evaluation::nnz() const {
  const std::scoped_lock lock(mutex_);
  if (!nnz_) {
    std::int64_t count = 0;
    for (std::int64_t head = 0; head < node_->heads(); ++head) count += node_->count(head, {0, node_->lengths().query});
    nnz_ = count;
  }
  return *nnz_;
}

const DeviceTiles& Evaluation::tiles(const Device& device, bool by_key) const {
  const std::scoped_lock lock(mutex_);
  const Lengths n = node_->lengths();
  require(tiles_of(n.query) < INT32_MAX && tiles_of(n.key) < INT32_MAX,
          [] { return std::string("mask: more than 2^31 tiles of 64, expected fewer"); });
  if (!tiles_) tiles_ = make_tiles(*node_);
  const auto [at, is_new] = on_device_.try_emplace(to_string(device));
  DeviceTiles& on = at->second;
  if (is_new) {
    // The device's kernels read bits as they are; a tensor has no unsigned 64-bit type.
    const auto count = static_cast<std::int64_t>(tiles_->bits.size());
    std::vector<std::int64_t> words(tiles_->bits.size());
    std::transform(tiles_->bits.begin(), tiles_->bits.end(), words.begin(),
                   [](std::uint64_t word) { return std::bit_cast<std::int64_t>(word); });
    on.offsets = tensor_of(tiles_->rows.offsets, device);
    on.runs = tensor_of(tiles_->rows.runs, device);
    on.bits = Tensor::from(words, {count}, device);
  }
  if (by_key && on.key_offsets.numel() == 0) {
    const TileRuns keys = transpose(tiles_->rows, node_->heads(), tiles_of(n.query), tiles_of(n.key));
    on.key_runs = tensor_of(keys.runs, device);
    on.key_offsets = tensor_of(keys.offsets, device);
  }
  return on;
}

std::int64_t Evaluation::bytes() const {
  const std::scoped_lock lock(mutex_);
  std::int64_t bytes = node_->bytes();
  if (tiles_) {
    bytes += static_cast<std::int64_t>(tiles_->rows.offsets.size() * 8 + tiles_->rows.runs.size() * 4 +
                                       tiles_->bits.size() * 8);
  }
  for (const auto& [name, on] : on_device_) {
    for (const Tensor* t : {&on.offsets, &on.runs, &on.key_offsets, &on.key_runs, &on.bits}) bytes += t->nbytes();
  }
  return bytes;
}

}  // namespace sparsert::attention
