// runtime/attention/families.cpp — the masks that have names.
#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "runtime/attention/mask.hpp"

namespace sparsert::attention {
namespace {

constexpr std::int64_t kFar = Band::kUnbounded;

Mask band(Lengths n, const MaskOptions& options, std::int64_t lowest, std::int64_t highest, std::int64_t step) {
  return make_mask(std::make_shared<Band>(n, options.offset, lowest, highest, step), options.block_size);
}

void check_at_least(const char* op, const char* argument, std::int64_t got, std::int64_t least) {
  require(got >= least, [&] {
    return std::string(op) + ": " + argument + " is " + std::to_string(got) + ", expected at least " +
           std::to_string(least);
  });
}

/// The tokens as spans: sorted, once each.
std::vector<Span> spans_of(const char* op, std::span<const std::int64_t> tokens, std::int64_t keys) {
  std::vector<std::int64_t> sorted(tokens.begin(), tokens.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<Span> spans;
  for (const std::int64_t token : sorted) {
    require(token >= 0 && token < keys, [&] {
      return std::string(op) + ": tokens hold " + std::to_string(token) + ", expected 0 to " + std::to_string(keys - 1);
    });
    if (!spans.empty() && token < spans.back().end) continue;
    if (!spans.empty() && token == spans.back().end) ++spans.back().end;
    else spans.push_back({token, token + 1});
  }
  return spans;
}

/// Queries at the spans' positions see every key, the others the keys of the spans.
NodePtr global_node(Lengths n, const std::vector<Span>& spans, std::int64_t offset) {
  KeyLists lists;
  const std::int64_t all = lists.add_list({{0, n.key}});
  const std::int64_t some = lists.add_list(spans);
  lists.add_stretch(0, some);
  for (const Span& span : spans) {
    const Span queries{std::clamp<std::int64_t>(span.begin - offset, 0, n.query),
                       std::clamp<std::int64_t>(span.end - offset, 0, n.query)};
    if (queries.size() == 0) continue;
    if (queries.begin == 0) lists = {{}, {}, std::move(lists.offsets), std::move(lists.spans)};
    lists.add_stretch(queries.begin, all);
    if (queries.end < n.query) lists.add_stretch(queries.end, some);
  }
  return std::make_shared<Lists>(n, std::move(lists));
}

/// The next number of a sequence that a seed begins (SplitMix64: Steele, Lea, Flood 2014).
std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15u;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// Each group of 64 queries draws `random` keys: whole groups of 64, and the beginning of one more.
NodePtr random_node(Lengths n, std::int64_t random, std::uint64_t seed) {
  constexpr std::int64_t kGroup = 64;
  const std::int64_t groups = (n.key + kGroup - 1) / kGroup;
  const std::int64_t draws = std::min(groups, (random + kGroup - 1) / kGroup);
  KeyLists lists;
  std::uint64_t state = seed;
  std::vector<std::int64_t> chosen;
  std::vector<Span> spans;
  for (std::int64_t q = 0; q < n.query; q += kGroup) {
    // Distinct groups (Floyd's sampling: Bentley and Floyd 1987).
    chosen.clear();
    for (std::int64_t top = groups - draws; top < groups; ++top) {
      const auto drawn = static_cast<std::int64_t>(next_random(state) % static_cast<std::uint64_t>(top + 1));
      chosen.push_back(std::find(chosen.begin(), chosen.end(), drawn) == chosen.end() ? drawn : top);
    }
    spans.clear();
    std::int64_t left = random;
    for (const std::int64_t group : chosen) {
      const std::int64_t begin = group * kGroup;
      spans.push_back({begin, std::min(n.key, begin + std::min(left, kGroup))});
      left -= kGroup;
    }
    std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
    lists.add_stretch(q, lists.add_list(spans));
  }
  return std::make_shared<Lists>(n, std::move(lists));
}

}  // namespace

Mask full(Lengths n, const MaskOptions& options) {
  check_lengths("full", n, options);
  return band(n, options, -kFar, kFar, 1);
}

Mask causal(Lengths n, const MaskOptions& options) {
  check_lengths("causal", n, options);
  return band(n, options, -kFar, 0, 1);
}

Mask sliding_window(Lengths n, std::int64_t window, const MaskOptions& options) {
  check_lengths("sliding_window", n, options);
  check_at_least("sliding_window", "window", window, 0);
  const std::int64_t reach = std::min(window, kFar) - 1;
  return band(n, options, -reach, reach, 1);
}

Mask dilated(Lengths n, std::int64_t width, std::int64_t dilation, const MaskOptions& options) {
  check_lengths("dilated", n, options);
  check_at_least("dilated", "width", width, 0);
  check_at_least("dilated", "dilation", dilation, 1);
  const std::int64_t step = std::min(dilation, kFar);
  const std::int64_t reach = width > kFar / step ? kFar : width * step;
  return band(n, options, -reach, reach, step);
}

Mask strided(Lengths n, std::int64_t stride, const MaskOptions& options) {
  check_lengths("strided", n, options);
  check_at_least("strided", "stride", stride, 1);
  return band(n, options, -kFar, 0, std::min(stride, kFar));
}

Mask global_tokens(Lengths n, std::span<const std::int64_t> tokens, const MaskOptions& options) {
  check_lengths("global_tokens", n, options);
  return make_mask(global_node(n, spans_of("global_tokens", tokens, n.key), options.offset), options.block_size);
}

Mask prefix_lm(Lengths n, std::int64_t prefix, const MaskOptions& options) {
  check_lengths("prefix_lm", n, options);
  check_at_least("prefix_lm", "prefix", prefix, 0);
  KeyLists lists;
  lists.add_stretch(0, lists.add_list({{0, std::min(prefix, n.key)}}));
  return make_mask(
      unite(std::make_shared<Band>(n, options.offset, -kFar, 0, 1), std::make_shared<Lists>(n, std::move(lists))),
      options.block_size);
}

Mask bigbird(Lengths n, std::int64_t window, std::int64_t global, std::int64_t random, std::uint64_t seed,
             const MaskOptions& options) {
  check_lengths("bigbird", n, options);
  check_at_least("bigbird", "window", window, 0);
  check_at_least("bigbird", "global", global, 0);
  check_at_least("bigbird", "random", random, 0);
  const std::int64_t reach = std::min(window, kFar) - 1;
  const std::vector<Span> first{{0, std::min(global, n.key)}};
  NodePtr node = std::make_shared<Band>(n, options.offset, -reach, reach, 1);
  if (first.front().size() > 0) node = unite(node, global_node(n, first, options.offset));
  if (random > 0) node = unite(node, random_node(n, std::min(random, n.key), seed));
  return make_mask(std::move(node), options.block_size);
}

Mask longformer(Lengths n, std::int64_t window, std::span<const std::int64_t> tokens, const MaskOptions& options) {
  check_lengths("longformer", n, options);
  check_at_least("longformer", "window", window, 0);
  const std::int64_t reach = std::min(window, kFar) - 1;
  return make_mask(unite(std::make_shared<Band>(n, options.offset, -reach, reach, 1),
                         global_node(n, spans_of("longformer", tokens, n.key), options.offset)),
                   options.block_size);
}

Mask document(std::span<const std::int64_t> query_ids, std::span<const std::int64_t> key_ids,
              const MaskOptions& options) {
  const Lengths n{static_cast<std::int64_t>(query_ids.size()), static_cast<std::int64_t>(key_ids.size())};
  check_lengths("document", n, options);
  std::map<std::int64_t, std::vector<Span>> documents;
  for (std::int64_t k = 0; k < n.key;) {
    const std::int64_t id = key_ids[static_cast<std::size_t>(k)];
    const std::int64_t begin = k;
    while (k < n.key && key_ids[static_cast<std::size_t>(k)] == id) ++k;
    if (id >= 0) documents[id].push_back({begin, k});
  }
  KeyLists lists;
  const std::int64_t none = lists.add_list({});
  std::map<std::int64_t, std::int64_t> list_of;
  for (const auto& [id, spans] : documents) list_of[id] = lists.add_list(spans);
  std::int64_t before = -1;
  std::int64_t list = none;
  for (std::int64_t q = 0; q < n.query; ++q) {
    const std::int64_t id = query_ids[static_cast<std::size_t>(q)];
    if (q == 0 || id != before) {
      const auto found = list_of.find(id);
      list = found == list_of.end() ? none : found->second;
      lists.add_stretch(q, list);
    }
    before = id;
  }
  return make_mask(std::make_shared<Lists>(n, std::move(lists)), options.block_size);
}

Mask document(std::span<const std::int64_t> ids, const MaskOptions& options) { return document(ids, ids, options); }

}  // namespace sparsert::attention
