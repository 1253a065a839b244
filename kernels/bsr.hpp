// kernels/bsr.hpp — one element of block-sparse times dense, on host and device alike.
#pragma once

#include <cstdint>

#include "kernels/contract/bsr.hpp"
#include "kernels/formats.hpp"
#include "kernels/products.hpp"

namespace sparsert::backend {

/// Element number i · n + j (j · m + i where column-major) of C.
template <template <class> class P, class T, class I>
struct SumBlocks {
  std::int64_t m;
  std::int64_t k;
  std::int64_t n;
  std::int64_t r;
  std::int64_t c;
  P<const I> row_offsets;
  P<const I> columns;
  P<const T> values;
  P<const T> b;
  P<T> out;
  bool column_major;
  P<const T> bias;
  bool has_bias;
  Epilogue<Compute<T>> epilogue;

  constexpr void operator()(std::int64_t at) const {
    using A = Compute<T>;
    const std::int64_t i = column_major ? at % m : at / n;
    const std::int64_t j = column_major ? at / m : at % n;
    CanonicalSum<A> sum;
    if (epilogue.alpha != 0) {
      const std::int64_t last = static_cast<I>(row_offsets[i / r + 1]);
      for (std::int64_t block = static_cast<I>(row_offsets[i / r]); block < last; ++block) {
        const std::int64_t first = static_cast<std::int64_t>(static_cast<I>(columns[block])) * c;
        for (std::int64_t q = 0; q < c && first + q < k; ++q) {
          const std::int64_t p = first + q;
          sum.add(p, widen(static_cast<T>(values[(block * r + i % r) * c + q])),
                  widen(static_cast<T>(b[column_major ? j * k + p : p * n + j])));
        }
      }
    }
    const A old = epilogue.beta != 0 ? widen(static_cast<T>(out[at])) : A{0};
    const A add = has_bias ? widen(static_cast<T>(bias[i])) : A{0};
    out[at] = narrow<T>(finish(epilogue, sum.value(), old, has_bias, add));
  }
};

/// The operation for a backend that runs rules (kernels/formats.hpp).
template <class Each>
void bsr_spmm_by_element(const BsrSpmmArgs& args, const Stream& stream) {
  const BsrView& a = args.a;
  dispatch_any_float("bsr_spmm", a.dtype, [&]<class T>() {
    dispatch_index("bsr_spmm", a.index, [&]<class I>() {
      using A = Compute<T>;
      Each::rows(
          a.rows * args.n,
          SumBlocks<Each::template Pointer, T, I>{a.rows,
                                                  a.cols,
                                                  args.n,
                                                  a.r,
                                                  a.c,
                                                  static_cast<const I*>(a.row_offsets),
                                                  static_cast<const I*>(a.columns),
                                                  static_cast<const T*>(a.values),
                                                  static_cast<const T*>(args.b),
                                                  static_cast<T*>(args.c),
                                                  args.column_major,
                                                  static_cast<const T*>(args.bias),
                                                  args.bias != nullptr,
                                                  {static_cast<A>(args.alpha), static_cast<A>(args.beta), args.relu}},
          stream);
    });
  });
}

}  // namespace sparsert::backend
