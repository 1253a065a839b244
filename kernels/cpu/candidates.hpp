// kernels/cpu/candidates.hpp — data cut into blocks, samples of it, and the entries that a pass over it emitted.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>

#include "device/parallel.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/select.hpp"

namespace sparsert::backend::cpu {

/// At most kBlock entries that lie side by side, and where their candidates are.
template <class K>
struct Block {
  const K* x;
  std::int64_t n;
  std::int64_t start;  // entries before the block, over all data
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// Calls body(block) on every block, in parallel; backwards where the last of them may still be in the cache.
template <class B, class Body>
void for_each_block(std::span<B> blocks, const Body& body, bool backwards = false) {
  const auto count = static_cast<std::int64_t>(blocks.size());
  const std::int64_t grain = std::clamp<std::int64_t>(count / 64, 1, 8);
  parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) body(blocks[static_cast<std::size_t>(backwards ? count - 1 - b : b)]);
  });
}

/// Candidates of blocks, in the order in which threads found them; a block knows where its own are.
template <class K>
class Candidates {
 public:
  Candidates(std::int64_t capacity, const Stream& stream)
      : capacity_(capacity), bits_(capacity, stream), positions_(capacity, stream) {}

  /// Copies in what a pass emitted of a block. False from the first time that there is no room.
  bool take(Block<K>& block, const K* bits, const std::uint16_t* positions, std::int64_t count) {
    block.count = count;
    block.first = used_.fetch_add(count, std::memory_order_relaxed);
    if (block.first + count > capacity_) return false;
    std::copy_n(bits, count, bits_.data() + block.first);
    std::copy_n(positions, count, positions_.data() + block.first);
    return true;
  }

  /// All that were emitted, even where there was no room.
  std::int64_t count() const noexcept { return used_.load(std::memory_order_relaxed); }
  bool overflowed() const noexcept { return count() > capacity_; }

  const K* bits() const noexcept { return bits_.data(); }
  const K* bits(const Block<K>& block) const noexcept { return bits_.data() + block.first; }
  const std::uint16_t* positions(const Block<K>& block) const noexcept { return positions_.data() + block.first; }

 private:
  std::int64_t capacity_;
  std::atomic<std::int64_t> used_{0};
  Scratch<K> bits_;
  Scratch<std::uint16_t> positions_;
};

inline constexpr std::int64_t kBurst = 16;  // entries of a sample that lie side by side: a cache line of floats

/// Where the bursts of a sample of n entries begin: one at a pseudo-random place in each of equal stretches, ascending,
/// the same each time.
class SamplePlaces {
 public:
  SamplePlaces(std::int64_t n, std::int64_t wanted)
      : bursts_(std::max<std::int64_t>(1, wanted / kBurst)), stretch_(n / bursts_) {}

  std::int64_t bursts() const noexcept { return bursts_; }

  std::int64_t next() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    const auto width = static_cast<std::uint64_t>(std::max<std::int64_t>(1, stretch_));
    return stretch_ * given_++ + static_cast<std::int64_t>(random_ % width);
  }

 private:
  std::int64_t bursts_;
  std::int64_t stretch_;
  std::int64_t given_ = 0;
  std::uint64_t random_ = 88172645463325252u;
};

/// About `wanted` keys of all blocks' n entries, in bursts at the sample's places. `keys` has room for `wanted` +
/// kBurst. Returns how many.
template <class B, class K>
std::int64_t sample_keys(std::span<B> blocks, std::int64_t n, std::int64_t wanted, K nan, K* keys) {
  constexpr K kMagnitude = static_cast<K>(static_cast<K>(-1) >> 1);
  SamplePlaces places(n, wanted);
  std::int64_t count = 0;
  std::size_t b = 0;
  for (std::int64_t i = 0; i < places.bursts(); ++i) {
    const std::int64_t place = places.next();
    while (place >= blocks[b].start + blocks[b].n) ++b;
    const std::int64_t begin = (place - blocks[b].start) / kBurst * kBurst;
    const std::int64_t end = std::min(begin + kBurst, blocks[b].n);
    for (std::int64_t j = begin; j < end; ++j) keys[count++] = std::min<K>(blocks[b].x[j] & kMagnitude, nan);
  }
  return count;
}

}  // namespace sparsert::backend::cpu
