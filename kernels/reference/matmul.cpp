// kernels/reference/matmul.cpp — dense times dense, one element at a time: what it means.
#include "kernels/contract/matmul.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/products.hpp"

namespace sparsert::backend::reference {

void matmul(const MatmulArgs& args, const Stream&) {
  dispatch_any_float("matmul", args.dtype, [&]<class T>() {
    using A = Compute<T>;
    const auto* a = static_cast<const T*>(args.a);
    const auto* b = static_cast<const T*>(args.b);
    const auto* bias = static_cast<const T*>(args.bias);
    auto* c = static_cast<T*>(args.c);
    const Epilogue<A> epilogue{.relu = args.relu};
    for (std::int64_t i = 0; i < args.m; ++i) {
      for (std::int64_t j = 0; j < args.n; ++j) {
        CanonicalSum<A> sum;
        for (std::int64_t p = 0; p < args.k; ++p) {
          sum.add(p, widen(a[i * args.k + p]), widen(b[args.b_transposed ? j * args.k + p : p * args.n + j]));
        }
        c[i * args.n + j] =
            narrow<T>(finish(epilogue, sum.value(), A{0}, bias != nullptr, bias != nullptr ? widen(bias[j]) : A{0}));
      }
    }
  });
}

}  // namespace sparsert::backend::reference
