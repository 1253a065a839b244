// tests/attention_support.hpp — masks of every family, each with the formula that says what it lets through.
#pragma once

#include <algorithm>
#include <functional>
#include <random>

#include "sparsert/attention.hpp"
#include "tests/support.hpp"

namespace sparsert::test {

using attention::Lengths;
using attention::Mask;
using attention::MaskOptions;

/// A family of masks, and whether query i sees key j.
struct Family {
  std::string name;
  std::function<Mask(Lengths, MaskOptions)> make;
  std::function<bool(Lengths n, std::int64_t offset, std::int64_t i, std::int64_t j)> sees;
};

/// Document ids that change now and then, come back, and are negative for padding.
inline std::int64_t id_of(std::int64_t token) { return token % 97 > 90 ? -1 : token / 40 % 3; }

inline std::vector<std::int64_t> make_ids(std::int64_t n) {
  std::vector<std::int64_t> ids;
  for (std::int64_t t = 0; t < n; ++t) ids.push_back(id_of(t));
  return ids;
}

/// A hash of the pair, for patterns without any structure.
inline std::uint64_t mix(std::int64_t i, std::int64_t j) {
  std::uint64_t z = static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15u + static_cast<std::uint64_t>(j);
  z = (z ^ (z >> 31)) * 0xbf58476d1ce4e5b9u;
  return z ^ (z >> 29);
}

inline Tensor scattered(Lengths n) {
  Tensor dense = Tensor::zeros({n.query, n.key}, DType::uint8);
  auto* const x = static_cast<std::uint8_t*>(dense.mutable_data());
  for (std::int64_t i = 0; i < n.query; ++i) {
    for (std::int64_t j = 0; j < n.key; ++j) x[i * n.key + j] = i % 5 != 3 && mix(i, j) % 7 == 0;
  }
  return dense;
}

/// Tokens near both ends and in the middle that there are among `keys`.
inline std::vector<std::int64_t> some_tokens(std::int64_t keys) {
  std::vector<std::int64_t> tokens;
  for (const std::int64_t t : {std::int64_t{0}, std::int64_t{1}, keys / 2, keys - 1, keys / 2}) {
    if (t >= 0 && t < keys) tokens.push_back(t);
  }
  return tokens;
}

inline bool is_global(std::int64_t keys, std::int64_t position) {
  const auto tokens = some_tokens(keys);
  return std::find(tokens.begin(), tokens.end(), position) != tokens.end();
}

inline const std::vector<Family>& families() {
  using I = std::int64_t;
  static const std::vector<Family> all{
      {"full", [](Lengths n, MaskOptions o) { return attention::full(n, o); }, [](Lengths, I, I, I) { return true; }},
      {"causal", [](Lengths n, MaskOptions o) { return attention::causal(n, o); },
       [](Lengths, I o, I i, I j) { return j <= i + o; }},
      {"window", [](Lengths n, MaskOptions o) { return attention::sliding_window(n, 20, o); },
       [](Lengths, I o, I i, I j) { return std::abs(i + o - j) < 20; }},
      {"wide window", [](Lengths n, MaskOptions o) { return attention::sliding_window(n, 150, o); },
       [](Lengths, I o, I i, I j) { return std::abs(i + o - j) < 150; }},
      {"empty window", [](Lengths n, MaskOptions o) { return attention::sliding_window(n, 0, o); },
       [](Lengths, I, I, I) { return false; }},
      {"dilated", [](Lengths n, MaskOptions o) { return attention::dilated(n, 4, 3, o); },
       [](Lengths, I o, I i, I j) { return std::abs(i + o - j) <= 12 && (i + o - j) % 3 == 0; }},
      {"far dilated", [](Lengths n, MaskOptions o) { return attention::dilated(n, 2, 70, o); },
       [](Lengths, I o, I i, I j) { return std::abs(i + o - j) <= 140 && (i + o - j) % 70 == 0; }},
      {"strided", [](Lengths n, MaskOptions o) { return attention::strided(n, 8, o); },
       [](Lengths, I o, I i, I j) { return j <= i + o && (i + o - j) % 8 == 0; }},
      {"far strided", [](Lengths n, MaskOptions o) { return attention::strided(n, 100, o); },
       [](Lengths, I o, I i, I j) { return j <= i + o && (i + o - j) % 100 == 0; }},
      {"global", [](Lengths n, MaskOptions o) { return attention::global_tokens(n, some_tokens(n.key), o); },
       [](Lengths n, I o, I i, I j) { return is_global(n.key, j) || is_global(n.key, i + o); }},
      {"longformer", [](Lengths n, MaskOptions o) { return attention::longformer(n, 9, some_tokens(n.key), o); },
       [](Lengths n, I o, I i, I j) {
         return std::abs(i + o - j) < 9 || is_global(n.key, j) || is_global(n.key, i + o);
       }},
      {"prefix", [](Lengths n, MaskOptions o) { return attention::prefix_lm(n, 37, o); },
       [](Lengths, I o, I i, I j) { return j < 37 || j <= i + o; }},
      {"document", [](Lengths n, MaskOptions o) { return attention::document(make_ids(n.query), make_ids(n.key), o); },
       [](Lengths, I, I i, I j) { return id_of(i) >= 0 && id_of(i) == id_of(j); }},
      {"scattered", [](Lengths n, MaskOptions o) { return attention::from_dense(scattered(n), o); },
       [](Lengths, I, I i, I j) { return i % 5 != 3 && mix(i, j) % 7 == 0; }},
      {"causal and (window or global)",
       [](Lengths n, MaskOptions o) {
         return attention::causal(n, o) &
                (attention::sliding_window(n, 30, o) | attention::global_tokens(n, some_tokens(n.key), o));
       },
       [](Lengths n, I o, I i, I j) {
         return j <= i + o && (std::abs(i + o - j) < 30 || is_global(n.key, j) || is_global(n.key, i + o));
       }},
      {"not (strided or window)",
       [](Lengths n, MaskOptions o) { return ~(attention::strided(n, 3, o) | attention::sliding_window(n, 70, o)); },
       [](Lengths, I o, I i, I j) { return !((j <= i + o && (i + o - j) % 3 == 0) || std::abs(i + o - j) < 70); }},
      {"halves that make a whole",
       [](Lengths n, MaskOptions o) { return attention::causal(n, o) | ~attention::causal(n, o); },
       [](Lengths, I, I, I) { return true; }},
      {"halves that make nothing",
       [](Lengths n, MaskOptions o) { return attention::strided(n, 2, o) & ~attention::causal(n, o); },
       [](Lengths, I, I, I) { return false; }},
  };
  return all;
}

}  // namespace sparsert::test
