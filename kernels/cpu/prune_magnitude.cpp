// kernels/cpu/prune_magnitude.cpp — magnitude pruning at an exact amount, over one or many tensors.
//
// A sample brackets the threshold. One pass reads x, writes x with zeros below the bracket, and emits the few entries
// inside it; the threshold is selected among them, and those of them that go are zeroed afterwards: read once, write
// once. In place nothing may be written before the threshold is certain: there the second pass reads x again.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "kernels/contract/sparsify.hpp"
#include "kernels/cpu/candidates.hpp"
#include "kernels/cpu/radix_select.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/select.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/numerics.hpp"

namespace sparsert::backend::cpu {
namespace {

constexpr std::int64_t kPastCacheBytes = 16 << 20;  // outputs from here on are written past the caches
constexpr std::int64_t kSmall = 4096;               // up to here every entry is a candidate
constexpr std::int64_t kSample = 1 << 16;
constexpr double kDeviations = 3.5;

template <class K>
struct PruneBlock : Block<K> {
  K* out;
  std::int64_t ties;  // entries at the threshold,
  std::int64_t keep;  // and how many of them stay, from the first
};

template <class K>
struct Pruning {
  std::span<PruneBlock<K>> blocks;
  std::int64_t n;
  std::int64_t remove;
  K nan;
  bool in_place;
  bool past_cache;
  const Stream& stream;
};

template <class K>
Scratch<PruneBlock<K>> cut(std::span<const PruneTensor> tensors, std::int64_t& count, const Stream& stream) {
  count = 0;
  for (const PruneTensor& tensor : tensors) count += (tensor.n + kBlock - 1) / kBlock;
  Scratch<PruneBlock<K>> blocks(count, stream);
  PruneBlock<K>* block = blocks.data();
  std::int64_t start = 0;
  for (const PruneTensor& tensor : tensors) {
    const auto* x = static_cast<const K*>(tensor.x);
    auto* out = static_cast<K*>(tensor.out);
    for (std::int64_t i = 0; i < tensor.n; i += kBlock) {
      *block++ = {{x + i, std::min(kBlock, tensor.n - i), start + i}, out + i, 0, 0};
    }
    start += tensor.n;
  }
  return blocks;
}

template <class K>
K key_of(const Pruning<K>& p, K bits) {
  return std::min<K>(bits & static_cast<K>(static_cast<K>(-1) >> 1), p.nan);
}

/// out = x above the threshold, and the first `keep` of each block at it.
template <class K>
void apply(const Pruning<K>& p, K threshold) {
  const auto limit = static_cast<std::int64_t>(threshold);
  // Backwards: what the pass before read last may still be in the cache.
  for_each_block(
      p.blocks,
      [&](PruneBlock<K>& block) {
        if (block.keep == block.ties) return keep_above(block.x, block.out, block.n, limit - 1, p.past_cache);
        if (block.keep == 0) return keep_above(block.x, block.out, block.n, limit, p.past_cache);
        std::int64_t keep = block.keep;
        for (std::int64_t i = 0; i < block.n; ++i) {
          const K key = key_of(p, block.x[i]);
          block.out[i] = key > threshold || (key == threshold && keep-- > 0) ? block.x[i] : K{0};
        }
      },
      true);
}

/// Zeroes those candidates that do not stay; all else of `out` is right already.
template <class K>
void finish(const Pruning<K>& p, const Candidates<K>& candidates, K threshold) {
  for_each_block(
      p.blocks,
      [&](PruneBlock<K>& block) {
        const K* const keys = candidates.bits(block);
        const std::uint16_t* const positions = candidates.positions(block);
        std::int64_t keep = block.keep;
        for (std::int64_t i = 0; i < block.count; ++i) {
          const bool stays = keys[i] > threshold || (keys[i] == threshold && keep-- > 0);
          if (!stays) block.out[positions[i]] = K{0};
        }
      },
      true);
}

/// Of the entries at the threshold the first `keep` stay: tells each block how many of its own.
template <class K>
void share_out(const Pruning<K>& p, std::int64_t keep) {
  for (PruneBlock<K>& block : p.blocks) {
    block.keep = std::min(block.ties, keep);
    keep -= block.keep;
  }
}

/// One pass over x with a bracket. Returns the entries below it.
template <class K>
std::int64_t pass(const Pruning<K>& p, const Bracket<K>& bracket, bool write, Candidates<K>* candidates) {
  std::atomic<std::int64_t> below{0};
  for_each_block(p.blocks, [&](PruneBlock<K>& block) {
    K keys[kBlockRoom];
    std::uint16_t positions[kBlockRoom];
    Split<K> part{block.x, block.n, bracket.lo, bracket.hi, p.nan};
    if (candidates != nullptr) {
      part.keys = keys;
      part.positions = positions;
    }
    if (write) {
      part.out = block.out;
      part.past_cache = p.past_cache;
    }
    split(part);
    below.fetch_add(part.below, std::memory_order_relaxed);
    block.ties = part.inside;
    if (candidates != nullptr) candidates->take(block, keys, positions, part.inside);
  });
  return below.load();
}

template <class K>
std::int64_t count_ties(const Pruning<K>& p) {
  std::int64_t ties = 0;
  for (const PruneBlock<K>& block : p.blocks) ties += block.ties;
  return ties;
}

/// Prunes with a threshold that is known or guessed. False where it is not the one: then nothing is written.
template <class K>
bool prune_at(const Pruning<K>& p, K threshold, bool& nan_reached) {
  const std::int64_t below = pass<K>(p, {threshold, threshold}, false, nullptr);
  const std::int64_t stay = below + count_ties(p) - p.remove;
  if (p.remove <= below || stay < 0) return false;
  nan_reached = threshold == p.nan;
  if (nan_reached) return true;
  share_out(p, stay);
  apply(p, threshold);
  return true;
}

/// A bracket whose ends, if many entries equal them, are guesses of their own instead of filling the bracket.
template <class K>
struct Guess {
  Bracket<K> bracket;
  std::optional<K> low;
  std::optional<K> high;
};

template <class K>
Guess<K> guess_threshold(const Pruning<K>& p) {
  if (p.n <= kSmall) return {{0, p.nan}, {}, {}};
  const std::int64_t wanted = std::min(kSample, p.n / 32);
  Scratch<K> sample(wanted + 64, p.stream);
  const std::int64_t count = sample_keys(p.blocks, p.n, wanted, p.nan, sample.data());
  const std::span<const K> keys(sample.data(), static_cast<std::size_t>(count));
  Guess<K> guess{{estimate_key(keys, p.remove, p.n, -kDeviations, p.nan, p.stream),
                  estimate_key(keys, p.remove, p.n, kDeviations, p.nan, p.stream)},
                 {},
                 {}};
  auto& [lo, hi] = guess.bracket;
  const auto is_frequent = [&](K key) { return std::count(keys.begin(), keys.end(), key) > count / 32; };
  if (is_frequent(lo)) guess.low = lo++;
  if (hi >= lo && is_frequent(hi)) guess.high = hi--;
  return guess;
}

/// One pass, then a selection among what it emitted. False where the threshold is not in the guessed bracket; `below`
/// says on which side. Then `out`, where it is not x, holds nothing of use.
template <class K>
bool prune_by_sample(const Pruning<K>& p, const Bracket<K>& bracket, bool& nan_reached, std::int64_t& below) {
  const bool write = !p.in_place && bracket.hi != p.nan;  // not before it is known that no NaN is reached
  Candidates<K> emitted(std::min(p.n, std::max(kSmall, p.n / 8)), p.stream);
  below = pass(p, bracket, write, &emitted);
  const std::int64_t inside = emitted.count();
  if (p.remove <= below || p.remove > below + inside || emitted.overflowed()) return false;

  Scratch<K> keys(inside + kSelectRoom, p.stream);
  std::copy_n(emitted.bits(), inside, keys.data());
  const std::span<K> among(keys.data(), static_cast<std::size_t>(inside));
  const K threshold = select_key(among, p.remove - below, p.nan, p.stream);
  nan_reached = threshold == p.nan;
  if (nan_reached) return true;
  std::atomic<std::int64_t> above{0};
  for_each_block(p.blocks, [&](PruneBlock<K>& block) {
    const K* const first = emitted.bits(block);
    block.ties = std::count(first, first + block.count, threshold);
    above.fetch_add(std::count_if(first, first + block.count, [&](K key) { return key > threshold; }),
                    std::memory_order_relaxed);
  });
  share_out(p, below + inside - p.remove - above.load());
  if (write) finish(p, emitted, threshold);
  else apply(p, threshold);
  return true;
}

/// The threshold by histograms, whatever the data are.
template <class K>
K exact_threshold(const Pruning<K>& p) {
  return radix_select<K>(p.remove,
                         [&](const auto& body) {
                           for_each_block(p.blocks, [&](const PruneBlock<K>& block) {
                             body([&](const auto& visit) {
                               for (std::int64_t i = 0; i < block.n; ++i) visit(key_of(p, block.x[i]));
                             });
                           });
                         })
      .key;
}

template <class T>
void prune(const PruneMagnitudeArgs& args, const Stream& stream) {
  using K = MagnitudeKey<T>;
  std::int64_t count = 0;
  Scratch<PruneBlock<K>> blocks = cut<K>(args.tensors, count, stream);
  Pruning<K> p{{blocks.data(), static_cast<std::size_t>(count)}, 0, args.remove, kNanKey<T>, false, true, stream};
  for (const PruneBlock<K>& block : p.blocks) {
    p.n += block.n;
    p.in_place |= block.x == block.out;
    p.past_cache &= reinterpret_cast<std::uintptr_t>(block.out) % 64 == 0;
  }
  p.past_cache &= !p.in_place && p.n * static_cast<std::int64_t>(sizeof(T)) >= kPastCacheBytes;

  *args.nan_reached = false;
  if (args.remove == 0) return apply(p, K{0});  // no ties are counted: zeros stay as well
  const Guess<K> guess = guess_threshold(p);
  std::int64_t below = args.remove;
  if (guess.bracket.lo <= guess.bracket.hi && prune_by_sample(p, guess.bracket, *args.nan_reached, below)) return;
  if (guess.low && p.remove <= below && prune_at(p, *guess.low, *args.nan_reached)) return;
  if (guess.high && prune_at(p, *guess.high, *args.nan_reached)) return;
  prune_at(p, exact_threshold(p), *args.nan_reached);
}

}  // namespace

void prune_magnitude(const PruneMagnitudeArgs& args, const Stream& stream) {
  dispatch_any_float("prune_magnitude", args.dtype, [&]<class T>() { prune<T>(args, stream); });
}

}  // namespace sparsert::backend::cpu
