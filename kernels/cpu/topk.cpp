// kernels/cpu/topk.cpp — the k largest magnitudes of each row, in order.
//
// A sample gives a key that a little more than k entries reach. One pass emits those, in the order of their index; a
// stable radix sort by magnitude then puts them in the order of the contract, and the first k are the result. Where too
// few or too many entries reach the key, histograms find the exact one, and ties are taken from the front.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>

#include "device/parallel.hpp"
#include "kernels/contract/topk.hpp"
#include "kernels/cpu/candidates.hpp"
#include "kernels/cpu/radix_select.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/select.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/numerics.hpp"

namespace sparsert::backend::cpu {
namespace {

constexpr std::int64_t kSmall = 512;  // rows up to here: every entry is a candidate
constexpr std::int64_t kSample = 1 << 14;
constexpr double kDeviations = 3.0;
constexpr double kMoreDeviations = 16.0;     // where neighbours are alike, a sample of bursts errs by more
constexpr std::int64_t kSortPart = 1 << 16;  // entries that a thread sorts at a time
constexpr std::int64_t kRowGrain = 1 << 15;  // elements of a task of whole rows

template <class K>
constexpr K kMagnitude = static_cast<K>(static_cast<K>(-1) >> 1);

/// An entry that may be among the largest.
template <class K, class Index>
struct Entry {
  K bits;  // sign and magnitude, NaNs made one
  Index index;

  K key() const { return bits & kMagnitude<K>; }
};

template <class K>
struct Row {
  const K* x;
  std::int64_t n;
  std::int64_t k;
  K nan;
  std::span<Block<K>> blocks;
  const Stream& stream;
};

/// Sorts by descending key, stably; keys are in [low, top]. Uses `spare` too, and returns where the result is.
template <class E, class K>
E* sort_descending(E* entries, E* spare, std::int64_t n, K low, K top, const Stream& stream) {
  if (n <= 64) {
    std::sort(entries, entries + n,
              [](const E& a, const E& b) { return a.key() != b.key() ? a.key() > b.key() : a.index < b.index; });
    return entries;
  }
  const int bits = static_cast<int>(std::bit_width(static_cast<K>(top - low)));
  const int widest = std::clamp(static_cast<int>(std::bit_width(static_cast<std::uint64_t>(n))) - 2, 6, 12);
  const int passes = (bits + widest - 1) / widest;
  const int width = passes == 0 ? 0 : (bits + passes - 1) / passes;
  const std::int64_t digits = std::int64_t{1} << width;
  const std::int64_t parts = (n + kSortPart - 1) / kSortPart;
  using Place = decltype(E::index);
  Scratch<Place> places(parts * digits, stream);  // of the next entry with a digit, by part
  for (int pass = 0; pass < passes; ++pass) {
    // By value: what is captured by reference would be read again after each entry is written.
    const auto digit_of = [top, shift = pass * width, mask = digits - 1](const E& e) {
      return static_cast<std::int64_t>(static_cast<K>(top - e.key()) >> shift) & mask;
    };
    const auto for_each_part = [&](const auto& body) {
      parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t p = begin; p < end; ++p) {
          body(places.data() + p * digits, entries + p * kSortPart, entries + std::min(n, (p + 1) * kSortPart));
        }
      });
    };
    for_each_part([=](Place* count, const E* first, const E* last) {
      const auto digit = digit_of;
      std::fill_n(count, digits, Place{0});
      for (const E* e = first; e < last; ++e) ++count[digit(*e)];
    });
    Place place = 0;
    for (std::int64_t digit = 0; digit < digits; ++digit) {
      for (std::int64_t p = 0; p < parts; ++p) place += std::exchange(places[p * digits + digit], place);
    }
    for_each_part([=](Place* next, const E* first, const E* last) {
      const auto digit = digit_of;
      E* const to = spare;
      for (const E* e = first; e < last; ++e) to[next[digit(*e)]++] = *e;
    });
    std::swap(entries, spare);
  }
  return entries;
}

/// Writes the first of the candidates by magnitude, at most k of them. Returns how many.
template <class Index, class K>
std::int64_t write_sorted(const Row<K>& row, const Candidates<K>& candidates, K low, K* values, std::int64_t* indices) {
  using E = Entry<K, Index>;
  const std::int64_t count = candidates.count();
  Scratch<E> entries(count, row.stream);
  Scratch<E> spare(count, row.stream);
  std::int64_t place = 0;
  Scratch<std::int64_t> places(static_cast<std::int64_t>(row.blocks.size()), row.stream);
  for (std::size_t b = 0; b < row.blocks.size(); ++b) {
    places[static_cast<std::int64_t>(b)] = place;
    place += row.blocks[b].count;
  }
  for_each_block(row.blocks, [&](const Block<K>& block) {
    const K* const bits = candidates.bits(block);
    const std::uint16_t* const positions = candidates.positions(block);
    E* const to = entries.data() + places[&block - row.blocks.data()];
    for (std::int64_t i = 0; i < block.count; ++i) {
      to[i] = {bits[i], static_cast<Index>(block.start + positions[i])};
    }
  });
  K top = low;
  for (const E& e : entries) top = std::max(top, e.key());
  const E* const sorted = sort_descending(entries.data(), spare.data(), count, low, top, row.stream);
  const std::int64_t wanted = std::min(row.k, count);
  parallel_for(wanted, kSortPart, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      indices[i] = static_cast<std::int64_t>(sorted[i].index);
      values[i] = sorted[i].key() == row.nan ? row.x[indices[i]] : sorted[i].bits;
    }
  });
  return wanted;
}

template <class K>
std::int64_t write_candidates(const Row<K>& row, const Candidates<K>& candidates, K low, K* values,
                              std::int64_t* indices) {
  if (row.n <= std::int64_t{1} << 32) return write_sorted<std::uint32_t>(row, candidates, low, values, indices);
  return write_sorted<std::uint64_t>(row, candidates, low, values, indices);
}

/// How many candidates there is room for.
template <class K>
std::int64_t capacity_of(const Row<K>& row) {
  return std::min(row.n, std::max(kSmall, 4 * row.k + row.n / 16));
}

/// One pass that emits every entry with a key of at least `lo`.
template <class K>
void collect(const Row<K>& row, K lo, Candidates<K>& candidates) {
  for_each_block(row.blocks, [&](Block<K>& block) {
    K bits[kBlockRoom];
    std::uint16_t positions[kBlockRoom];
    const std::int64_t count = collect_from(block.x, block.n, lo, row.nan, bits, positions);
    candidates.take(block, bits, positions, count);
  });
}

/// The k largest where fewer than k are above `tie`: those, then the first ties. False where it is not so.
template <class K>
bool topk_at(const Row<K>& row, K tie, K* values, std::int64_t* indices) {
  std::int64_t written = 0;
  if (tie != row.nan) {
    Candidates<K> above(capacity_of(row), row.stream);
    collect(row, static_cast<K>(tie + 1), above);
    if (above.overflowed() || above.count() > row.k) return false;
    written = write_candidates(row, above, tie, values, indices);
  }
  for (const Block<K>& block : row.blocks) {
    if (written == row.k) break;
    K keys[kBlockRoom];
    std::uint16_t positions[kBlockRoom];
    Split<K> part{block.x, block.n, tie, tie, row.nan, keys, positions};
    split(part);
    for (std::int64_t i = 0; i < part.inside && written < row.k; ++i, ++written) {
      indices[written] = block.start + positions[i];
      values[written] = row.x[indices[written]];
    }
  }
  return written == row.k;
}

/// The key of the k-th largest by histograms, whatever the data are.
template <class K>
K exact_key(const Row<K>& row) {
  return radix_select<K>(row.n - row.k + 1,
                         [&](const auto& body) {
                           for_each_block(row.blocks, [&](const Block<K>& block) {
                             body([&](const auto& visit) {
                               for (std::int64_t i = 0; i < block.n; ++i)
                                 visit(std::min<K>(block.x[i] & kMagnitude<K>, row.nan));
                             });
                           });
                         })
      .key;
}

/// The k largest from the entries with a key of at least `lo`. False where those are fewer, or more than there is room
/// for.
template <class K>
bool topk_from(const Row<K>& row, K lo, K* values, std::int64_t* indices) {
  Candidates<K> candidates(capacity_of(row), row.stream);
  collect(row, lo, candidates);
  if (candidates.overflowed() || candidates.count() < row.k) return false;
  write_candidates(row, candidates, lo, values, indices);
  return true;
}

template <class K>
bool topk_by_sample(const Row<K>& row, K* values, std::int64_t* indices) {
  if (row.n <= kSmall) return topk_from(row, K{0}, values, indices);
  const std::int64_t wanted = std::min(kSample, std::max<std::int64_t>(256, row.n / 64));
  Scratch<K> sample(wanted + 64, row.stream);
  const std::int64_t drawn = sample_keys(row.blocks, row.n, wanted, row.nan, sample.data());
  const std::span<const K> keys(sample.data(), static_cast<std::size_t>(drawn));
  const double room = static_cast<double>(capacity_of(row)) / static_cast<double>(row.n);
  for (const double deviations : {kDeviations, kMoreDeviations}) {
    const K lo = estimate_key(keys, row.n - row.k + 1, row.n, -deviations, row.nan, row.stream);
    const auto reach = std::count_if(keys.begin(), keys.end(), [&](K key) { return key >= lo; });
    const bool fits = static_cast<double>(reach) <= room * static_cast<double>(drawn);
    if (fits ? topk_from(row, lo, values, indices) : topk_at(row, lo, values, indices)) return true;
  }
  return false;
}

template <class K>
void topk_row(const Row<K>& row, K* values, std::int64_t* indices) {
  if (!topk_by_sample(row, values, indices)) topk_at(row, exact_key(row), values, indices);
}

template <class T>
void topk_rows(const TopkArgs& args, const Stream& stream) {
  using K = MagnitudeKey<T>;
  const std::int64_t grain = std::max<std::int64_t>(1, kRowGrain / std::max<std::int64_t>(1, args.n));
  const std::int64_t count = (args.n + kBlock - 1) / kBlock;
  parallel_for(args.rows, grain, [&](std::int64_t begin, std::int64_t end) {
    Scratch<Block<K>> blocks(count, stream);
    for (std::int64_t r = begin; r < end; ++r) {
      const K* const x = static_cast<const K*>(args.x) + r * args.n;
      for (std::int64_t b = 0; b < count; ++b) {
        blocks[b] = {x + b * kBlock, std::min(kBlock, args.n - b * kBlock), b * kBlock};
      }
      const Row<K> row{x, args.n, args.k, kNanKey<T>, {blocks.data(), static_cast<std::size_t>(count)}, stream};
      topk_row(row, static_cast<K*>(args.values) + r * args.k, args.indices + r * args.k);
    }
  });
}

}  // namespace

void topk(const TopkArgs& args, const Stream& stream) {
  if (args.k == 0) return;
  dispatch_any_float("topk", args.dtype, [&]<class T>() { topk_rows<T>(args, stream); });
}

}  // namespace sparsert::backend::cpu
