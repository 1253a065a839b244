// kernels/reference/spmm_transposed.cpp — the transpose of a sparse matrix times dense, one term at a time: what it
// means.
#include "kernels/contract/spmm_transposed.hpp"

#include <vector>

#include "kernels/dispatch.hpp"
#include "kernels/products.hpp"

namespace sparsert::backend::reference {

void spmm_transposed(const SpmmTransposedArgs& args, const Stream&) {
  const CsrView& a = args.a;
  dispatch_any_float("spmm_transposed", a.dtype, [&]<class T>() {
    dispatch_index("spmm_transposed", a.index, [&]<class I>() {
      using A = Compute<T>;
      const auto* offsets = static_cast<const I*>(a.row_offsets);
      const auto* columns = static_cast<const I*>(a.columns);
      const auto* values = static_cast<const T*>(a.values);
      const auto* b = static_cast<const T*>(args.b);
      auto* c = static_cast<T*>(args.c);
      for (std::int64_t j = 0; j < args.n; ++j) {
        std::vector<CanonicalSum<A>> sums(static_cast<std::size_t>(a.cols));
        for (std::int64_t k = 0; k < a.rows; ++k) {
          const A x = widen(b[args.column_major ? j * a.rows + k : k * args.n + j]);
          for (std::int64_t e = offsets[k]; e < offsets[k + 1]; ++e) {
            sums[static_cast<std::size_t>(columns[e])].add(k, widen(values[e]), x);
          }
        }
        for (std::int64_t i = 0; i < a.cols; ++i) {
          c[args.column_major ? j * a.cols + i : i * args.n + j] =
              narrow<T>(sums[static_cast<std::size_t>(i)].value() + A{0});
        }
      }
    });
  });
}

}  // namespace sparsert::backend::reference
