// runtime/attention/node.cpp — bands and lists of keys: the two things that every mask is made of.
#include "runtime/attention/node.hpp"

#include <algorithm>

namespace sparsert::attention {
namespace {

std::int64_t blocks_of(std::int64_t n, std::int64_t block) { return (n + block - 1) / block; }

/// The smallest multiple of `step` that is at least x.
std::int64_t multiple_from(std::int64_t x, std::int64_t step) {
  const std::int64_t down = x / step * step;  // toward zero
  return down >= x ? down : down + step;
}

}  // namespace

// ---- Band

void Band::accept(NodeVisitor& visitor) const { visitor.visit(*this); }

void Band::runs(std::int64_t, Span rows, std::int64_t block, Runs& out) const {
  const std::int64_t keys = lengths().key;
  const std::int64_t first = rows.begin + offset_;  // positions of the first and the last query
  const std::int64_t last = rows.end - 1 + offset_;
  const Span some{std::max<std::int64_t>(0, first + lowest_), std::min(keys, last + highest_ + 1)};
  if (some.begin >= some.end || lowest_ > highest_) return;
  const std::int64_t begin = some.begin / block;
  const std::int64_t end = blocks_of(some.end, block);
  if (step_ > 1) {
    for (std::int64_t b = begin; b < end; ++b) {
      const Span columns{b * block, std::min(keys, (b + 1) * block)};
      // Every distance between these two occurs in the block.
      const std::int64_t nearest = std::max(columns.begin - last, lowest_);
      const std::int64_t farthest = std::min(columns.end - 1 - first, highest_);
      if (multiple_from(nearest, step_) > farthest) continue;
      append_run(out, b, b + 1, rows.size() == 1 && columns.size() == 1 ? Coverage::full : Coverage::partial);
    }
    return;
  }
  const Span every{std::max<std::int64_t>(0, last + lowest_), std::min(keys, first + highest_ + 1)};
  std::int64_t full_begin = blocks_of(every.begin, block);
  std::int64_t full_end = every.end == keys ? blocks_of(keys, block) : every.end / block;
  if (every.begin >= every.end || full_begin >= full_end) full_begin = full_end = end;
  append_run(out, begin, full_begin, Coverage::partial);
  append_run(out, full_begin, full_end, Coverage::full);
  append_run(out, full_end, end, Coverage::partial);
}

void Band::tile(std::int64_t, Span rows, std::int64_t key, TileBits& bits) const {
  const std::int64_t end = std::min(kTile, lengths().key - key);
  for (std::int64_t r = 0; r < rows.size(); ++r) {
    const std::int64_t position = rows.begin + r + offset_ - key;  // in the tile
    const std::int64_t from = std::clamp<std::int64_t>(position + lowest_, 0, kTile);
    const std::int64_t to = std::clamp<std::int64_t>(position + highest_ + 1, 0, end);
    std::uint64_t word = 0;
    if (step_ == 1) {
      word = bits_between(from, to);
    } else {
      for (std::int64_t c = position + multiple_from(from - position, step_); c < to; c += step_) {
        word |= std::uint64_t{1} << c;
      }
    }
    bits[static_cast<std::size_t>(r)] = word;
  }
  std::fill(bits.begin() + rows.size(), bits.end(), 0);
}

std::int64_t Band::count(std::int64_t, Span rows) const {
  const std::int64_t keys = lengths().key;
  std::int64_t count = 0;
  for (std::int64_t query = rows.begin; query < rows.end; ++query) {
    const std::int64_t position = query + offset_;
    const std::int64_t nearest = multiple_from(std::max(lowest_, -position), step_);
    const std::int64_t farthest = std::min(highest_, keys - 1 - position);
    if (nearest <= farthest) count += (farthest - nearest) / step_ + 1;
  }
  return count;
}

// ---- Lists

std::int64_t KeyLists::add_list(const std::vector<Span>& list) {
  for (const Span& span : list) {
    if (span.size() <= 0) continue;
    if (static_cast<std::int64_t>(spans.size()) > offsets.back() && spans.back().end == span.begin) {
      spans.back().end = span.end;
    } else {
      spans.push_back(span);
    }
  }
  offsets.push_back(static_cast<std::int64_t>(spans.size()));
  return static_cast<std::int64_t>(offsets.size()) - 2;
}

void KeyLists::add_stretch(std::int64_t first, std::int64_t list) {
  if (!list_of.empty() && list_of.back() == list) return;
  stretches.push_back(first);
  list_of.push_back(list);
}

template <class F>
void Lists::for_each_stretch(Span rows, F&& f) const {
  const auto& starts = lists_.stretches;
  auto s = static_cast<std::size_t>(std::upper_bound(starts.begin(), starts.end(), rows.begin) - starts.begin()) - 1;
  for (; s < starts.size() && starts[s] < rows.end; ++s) {
    const std::int64_t next = s + 1 < starts.size() ? starts[s + 1] : lengths().query;
    f(Span{std::max(rows.begin, starts[s]), std::min(rows.end, next)}, static_cast<std::size_t>(lists_.list_of[s]));
  }
}

void Lists::accept(NodeVisitor& visitor) const { visitor.visit(*this); }

std::int64_t Lists::bytes() const noexcept {
  const std::size_t numbers = lists_.stretches.size() + lists_.list_of.size() + lists_.offsets.size();
  return static_cast<std::int64_t>(sizeof(Lists) + numbers * sizeof(std::int64_t) + lists_.spans.size() * sizeof(Span));
}

std::int64_t Lists::count(std::int64_t, Span rows) const {
  std::int64_t count = 0;
  for_each_stretch(rows, [&](Span queries, std::size_t list) {
    std::int64_t keys = 0;
    for (std::int64_t s = lists_.offsets[list]; s < lists_.offsets[list + 1]; ++s) {
      keys += lists_.spans[static_cast<std::size_t>(s)].size();
    }
    count += queries.size() * keys;
  });
  return count;
}

void Lists::runs(std::int64_t, Span rows, std::int64_t block, Runs& out) const {
  const std::int64_t keys = lengths().key;
  // Of each block: how many queries see the whole of it (from changes at the ends of stretches of whole blocks), and
  // how many pairs the others see.
  struct Change {
    std::int64_t block;
    std::int64_t whole;
    std::int64_t pairs;
  };
  std::vector<Change> changes;
  const auto add_pairs = [&](std::int64_t b, std::int64_t pairs) {
    changes.push_back({b, 0, pairs});
    changes.push_back({b + 1, 0, -pairs});
  };
  for_each_stretch(rows, [&](Span queries, std::size_t list) {
    const std::int64_t weight = queries.size();
    for (std::int64_t s = lists_.offsets[list]; s < lists_.offsets[list + 1]; ++s) {
      const Span span = lists_.spans[static_cast<std::size_t>(s)];
      const std::int64_t first = span.begin / block;
      const std::int64_t whole = blocks_of(span.begin, block);
      const std::int64_t whole_end = span.end == keys ? blocks_of(keys, block) : span.end / block;
      if (whole < whole_end) {
        changes.push_back({whole, weight, 0});
        changes.push_back({whole_end, -weight, 0});
      }
      if (first < whole) add_pairs(first, (std::min(span.end, whole * block) - span.begin) * weight);
      if (whole_end >= whole && whole_end * block < span.end) {
        add_pairs(whole_end, (span.end - whole_end * block) * weight);
      }
    }
  });
  std::sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) { return a.block < b.block; });
  std::int64_t whole = 0;
  std::int64_t pairs = 0;
  for (std::size_t at = 0; at < changes.size();) {
    const std::int64_t begin = changes[at].block;
    for (; at < changes.size() && changes[at].block == begin; ++at) {
      whole += changes[at].whole;
      pairs += changes[at].pairs;
    }
    if (at == changes.size()) break;
    const std::int64_t width = std::min(block, keys - begin * block);
    const std::int64_t seen = whole * width + pairs;
    append_run(out, begin, changes[at].block,
               seen == 0                     ? Coverage::none
               : seen == rows.size() * width ? Coverage::full
                                             : Coverage::partial);
  }
}

void Lists::tile(std::int64_t, Span rows, std::int64_t key, TileBits& bits) const {
  for_each_stretch(rows, [&](Span queries, std::size_t list) {
    const auto begin = lists_.spans.begin() + lists_.offsets[list];
    const auto end = lists_.spans.begin() + lists_.offsets[list + 1];
    std::uint64_t word = 0;
    auto span = std::upper_bound(begin, end, key, [](std::int64_t k, const Span& s) { return k < s.end; });
    for (; span != end && span->begin < key + kTile; ++span) {
      word |= bits_between(std::max<std::int64_t>(0, span->begin - key), std::min(kTile, span->end - key));
    }
    std::fill(bits.begin() + (queries.begin - rows.begin), bits.begin() + (queries.end - rows.begin), word);
  });
  std::fill(bits.begin() + rows.size(), bits.end(), 0);
}

}  // namespace sparsert::attention
