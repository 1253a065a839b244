// kernels/reference/topk.cpp — the k largest magnitudes of each row, by a full sort: what it means.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/contract/topk.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/numerics.hpp"

namespace sparsert::backend::reference {

void topk(const TopkArgs& args, const Stream&) {
  dispatch_any_float("topk", args.dtype, [&]<class T>() {
    std::vector<std::int64_t> order(static_cast<std::size_t>(args.n));
    for (std::int64_t r = 0; r < args.rows; ++r) {
      const auto* x = static_cast<const T*>(args.x) + r * args.n;
      auto* values = static_cast<T*>(args.values) + r * args.k;
      std::int64_t* const indices = args.indices + r * args.k;
      std::iota(order.begin(), order.end(), 0);
      // Stable: ties stay in the order of their index.
      std::stable_sort(order.begin(), order.end(),
                       [&](std::int64_t p, std::int64_t q) { return magnitude_key(x[p]) > magnitude_key(x[q]); });
      for (std::int64_t i = 0; i < args.k; ++i) {
        indices[i] = order[static_cast<std::size_t>(i)];
        values[i] = x[indices[i]];
      }
    }
  });
}

}  // namespace sparsert::backend::reference
