// kernels/cpu/prune.cpp — scores, norms, masks by a score, N:M and thresholds, with TBB.
#include "kernels/prune.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <type_traits>

#include "device/parallel.hpp"
#include "kernels/contract/prune.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/select.hpp"
#include "kernels/cpu/two_of_four.hpp"
#include "kernels/dispatch.hpp"

namespace sparsert::backend::cpu {
namespace {

constexpr std::int64_t kGrain = 1 << 15;            // elements of a task
constexpr std::int64_t kPastCacheBytes = 16 << 20;  // outputs from here on are written past the caches
constexpr std::int64_t kColumns = 64;               // columns whose norms are summed side by side
constexpr std::int64_t kGroupTile = 64;             // N:M groups ranked side by side
constexpr std::uint64_t kNan = kNanKey<double>;

std::int64_t grain_of(std::int64_t tasks, std::int64_t elements) {
  return std::max<std::int64_t>(1, kGrain * tasks / std::max<std::int64_t>(1, elements));
}

// ---- scores

template <class T>
void random_scores(const T* x, std::int64_t begin, std::int64_t end, std::uint64_t seed, double* scores) {
  for (std::int64_t i = begin; i < end;) {
    const Philox drawn(static_cast<std::uint64_t>(i) / 4, 0, seed);
    for (std::int64_t w = i % 4; w < 4 && i < end; ++w, ++i) {
      const double magnitude = magnitude_of(x[i]);
      scores[i] = magnitude == magnitude ? static_cast<double>(drawn.word[w]) : magnitude;
    }
  }
}

// ---- norms

using Lanes = std::array<double, kNormLanes>;

double join_lanes(Norm norm, Lanes& lanes) {
  for (int distance = kNormLanes / 2; distance > 0; distance /= 2) {
    for (int l = 0; l < distance; ++l) lanes[l] = join_norms(norm, lanes[l], lanes[l + distance]);
  }
  return lanes[0];
}

/// In place; `stride` doubles lie between two parts.
double join_parts(Norm norm, double* parts, std::int64_t count, std::int64_t stride) {
  for (; count > 1; count = (count + 1) / 2) {
    for (std::int64_t i = 0; i < count; i += 2) {
      const bool pair = i + 1 < count;
      parts[i / 2 * stride] = pair ? join_norms(norm, parts[i * stride], parts[(i + 1) * stride]) : parts[i * stride];
    }
  }
  return count == 0 ? 0.0 : parts[0];
}

template <Norm kNorm, class T>
double chunk_norm(const Unit& unit, std::int64_t begin, std::int64_t end, const T* x) {
  Lanes lanes{};
  std::int64_t row = begin / unit.cols;
  std::int64_t col = begin % unit.cols;
  for (std::int64_t e = begin; e < end;) {
    const std::int64_t count = std::min(unit.cols - col, end - e);
    const T* const from = x + unit.first + row * unit.stride + col;
    std::int64_t i = 0;
    if ((e - begin) % kNormLanes == 0) {
      for (; i + kNormLanes <= count; i += kNormLanes) {
        for (int l = 0; l < kNormLanes; ++l) lanes[l] = add_to_norm(kNorm, lanes[l], from[i + l]);
      }
    }
    for (; i < count; ++i) {
      double& lane = lanes[static_cast<std::size_t>((e - begin + i) % kNormLanes)];
      lane = add_to_norm(kNorm, lane, from[i]);
    }
    e += count;
    col = 0;
    ++row;
  }
  return join_lanes(kNorm, lanes);
}

/// Units that are whole columns: kColumns of them side by side, so that rows are read as they lie.
template <Norm kNorm, class T>
void column_norms(const BlockNormsArgs& args, const Stream& stream) {
  const Blocks& blocks = args.blocks;
  const auto* const x = static_cast<const T*>(args.x);
  const std::int64_t chunks = (blocks.rows + kNormChunk - 1) / kNormChunk;
  const std::int64_t tiles = (blocks.cols + kColumns - 1) / kColumns;
  Scratch<double> parts(chunks * blocks.cols, stream);  // chunk by chunk
  parallel_for(chunks * tiles, 1, [&](std::int64_t task, std::int64_t last) {
    for (; task < last; ++task) {
      const std::int64_t first_row = task / tiles * kNormChunk;
      const std::int64_t last_row = std::min(first_row + kNormChunk, blocks.rows);
      const std::int64_t col = task % tiles * kColumns;
      const std::int64_t count = std::min(kColumns, blocks.cols - col);
      double lanes[kNormLanes][kColumns] = {};
      for (std::int64_t r = first_row; r < last_row; ++r) {
        double* const lane = lanes[(r - first_row) % kNormLanes];
        const T* const from = x + r * blocks.cols + col;
        for (std::int64_t c = 0; c < count; ++c) lane[c] = add_to_norm(kNorm, lane[c], from[c]);
      }
      for (std::int64_t c = 0; c < count; ++c) {
        Lanes column;
        for (std::size_t l = 0; l < column.size(); ++l) column[l] = lanes[l][c];
        parts[task / tiles * blocks.cols + col + c] = join_lanes(kNorm, column);
      }
    }
  });
  for (std::int64_t c = 0; c < blocks.cols; ++c) {
    args.norms[c] = finish_norm(kNorm, join_parts(kNorm, parts.data() + c, chunks, blocks.cols));
  }
}

template <Norm kNorm, class T>
void norms_of(const BlockNormsArgs& args, const Stream& stream) {
  const Blocks& blocks = args.blocks;
  const std::int64_t units = blocks.units();
  if (units == 0) return;
  if (blocks.block_cols == 1 && blocks.block_rows >= blocks.rows) return column_norms<kNorm, T>(args, stream);
  const auto* const x = static_cast<const T*>(args.x);
  const std::int64_t size = Unit(blocks, 0).size();  // the first is as large as any
  const std::int64_t chunks = (size + kNormChunk - 1) / kNormChunk;
  Scratch<double> parts(units * chunks, stream);
  parallel_for(units * chunks, grain_of(units * chunks, blocks.rows * blocks.cols),
               [&](std::int64_t task, std::int64_t last) {
                 for (; task < last; ++task) {
                   const Unit unit(blocks, task / chunks);
                   const std::int64_t begin = task % chunks * kNormChunk;
                   const std::int64_t end = std::min(begin + kNormChunk, unit.size());
                   parts[task] = chunk_norm<kNorm>(unit, begin, end, x);
                 }
               });
  for (std::int64_t u = 0; u < units; ++u) {
    const std::int64_t used = (Unit(blocks, u).size() + kNormChunk - 1) / kNormChunk;
    args.norms[u] = finish_norm(kNorm, join_parts(kNorm, parts.data() + u * chunks, used, 1));
  }
}

// ---- masks

/// Keeps one group's highest scores. Returns whether a NaN would have gone.
bool select_group(const double* scores, std::int64_t n, std::int64_t remove, std::uint8_t* keep, const Stream& stream) {
  if (remove == 0) {
    std::fill_n(keep, n, std::uint8_t{1});
    return false;
  }
  Scratch<std::uint64_t> keys(n + kSelectRoom, stream);
  parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) keys[i] = magnitude_key(scores[i]);
  });
  const std::uint64_t limit =
      select_key<std::uint64_t>({keys.data(), static_cast<std::size_t>(n)}, remove, kNan, stream);
  if (limit == kNan) return true;
  const std::int64_t blocks = (n + kGrain - 1) / kGrain;
  Scratch<std::int64_t> ties(blocks, stream);
  std::atomic<std::int64_t> above{0};
  parallel_for(blocks, 1, [&](std::int64_t b, std::int64_t last) {
    for (; b < last; ++b) {
      std::int64_t equal = 0;
      std::int64_t larger = 0;
      for (std::int64_t i = b * kGrain; i < std::min(n, (b + 1) * kGrain); ++i) {
        const std::uint64_t key = magnitude_key(scores[i]);
        equal += key == limit ? 1 : 0;
        larger += key > limit ? 1 : 0;
      }
      ties[b] = equal;
      above.fetch_add(larger, std::memory_order_relaxed);
    }
  });
  std::int64_t stay = n - remove - above.load();  // of the ties, from the first
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t mine = std::min(ties[b], stay);
    ties[b] = mine;
    stay -= mine;
  }
  parallel_for(blocks, 1, [&](std::int64_t b, std::int64_t last) {
    for (; b < last; ++b) {
      std::int64_t left = ties[b];
      for (std::int64_t i = b * kGrain; i < std::min(n, (b + 1) * kGrain); ++i) {
        const std::uint64_t key = magnitude_key(scores[i]);
        const bool stays = key > limit || (key == limit && left > 0);
        left -= key == limit && left > 0 ? 1 : 0;
        keep[i] = stays ? 1 : 0;
      }
    }
  });
  return false;
}

/// Calls body(unit's number, first element, count) for each run of a row's elements that one unit holds.
template <class Body>
void for_each_run(const Blocks& blocks, const Body& body) {
  parallel_for(blocks.rows, grain_of(blocks.rows, blocks.rows * blocks.cols), [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r) {
      const std::int64_t first_unit = r / blocks.block_rows * blocks.across();
      for (std::int64_t b = 0; b < blocks.across(); ++b) {
        const std::int64_t col = b * blocks.block_cols;
        body(first_unit + b, r * blocks.cols + col, std::min(blocks.block_cols, blocks.cols - col));
      }
    }
  });
}

// ---- N:M

/// Ranks up to kGroupTile groups side by side: element j of group t is x[j * along + t * across].
template <class T>
void prune_groups(const T* x, T* out, int n, int m, std::int64_t groups, std::int64_t along, std::int64_t across) {
  using K = MagnitudeKey<T>;
  T group[kMaxGroup][kGroupTile];
  K keys[kMaxGroup][kGroupTile];
  for (int j = 0; j < m; ++j) {
    for (std::int64_t t = 0; t < groups; ++t) {
      group[j][t] = x[j * along + t * across];
      keys[j][t] = magnitude_key(group[j][t]);
    }
  }
  for (int j = 0; j < m; ++j) {
    K ahead[kGroupTile] = {};  // as wide as a key, so that comparisons and counts are one kind of vector
    for (int k = 0; k < j; ++k) {
      for (std::int64_t t = 0; t < groups; ++t)
        ahead[t] = static_cast<K>(ahead[t] + (keys[k][t] >= keys[j][t] ? 1 : 0));
    }
    for (int k = j + 1; k < m; ++k) {
      for (std::int64_t t = 0; t < groups; ++t) ahead[t] = static_cast<K>(ahead[t] + (keys[k][t] > keys[j][t] ? 1 : 0));
    }
    for (std::int64_t t = 0; t < groups; ++t) {
      out[j * along + t * across] = ahead[t] < static_cast<K>(n) ? group[j][t] : T{};
    }
  }
}

template <class T>
void prune_lines(const PruneNMArgs& args) {
  const auto* const x = static_cast<const T*>(args.x);
  auto* const out = static_cast<T*>(args.out);
  const std::int64_t whole = args.size / args.m;
  const int rest = static_cast<int>(args.size % args.m);
  const std::int64_t line = args.size * args.inner;
  const auto tiled = [&](std::int64_t at, int m, std::int64_t groups, std::int64_t along, std::int64_t across) {
    for (std::int64_t t = 0; t < groups; t += kGroupTile) {
      prune_groups(x + at + t * across, out + at + t * across, args.n, m, std::min(kGroupTile, groups - t), along,
                   across);
    }
  };
  parallel_for(args.outer, grain_of(args.outer, args.outer * line), [&](std::int64_t o, std::int64_t end) {
    for (; o < end; ++o) {
      if (args.inner == 1) {
        tiled(o * line, args.m, whole, 1, args.m);
      } else {
        for (std::int64_t g = 0; g < whole; ++g) {
          tiled(o * line + g * args.m * args.inner, args.m, args.inner, args.inner, 1);
        }
      }
      if (rest != 0) tiled(o * line + whole * args.m * args.inner, rest, args.inner, args.inner, 1);
    }
  });
}

void prune_whole_fours(const PruneNMArgs& args) {
  const auto* const x = static_cast<const std::uint32_t*>(args.x);
  auto* const out = static_cast<std::uint32_t*>(args.out);
  const std::int64_t n = args.outer * args.size;
  const bool past_cache = x != out && n * 4 >= kPastCacheBytes && reinterpret_cast<std::uintptr_t>(out) % 64 == 0;
  parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    prune_two_of_four(x + begin, out + begin, end - begin, past_cache);
  });
}

}  // namespace

void element_scores(const ElementScoresArgs& args, const Stream&) {
  dispatch_any_float("element_scores", args.dtype, [&]<class T>() {
    const auto* const x = static_cast<const T*>(args.x);
    if (args.score != Score::weighted) {
      parallel_for(args.rows * args.cols, kGrain, [&](std::int64_t begin, std::int64_t end) {
        if (args.score == Score::random) return random_scores(x, begin, end, args.seed, args.scores);
        for (std::int64_t i = begin; i < end; ++i) args.scores[i] = magnitude_of(x[i]);
      });
      return;
    }
    parallel_for(args.rows, grain_of(args.rows, args.rows * args.cols), [&](std::int64_t r, std::int64_t end) {
      for (; r < end; ++r) {
        const T* const from = x + r * args.cols;
        double* const to = args.scores + r * args.cols;
        for (std::int64_t c = 0; c < args.cols; ++c) to[c] = magnitude_of(from[c]) * args.weights[c];
      }
    });
  });
}

void block_norms(const BlockNormsArgs& args, const Stream& stream) {
  dispatch_any_float("block_norms", args.dtype, [&]<class T>() {
    switch (args.norm) {
      case Norm::l1: return norms_of<Norm::l1, T>(args, stream);
      case Norm::l2: return norms_of<Norm::l2, T>(args, stream);
      case Norm::max: return norms_of<Norm::max, T>(args, stream);
      case Norm::squares: return norms_of<Norm::squares, T>(args, stream);
    }
  });
}

void select_units(const SelectUnitsArgs& args, const Stream& stream) {
  std::atomic<bool> nan_reached{false};
  parallel_for(args.groups, grain_of(args.groups, args.groups * args.size), [&](std::int64_t g, std::int64_t end) {
    for (; g < end; ++g) {
      const std::int64_t first = g * args.size;
      if (select_group(args.scores + first, args.size, args.remove, args.keep + first, stream)) nan_reached = true;
    }
  });
  *args.nan_reached = nan_reached.load();
}

void mask_blocks(const MaskBlocksArgs& args, const Stream&) {
  dispatch_any_float("mask_blocks", args.dtype, [&]<class T>() {
    const auto* const x = static_cast<const T*>(args.x);
    auto* const out = static_cast<T*>(args.out);
    const Blocks& blocks = args.blocks;
    if (blocks.block_rows == 1 && blocks.block_cols == 1) {
      parallel_for(blocks.rows * blocks.cols, kGrain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) out[i] = args.keep[i] != 0 ? x[i] : T{};
      });
      return;
    }
    for_each_run(blocks, [&](std::int64_t u, std::int64_t first, std::int64_t count) {
      if (args.keep[u] == 0) std::fill_n(out + first, count, T{});
      else if (x != out) std::copy_n(x + first, count, out + first);
    });
  });
}

void prune_n_m(const PruneNMArgs& args, const Stream&) {
  const bool whole_fours = args.n == 2 && args.m == 4 && args.inner == 1 && args.size % 4 == 0;
  if (args.dtype == DType::float32 && whole_fours) return prune_whole_fours(args);
  dispatch_any_float("prune_n_m", args.dtype, [&]<class T>() { prune_lines<T>(args); });
}

void threshold(const ThresholdArgs& args, const Stream&) {
  dispatch_any_float("threshold", args.dtype, [&]<class T>() {
    const auto* const x = static_cast<const T*>(args.x);
    auto* const out = static_cast<T*>(args.out);
    const auto lambda = static_cast<Compute<T>>(args.lambda);
    parallel_for(args.n, kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) out[i] = threshold_of(args.soft, x[i], lambda);
    });
  });
}

void shrink_blocks(const ShrinkBlocksArgs& args, const Stream&) {
  dispatch_any_float("shrink_blocks", args.dtype, [&]<class T>() {
    const auto* const x = static_cast<const T*>(args.x);
    auto* const out = static_cast<T*>(args.out);
    for_each_run(args.blocks, [&](std::int64_t u, std::int64_t first, std::int64_t count) {
      const double factor = shrinkage_of(args.norms[u], args.lambda);
      for (std::int64_t i = first; i < first + count; ++i) out[i] = shrunk(x[i], factor);
    });
  });
}

void take(const TakeArgs& args, const Stream&) {
  const std::int64_t run = args.inner * static_cast<std::int64_t>(size_of(args.dtype));
  const auto* const x = static_cast<const std::byte*>(args.x);
  auto* const out = static_cast<std::byte*>(args.out);
  const std::int64_t runs = args.outer * args.count;
  parallel_for(runs, grain_of(runs, runs * args.inner), [&](std::int64_t r, std::int64_t end) {
    for (; r < end; ++r) {
      const std::int64_t from = r / args.count * args.size + args.indices[r % args.count];
      std::copy_n(x + from * run, run, out + r * run);
    }
  });
}

}  // namespace sparsert::backend::cpu
