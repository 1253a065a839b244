// kernels/cpu/topk.cpp — the k largest magnitudes of each row, with TBB.
#include <algorithm>
#include <cstdint>

#include "device/parallel.hpp"
#include "kernels/cpu/radix_select.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/numerics.hpp"

namespace sparsert::backend::cpu {
namespace {

constexpr std::int64_t kGrain = 1 << 15;  // elements of a task

/// An entry that may be among the largest.
template <class T>
struct Candidate {
  MagnitudeKey<T> key;
  std::int64_t index;
};

template <class T>
void topk_row(const T* x, std::int64_t n, std::int64_t k, T* values, std::int64_t* indices, const Stream& stream) {
  using Key = MagnitudeKey<T>;
  if (k == 0) return;
  const Threshold<Key> threshold = radix_select<Key>(n - k + 1, [&](const auto& body) {
    parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
      body([&](const auto& visit) {
        for (std::int64_t i = begin; i < end; ++i) visit(magnitude_key(x[i]));
      });
    });
  });
  Scratch<Candidate<T>> chosen(k, stream);
  std::int64_t ties = k - (n - threshold.below - threshold.equal);
  Candidate<T>* next = chosen.data();
  for (std::int64_t i = 0; i < n; ++i) {
    const Key key = magnitude_key(x[i]);
    if (key > threshold.key || (key == threshold.key && ties-- > 0)) *next++ = {key, i};
  }
  std::sort(chosen.begin(), chosen.end(), [](const Candidate<T>& a, const Candidate<T>& b) {
    return a.key != b.key ? a.key > b.key : a.index < b.index;
  });
  for (std::int64_t i = 0; i < k; ++i) {
    indices[i] = chosen[i].index;
    values[i] = x[indices[i]];
  }
}

}  // namespace

void topk(const TopkArgs& args, const Stream& stream) {
  dispatch_any_float("topk", args.dtype, [&]<class T>() {
    for (std::int64_t r = 0; r < args.rows; ++r) {
      topk_row(static_cast<const T*>(args.x) + r * args.n, args.n, args.k, static_cast<T*>(args.values) + r * args.k,
               args.indices + r * args.k, stream);
    }
  });
}

}  // namespace sparsert::backend::cpu
