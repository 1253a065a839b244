// kernels/reduce.hpp — sums and scalings of a sparse matrix's rows, for one row, on host and device alike.
#pragma once

#include <cstdint>

#include "kernels/contract/reduce.hpp"
#include "kernels/formats.hpp"
#include "kernels/sparsify.hpp"

namespace sparsert::backend {

template <template <class> class P, class T, class I>
struct SumRow {
  P<const I> offsets;
  P<const T> values;
  bool boolean;
  P<T> out;

  constexpr void operator()(std::int64_t i) const {
    Compute<T> sum = 0;
    const std::int64_t last = static_cast<I>(offsets[i + 1]);
    for (std::int64_t e = static_cast<I>(offsets[i]); e < last; ++e) {
      sum = add_duplicate(sum, static_cast<T>(values[e]), boolean);
    }
    out[i] = narrow<T>(sum);
  }
};

template <template <class> class P, class T, class I>
struct ScaleRow {
  P<const I> offsets;
  P<const I> columns;
  P<const T> values;
  P<const T> scale;
  bool by_column;
  P<T> out;

  constexpr void operator()(std::int64_t i) const {
    const std::int64_t last = static_cast<I>(offsets[i + 1]);
    for (std::int64_t e = static_cast<I>(offsets[i]); e < last; ++e) {
      const std::int64_t at = by_column ? static_cast<std::int64_t>(static_cast<I>(columns[e])) : i;
      out[e] = apply(BinaryOp::multiply, static_cast<T>(values[e]), static_cast<T>(scale[at]));
    }
  }
};

/// The family's operations for a backend that runs rules (kernels/formats.hpp).
template <class Each>
struct Reduce {
  template <class T>
  using P = typename Each::template Pointer<T>;

  static void row_sums(const RowSumsArgs& args, const Stream& stream) {
    const CsrView& a = args.a;
    dispatch_any("row_sums", a.dtype, [&]<class T>() {
      dispatch_index("row_sums", a.index, [&]<class I>() {
        Each::rows(a.rows,
                   SumRow<P, T, I>{static_cast<const I*>(a.row_offsets), static_cast<const T*>(a.values),
                                   a.dtype == DType::boolean, static_cast<T*>(args.out)},
                   stream);
      });
    });
  }

  static void scale(const ScaleArgs& args, const Stream& stream) {
    const CsrView& a = args.a;
    dispatch_any("scale", a.dtype, [&]<class T>() {
      dispatch_index("scale", a.index, [&]<class I>() {
        Each::rows(a.rows,
                   ScaleRow<P, T, I>{static_cast<const I*>(a.row_offsets), static_cast<const I*>(a.columns),
                                     static_cast<const T*>(a.values), static_cast<const T*>(args.scale), args.by_column,
                                     static_cast<T*>(args.out)},
                   stream);
      });
    });
  }
};

}  // namespace sparsert::backend
