// kernels/cpu/radix_select.hpp — the key of a given rank among any keys, in linear time whatever they are.
//
// One histogram pass per 11-bit digit, from the top: 3 passes for 32-bit keys. It is the fallback of the sampled
// selection, whose one pass is faster but needs a sample that tells the truth.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <mutex>

namespace sparsert::backend::cpu {

/// The key of a rank, and how many keys are below it and equal to it.
template <class Key>
struct Threshold {
  Key key;
  std::int64_t below;
  std::int64_t equal;
};

/// The `rank`-th smallest key (from 1). `for_each_part(body)` calls body(keys) in parallel on parts that cover all
/// keys once; keys(visit) calls visit(key) for each of a part's.
template <class Key, class ForEachPart>
Threshold<Key> radix_select(std::int64_t rank, const ForEachPart& for_each_part) {
  constexpr int kBits = 11;
  constexpr int kKeyBits = static_cast<int>(sizeof(Key)) * 8;
  using Histogram = std::array<std::int64_t, std::size_t{1} << kBits>;
  Threshold<Key> result{0, 0, 0};
  int shift = kKeyBits;  // the bits from `shift` up are known
  while (shift > 0) {
    const int width = std::min(kBits, shift);
    const int low = shift - width;
    Histogram total{};
    std::mutex mutex;
    for_each_part([&](const auto& keys) {
      Histogram part{};
      keys([&](Key key) {
        // Two shifts: one by all the bits of a key would be undefined.
        const bool matches = static_cast<Key>((key ^ result.key) >> (shift - 1) >> 1) == 0;
        part[static_cast<std::size_t>((key >> low) & ((Key{1} << width) - 1))] += matches ? 1 : 0;
      });
      const std::lock_guard lock(mutex);
      for (std::size_t digit = 0; digit < total.size(); ++digit) total[digit] += part[digit];
    });
    std::size_t digit = 0;
    while (result.below + total[digit] < rank) result.below += total[digit++];
    result.key = static_cast<Key>(result.key | static_cast<Key>(static_cast<Key>(digit) << low));
    result.equal = total[digit];
    shift = low;
  }
  return result;
}

}  // namespace sparsert::backend::cpu
