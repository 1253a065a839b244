// kernels/reference/prune.cpp — scores, norms, masks and thresholds, one element at a time: what they mean.
#include "kernels/prune.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/contract/prune.hpp"
#include "kernels/dispatch.hpp"

namespace sparsert::backend::reference {
namespace {

double chunk_norm(Norm norm, const Unit& unit, std::int64_t begin, std::int64_t end, const auto* x) {
  double lanes[kNormLanes] = {};
  for (std::int64_t e = begin; e < end; ++e) {
    double& lane = lanes[(e - begin) % kNormLanes];
    lane = add_to_norm(norm, lane, x[unit.element(e)]);
  }
  for (int distance = kNormLanes / 2; distance > 0; distance /= 2) {
    for (int l = 0; l < distance; ++l) lanes[l] = join_norms(norm, lanes[l], lanes[l + distance]);
  }
  return lanes[0];
}

}  // namespace

void element_scores(const ElementScoresArgs& args, const Stream&) {
  dispatch_any_float("element_scores", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    for (std::int64_t i = 0; i < args.rows * args.cols; ++i) {
      const double weight = args.score == Score::weighted ? args.weights[i % args.cols] : 1.0;
      args.scores[i] = score_of(args.score, x[i], weight, args.seed, i);
    }
  });
}

void block_norms(const BlockNormsArgs& args, const Stream&) {
  dispatch_any_float("block_norms", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    for (std::int64_t u = 0; u < args.blocks.units(); ++u) {
      const Unit unit(args.blocks, u);
      std::vector<double> parts;
      for (std::int64_t begin = 0; begin < unit.size(); begin += kNormChunk) {
        parts.push_back(chunk_norm(args.norm, unit, begin, std::min(begin + kNormChunk, unit.size()), x));
      }
      while (parts.size() > 1) {
        std::vector<double> pairs;
        for (std::size_t i = 0; i < parts.size(); i += 2) {
          pairs.push_back(i + 1 < parts.size() ? join_norms(args.norm, parts[i], parts[i + 1]) : parts[i]);
        }
        parts = pairs;
      }
      args.norms[u] = finish_norm(args.norm, parts.empty() ? 0.0 : parts[0]);
    }
  });
}

void select_units(const SelectUnitsArgs& args, const Stream&) {
  *args.nan_reached = false;
  std::vector<std::int64_t> order(static_cast<std::size_t>(args.size));
  for (std::int64_t g = 0; g < args.groups; ++g) {
    const double* const scores = args.scores + g * args.size;
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      const auto key_a = magnitude_key(scores[a]);
      const auto key_b = magnitude_key(scores[b]);
      return key_a != key_b ? key_a < key_b : a > b;
    });
    std::fill_n(args.keep + g * args.size, args.size, std::uint8_t{1});
    for (std::int64_t i = 0; i < args.remove; ++i) {
      const std::int64_t u = order[static_cast<std::size_t>(i)];
      if (scores[u] != scores[u]) *args.nan_reached = true;
      args.keep[g * args.size + u] = 0;
    }
  }
}

void mask_blocks(const MaskBlocksArgs& args, const Stream&) {
  dispatch_any_float("mask_blocks", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    auto* out = static_cast<T*>(args.out);
    for (std::int64_t i = 0; i < args.blocks.rows * args.blocks.cols; ++i) {
      out[i] = args.keep[unit_of(args.blocks, i)] != 0 ? x[i] : T{};
    }
  });
}

void prune_n_m(const PruneNMArgs& args, const Stream&) {
  dispatch_any_float("prune_n_m", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    auto* out = static_cast<T*>(args.out);
    for (std::int64_t o = 0; o < args.outer; ++o) {
      for (std::int64_t first = 0; first < args.size; first += args.m) {
        const auto count = static_cast<int>(std::min<std::int64_t>(args.m, args.size - first));
        for (std::int64_t i = 0; i < args.inner; ++i) {
          T group[kMaxGroup];
          for (int j = 0; j < count; ++j) group[j] = x[(o * args.size + first + j) * args.inner + i];
          for (int j = 0; j < count; ++j) {
            int ahead = 0;  // of the group's elements, those that stay before this one
            for (int k = 0; k < count; ++k) {
              const auto key_j = magnitude_key(group[j]);
              const auto key_k = magnitude_key(group[k]);
              ahead += key_k > key_j || (key_k == key_j && k < j) ? 1 : 0;
            }
            out[(o * args.size + first + j) * args.inner + i] = ahead < args.n ? group[j] : T{};
          }
        }
      }
    }
  });
}

void threshold(const ThresholdArgs& args, const Stream&) {
  dispatch_any_float("threshold", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    auto* out = static_cast<T*>(args.out);
    const auto lambda = static_cast<Compute<T>>(args.lambda);
    for (std::int64_t i = 0; i < args.n; ++i) out[i] = threshold_of(args.soft, x[i], lambda);
  });
}

void shrink_blocks(const ShrinkBlocksArgs& args, const Stream&) {
  dispatch_any_float("shrink_blocks", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    auto* out = static_cast<T*>(args.out);
    for (std::int64_t i = 0; i < args.blocks.rows * args.blocks.cols; ++i) {
      out[i] = shrunk(x[i], shrinkage_of(args.norms[unit_of(args.blocks, i)], args.lambda));
    }
  });
}

void take(const TakeArgs& args, const Stream&) {
  dispatch_any("take", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    auto* out = static_cast<T*>(args.out);
    for (std::int64_t o = 0; o < args.outer; ++o) {
      for (std::int64_t j = 0; j < args.count; ++j) {
        for (std::int64_t i = 0; i < args.inner; ++i) {
          *out++ = x[(o * args.size + args.indices[j]) * args.inner + i];
        }
      }
    }
  });
}

}  // namespace sparsert::backend::reference
