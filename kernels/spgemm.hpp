// kernels/spgemm.hpp — a row of A·B and of A + B, on host and device alike, in memory of its own entries only.
//
// The columns of a row come out in order: each is the smallest of those that follow the last one in the rows of B that
// A's row names. That needs no accumulator as wide as B, at the price of a binary search for each. The CPU has a faster
// way (kernels/cpu/spgemm.cpp).
#pragma once

#include <cstdint>

#include "kernels/contract/spgemm.hpp"
#include "kernels/formats.hpp"
#include "kernels/products.hpp"

namespace sparsert::backend {

/// The pattern of a row of A·B, a column at a time.
template <template <class> class P, class I>
struct ProductRow {
  P<const I> a_offsets;
  P<const I> a_columns;
  P<const I> b_offsets;
  P<const I> b_columns;

  /// The first entry of B's row k whose column is at least `from`; its end where there is none.
  constexpr std::int64_t entry_of(std::int64_t k, std::int64_t from) const {
    return first_at_least<I>(b_columns, static_cast<I>(b_offsets[k]), static_cast<I>(b_offsets[k + 1]), from);
  }

  /// The first column of row i from `from` on, or kNone.
  constexpr std::int64_t next(std::int64_t i, std::int64_t from) const {
    std::int64_t found = kNone;
    const std::int64_t last = static_cast<I>(a_offsets[i + 1]);
    for (std::int64_t e = static_cast<I>(a_offsets[i]); e < last; ++e) {
      const std::int64_t k = static_cast<I>(a_columns[e]);
      const std::int64_t at = entry_of(k, from);
      if (at == static_cast<I>(b_offsets[k + 1])) continue;
      const std::int64_t column = static_cast<I>(b_columns[at]);
      if (column < found) found = column;
    }
    return found;
  }
};

template <template <class> class P, class I>
struct CountProducts {
  ProductRow<P, I> row;
  P<std::int64_t> counts;

  constexpr void operator()(std::int64_t i) const {
    std::int64_t count = 0;
    for (std::int64_t j = row.next(i, 0); j != kNone; j = row.next(i, j + 1)) ++count;
    counts[i + 1] = count;
  }
};

template <template <class> class P, class T, class I>
struct SumProducts {
  ProductRow<P, I> row;
  P<const T> a;
  P<const T> b;
  P<const std::int64_t> offsets;
  P<I> columns;
  P<T> values;

  constexpr void operator()(std::int64_t i) const {
    std::int64_t to = offsets[i];
    const std::int64_t last = static_cast<I>(row.a_offsets[i + 1]);
    for (std::int64_t j = row.next(i, 0); j != kNone; j = row.next(i, j + 1)) {
      CanonicalSum<Compute<T>> sum;
      for (std::int64_t e = static_cast<I>(row.a_offsets[i]); e < last; ++e) {
        const std::int64_t k = static_cast<I>(row.a_columns[e]);
        const std::int64_t at = row.entry_of(k, j);
        if (at == static_cast<I>(row.b_offsets[k + 1]) || static_cast<I>(row.b_columns[at]) != j) continue;
        sum.add(k, widen(static_cast<T>(a[e])), widen(static_cast<T>(b[at])));
      }
      columns[to] = static_cast<I>(j);
      values[to] = narrow<T>(sum.value() + Compute<T>{0});
      ++to;
    }
  }
};

/// Row i of two matrices at once: `visit(column, entry of A or kNone, entry of B or kNone)`.
template <template <class> class P, class I>
struct UnionRow {
  P<const I> a_offsets;
  P<const I> a_columns;
  P<const I> b_offsets;
  P<const I> b_columns;

  template <class Visit>
  constexpr void each(std::int64_t i, const Visit& visit) const {
    std::int64_t a = static_cast<I>(a_offsets[i]);
    std::int64_t b = static_cast<I>(b_offsets[i]);
    const std::int64_t a_last = static_cast<I>(a_offsets[i + 1]);
    const std::int64_t b_last = static_cast<I>(b_offsets[i + 1]);
    while (a < a_last || b < b_last) {
      const std::int64_t in_a = a < a_last ? static_cast<std::int64_t>(static_cast<I>(a_columns[a])) : kNone;
      const std::int64_t in_b = b < b_last ? static_cast<std::int64_t>(static_cast<I>(b_columns[b])) : kNone;
      const std::int64_t column = in_a < in_b ? in_a : in_b;
      visit(column, in_a == column ? a : kNone, in_b == column ? b : kNone);
      if (in_a == column) ++a;
      if (in_b == column) ++b;
    }
  }
};

template <template <class> class P, class I>
struct CountUnion {
  UnionRow<P, I> row;
  P<std::int64_t> counts;

  constexpr void operator()(std::int64_t i) const {
    std::int64_t count = 0;
    row.each(i, [&](std::int64_t, std::int64_t, std::int64_t) { ++count; });
    counts[i + 1] = count;
  }
};

template <template <class> class P, class T, class I>
struct AddRows {
  UnionRow<P, I> row;
  P<const T> a;
  P<const T> b;
  bool boolean;
  P<const std::int64_t> offsets;
  P<I> columns;
  P<T> values;

  constexpr void operator()(std::int64_t i) const {
    std::int64_t to = offsets[i];
    row.each(i, [&](std::int64_t column, std::int64_t in_a, std::int64_t in_b) {
      columns[to] = static_cast<I>(column);
      if (in_a == kNone) values[to] = static_cast<T>(b[in_b]);
      else if (in_b == kNone) values[to] = static_cast<T>(a[in_a]);
      else values[to] = sum_of(static_cast<T>(a[in_a]), static_cast<T>(b[in_b]));
      ++to;
    });
  }

 private:
  constexpr T sum_of(T x, T y) const {
    const T sum = apply(BinaryOp::add, x, y);
    if constexpr (std::is_same_v<T, std::uint8_t>) return boolean ? static_cast<T>(sum != 0) : sum;
    else return sum;
  }
};

/// The family's operations for a backend that runs rules (kernels/formats.hpp).
template <class Each>
struct Spgemm {
  template <class T>
  using P = typename Each::template Pointer<T>;

  template <class I>
  static ProductRow<P, I> product_row(const CsrView& a, const CsrView& b) {
    return {static_cast<const I*>(a.row_offsets), static_cast<const I*>(a.columns),
            static_cast<const I*>(b.row_offsets), static_cast<const I*>(b.columns)};
  }
  template <class I>
  static UnionRow<P, I> union_row(const CsrView& a, const CsrView& b) {
    return {static_cast<const I*>(a.row_offsets), static_cast<const I*>(a.columns),
            static_cast<const I*>(b.row_offsets), static_cast<const I*>(b.columns)};
  }

  static void spgemm_offsets(const SpgemmOffsetsArgs& args, const Stream& stream) {
    dispatch_index("spgemm", args.a.index, [&]<class I>() {
      Each::rows(args.a.rows, CountProducts<P, I>{product_row<I>(args.a, args.b), args.row_offsets}, stream);
    });
    Each::offsets(args.row_offsets, args.a.rows, stream);
  }

  static void spgemm(const SpgemmArgs& args, const Stream& stream) {
    dispatch_any_float("spgemm", args.a.dtype, [&]<class T>() {
      dispatch_index("spgemm", args.a.index, [&]<class I>() {
        Each::rows(args.a.rows,
                   SumProducts<P, T, I>{product_row<I>(args.a, args.b), static_cast<const T*>(args.a.values),
                                        static_cast<const T*>(args.b.values), args.row_offsets,
                                        static_cast<I*>(args.columns), static_cast<T*>(args.values)},
                   stream);
      });
    });
  }

  static void sparse_add_offsets(const SparseAddOffsetsArgs& args, const Stream& stream) {
    dispatch_index("sparse_add", args.a.index, [&]<class I>() {
      Each::rows(args.a.rows, CountUnion<P, I>{union_row<I>(args.a, args.b), args.row_offsets}, stream);
    });
    Each::offsets(args.row_offsets, args.a.rows, stream);
  }

  static void sparse_add(const SparseAddArgs& args, const Stream& stream) {
    dispatch_any("sparse_add", args.a.dtype, [&]<class T>() {
      dispatch_index("sparse_add", args.a.index, [&]<class I>() {
        Each::rows(args.a.rows,
                   AddRows<P, T, I>{union_row<I>(args.a, args.b), static_cast<const T*>(args.a.values),
                                    static_cast<const T*>(args.b.values), args.a.dtype == DType::boolean,
                                    args.row_offsets, static_cast<I*>(args.columns), static_cast<T*>(args.values)},
                   stream);
      });
    });
  }
};

}  // namespace sparsert::backend
