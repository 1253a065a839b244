// kernels/reference/spmm.cpp — CSR times dense, one element at a time: what it means.
#include "kernels/contract/spmm.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/products.hpp"

namespace sparsert::backend::reference {
namespace {

template <class T, class I>
void multiply(const SpmmArgs& args) {
  using A = Compute<T>;
  const auto* offsets = static_cast<const I*>(args.a.row_offsets);
  const auto* columns = static_cast<const I*>(args.a.columns);
  const auto* values = static_cast<const T*>(args.a.values);
  const auto* b = static_cast<const T*>(args.b);
  const auto* bias = static_cast<const T*>(args.bias);
  auto* c = static_cast<T*>(args.c);
  const Epilogue<A> epilogue{static_cast<A>(args.alpha), static_cast<A>(args.beta), args.relu};
  const std::int64_t m = args.a.rows;
  const std::int64_t k = args.a.cols;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < args.n; ++j) {
      CanonicalSum<A> sum;
      if (epilogue.alpha != 0) {
        for (std::int64_t e = offsets[i]; e < offsets[i + 1]; ++e) {
          const std::int64_t p = columns[e];
          sum.add(p, widen(values[e]), widen(b[args.column_major ? j * k + p : p * args.n + j]));
        }
      }
      T& out = c[args.column_major ? j * m + i : i * args.n + j];
      const A old = epilogue.beta != 0 ? widen(out) : A{0};
      out = narrow<T>(finish(epilogue, sum.value(), old, bias != nullptr, bias != nullptr ? widen(bias[i]) : A{0}));
    }
  }
}

}  // namespace

void spmm_plan(const SpmmPlanArgs& args, const Stream&) { args.plan->reset(); }

void spmm(const SpmmArgs& args, const Stream&) {
  dispatch_any_float("spmm", args.a.dtype, [&]<class T>() {
    dispatch_index("spmm", args.a.index, [&]<class I>() { multiply<T, I>(args); });
  });
}

}  // namespace sparsert::backend::reference
