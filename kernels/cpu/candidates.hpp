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

/// About `wanted` keys of all blocks' n entries, in bursts of a cache line at pseudo-random places, the same each time.
/// `keys` has room for `wanted` + kBurst. Returns how many.
template <class B, class K>
std::int64_t sample_keys(std::span<B> blocks, std::int64_t n, std::int64_t wanted, K nan, K* keys) {
  constexpr std::int64_t kBurst = 16;
  constexpr K kMagnitude = static_cast<K>(static_cast<K>(-1) >> 1);
  const std::int64_t bursts = std::max<std::int64_t>(1, wanted / kBurst);
  std::uint64_t random = 88172645463325252u;
  std::int64_t count = 0;
  std::size_t b = 0;
  for (std::int64_t i = 0; i < bursts; ++i) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    const std::int64_t low = n / bursts * i;
    const std::int64_t width = std::max<std::int64_t>(1, n / bursts);
    const std::int64_t place = low + static_cast<std::int64_t>(random % static_cast<std::uint64_t>(width));
    while (place >= blocks[b].start + blocks[b].n) ++b;
    const std::int64_t begin = (place - blocks[b].start) / kBurst * kBurst;
    const std::int64_t end = std::min(begin + kBurst, blocks[b].n);
    for (std::int64_t j = begin; j < end; ++j) keys[count++] = std::min<K>(blocks[b].x[j] & kMagnitude, nan);
  }
  return count;
}

}  // namespace sparsert::backend::cpu
