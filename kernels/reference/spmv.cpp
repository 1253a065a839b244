// kernels/reference/spmv.cpp — sparse times a vector, one element at a time: what it means.
#include "kernels/contract/spmv.hpp"

#include "kernels/dispatch.hpp"
#include "kernels/products.hpp"

namespace sparsert::backend::reference {

void spmv_plan(const SpmvPlanArgs& args, const Stream&) { args.plan->reset(); }

void spmv(const SpmvArgs& args, const Stream&) {
  const CsrView& a = args.a;
  dispatch_any_float("spmv", a.dtype, [&]<class T>() {
    dispatch_index("spmv", a.index, [&]<class I>() {
      using A = Compute<T>;
      const auto* offsets = static_cast<const I*>(a.row_offsets);
      const auto* columns = static_cast<const I*>(a.columns);
      const auto* values = static_cast<const T*>(a.values);
      const auto* x = static_cast<const T*>(args.x);
      auto* y = static_cast<T*>(args.y);
      for (std::int64_t i = 0; i < a.rows; ++i) {
        CanonicalSum<A> sum;
        for (std::int64_t e = offsets[i]; e < offsets[i + 1]; ++e) {
          sum.add(columns[e], widen(values[e]), widen(x[columns[e]]));
        }
        y[i] = narrow<T>(sum.value() + A{0});
      }
    });
  });
}

}  // namespace sparsert::backend::reference
