// kernels/reference/softmax.cpp — softmax over the rows of a sparse matrix, one entry at a time: what it means.
#include "kernels/contract/softmax.hpp"

#include <limits>
#include <vector>

#include "kernels/dispatch.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/exp.hpp"
#include "kernels/lanes.hpp"

namespace sparsert::backend::reference {

void sparse_softmax(const SparseSoftmaxArgs& args, const Stream&) {
  const CsrView& a = args.a;
  dispatch_any_float("sparse_softmax", a.dtype, [&]<class T>() {
    dispatch_index("sparse_softmax", a.index, [&]<class I>() {
      using A = Compute<T>;
      const auto* offsets = static_cast<const I*>(a.row_offsets);
      const auto* values = static_cast<const T*>(a.values);
      auto* out = static_cast<T*>(args.out);
      for (std::int64_t i = 0; i < a.rows; ++i) {
        const std::int64_t first = offsets[i];
        const std::int64_t last = offsets[i + 1];
        A most = -std::numeric_limits<A>::infinity();
        for (std::int64_t e = first; e < last; ++e) most = widen(values[e]) > most ? widen(values[e]) : most;
        LaneSum<A> sum;
        std::vector<A> exps;
        for (std::int64_t e = first; e < last; ++e) {
          exps.push_back(exp_of(widen(values[e]) - most));
          sum.add(e - first, exps.back());
        }
        const A total = sum.value();
        for (std::int64_t e = first; e < last; ++e) {
          out[e] = narrow<T>(exps[static_cast<std::size_t>(e - first)] / total);
        }
      }
    });
  });
}

void sparse_softmax_backward(const SparseSoftmaxBackwardArgs& args, const Stream&) {
  const CsrView& y = args.y;
  dispatch_any_float("sparse_softmax_backward", y.dtype, [&]<class T>() {
    dispatch_index("sparse_softmax_backward", y.index, [&]<class I>() {
      using A = Compute<T>;
      const auto* offsets = static_cast<const I*>(y.row_offsets);
      const auto* values = static_cast<const T*>(y.values);
      const auto* grad = static_cast<const T*>(args.grad);
      auto* out = static_cast<T*>(args.out);
      for (std::int64_t i = 0; i < y.rows; ++i) {
        LaneSum<A> sum;
        for (std::int64_t e = offsets[i]; e < offsets[i + 1]; ++e) {
          sum.add(e - offsets[i], widen(grad[e]), widen(values[e]));
        }
        const A total = sum.value();
        for (std::int64_t e = offsets[i]; e < offsets[i + 1]; ++e) {
          out[e] = narrow<T>(widen(values[e]) * (widen(grad[e]) - total));
        }
      }
    });
  });
}

}  // namespace sparsert::backend::reference
