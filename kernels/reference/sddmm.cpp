// kernels/reference/sddmm.cpp — dense times dense on a pattern, one entry at a time: what it means.
#include "kernels/contract/sddmm.hpp"

#include "kernels/dispatch.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/lanes.hpp"

namespace sparsert::backend::reference {

void sddmm(const SddmmArgs& args, const Stream&) {
  const CsrView& a = args.pattern;
  dispatch_any_float("sddmm", a.dtype, [&]<class T>() {
    dispatch_index("sddmm", a.index, [&]<class I>() {
      const auto* offsets = static_cast<const I*>(a.row_offsets);
      const auto* columns = static_cast<const I*>(a.columns);
      const auto* x = static_cast<const T*>(args.x);
      const auto* y = static_cast<const T*>(args.y);
      auto* out = static_cast<T*>(args.out);
      for (std::int64_t i = 0; i < a.rows; ++i) {
        for (std::int64_t e = offsets[i]; e < offsets[i + 1]; ++e) {
          const std::int64_t j = columns[e];
          LaneSum<Compute<T>> sum;
          for (std::int64_t p = 0; p < args.k; ++p) {
            sum.add(p, widen(x[args.transposed ? p * a.rows + i : i * args.k + p]),
                    widen(y[args.transposed ? p * a.cols + j : j * args.k + p]));
          }
          out[e] = narrow<T>(sum.value());
        }
      }
    });
  });
}

}  // namespace sparsert::backend::reference
