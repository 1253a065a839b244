// kernels/formats.hpp — the rule of each conversion between sparse formats for one row, on host and device alike.
//
// A rule is a struct of pointers whose call does row i. A backend runs it for every i: one after the other, on threads,
// or as a kernel (kernels/{reference,cpu}/each.hpp, kernels/cuda/each.cuh). Values are only moved, so rules know them
// by their size. `P<T>` is the backend's pointer.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "kernels/contract/formats.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/elementwise.hpp"
#include "sparsert/buffer.hpp"

namespace sparsert::backend {

/// Calls `f.template operator()<U>()` with the unsigned integer as large as an element: what a copy moves.
template <class F>
auto dispatch_bytes(DType dtype, F&& f) {
  switch (size_of(dtype)) {
    case 1: return f.template operator()<std::uint8_t>();
    case 2: return f.template operator()<std::uint16_t>();
    case 4: return f.template operator()<std::uint32_t>();
    default: return f.template operator()<std::uint64_t>();
  }
}

constexpr std::int64_t divide_up(std::int64_t n, std::int64_t by) { return n / by + (n % by != 0 ? 1 : 0); }

/// The first of the sorted columns [begin, end) that is at least `column`.
template <class I, class Columns>
constexpr std::int64_t first_at_least(const Columns& columns, std::int64_t begin, std::int64_t end,
                                      std::int64_t column) {
  while (begin < end) {
    const std::int64_t middle = begin + (end - begin) / 2;
    if (static_cast<I>(columns[middle]) < column) begin = middle + 1;
    else end = middle;
  }
  return begin;
}

inline constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();

/// The entries of one row of blocks, a block at a time.
template <template <class> class P, class I>
struct BlockRows {
  std::int64_t rows;
  std::int64_t r;
  std::int64_t c;
  P<const I> offsets;
  P<const I> columns;

  constexpr std::int64_t end_of(std::int64_t block_row) const {
    return (block_row + 1) * r < rows ? (block_row + 1) * r : rows;
  }

  /// The first block column from `from` on that holds an entry of the row of blocks, or kNone.
  constexpr std::int64_t next(std::int64_t block_row, std::int64_t from) const {
    std::int64_t found = kNone;
    for (std::int64_t i = block_row * r; i < end_of(block_row); ++i) {
      const std::int64_t end = static_cast<I>(offsets[i + 1]);
      const std::int64_t e = first_at_least<I>(columns, static_cast<I>(offsets[i]), end, from * c);
      if (e == end) continue;
      const std::int64_t block = static_cast<I>(columns[e]) / c;
      if (block < found) found = block;
    }
    return found;
  }
};

template <template <class> class P, class I>
struct CountBlocks {
  BlockRows<P, I> a;
  P<I> counts;  // of block row b at b + 1

  constexpr void operator()(std::int64_t b) const {
    I count = 0;
    for (std::int64_t block = a.next(b, 0); block != kNone; block = a.next(b, block + 1)) ++count;
    counts[b + 1] = count;
  }
};

template <template <class> class P, class U, class I>
struct FillBlocks {
  BlockRows<P, I> a;
  P<const U> values;
  P<const I> block_offsets;
  P<I> block_columns;
  P<U> blocks;

  constexpr void operator()(std::int64_t b) const {
    std::int64_t at = static_cast<I>(block_offsets[b]);
    for (std::int64_t block = a.next(b, 0); block != kNone; block = a.next(b, block + 1)) {
      block_columns[at] = static_cast<I>(block);
      const std::int64_t first = at * a.r * a.c;
      for (std::int64_t v = 0; v < a.r * a.c; ++v) blocks[first + v] = U{0};
      for (std::int64_t i = b * a.r; i < a.end_of(b); ++i) {
        const std::int64_t end = static_cast<I>(a.offsets[i + 1]);
        std::int64_t e = first_at_least<I>(a.columns, static_cast<I>(a.offsets[i]), end, block * a.c);
        for (; e < end; ++e) {
          const std::int64_t column = static_cast<I>(a.columns[e]);
          if (column >= (block + 1) * a.c) break;
          blocks[first + (i - b * a.r) * a.c + column - block * a.c] = static_cast<U>(values[e]);
        }
      }
      ++at;
    }
  }
};

/// Columns of a block that are not padding.
constexpr std::int64_t width_of_block(std::int64_t block, std::int64_t c, std::int64_t cols) {
  return (block + 1) * c <= cols ? c : cols - block * c;
}

template <template <class> class P, class I>
struct CountBlockEntries {
  std::int64_t cols;
  std::int64_t r;
  std::int64_t c;
  P<const I> block_offsets;
  P<const I> block_columns;
  P<I> counts;  // of row i at i + 1

  constexpr void operator()(std::int64_t i) const {
    const std::int64_t first = static_cast<I>(block_offsets[i / r]);
    const std::int64_t last = static_cast<I>(block_offsets[i / r + 1]);
    std::int64_t count = (last - first) * c;
    if (last > first) count += width_of_block(static_cast<I>(block_columns[last - 1]), c, cols) - c;
    counts[i + 1] = static_cast<I>(count);
  }
};

template <template <class> class P, class U, class I>
struct ExpandBlocks {
  std::int64_t cols;
  std::int64_t r;
  std::int64_t c;
  P<const I> block_offsets;
  P<const I> block_columns;
  P<const U> blocks;
  P<const I> row_offsets;
  P<I> columns;
  P<U> values;

  constexpr void operator()(std::int64_t i) const {
    std::int64_t e = static_cast<I>(row_offsets[i]);
    const std::int64_t last = static_cast<I>(block_offsets[i / r + 1]);
    for (std::int64_t b = static_cast<I>(block_offsets[i / r]); b < last; ++b) {
      const std::int64_t block = static_cast<I>(block_columns[b]);
      for (std::int64_t j = 0; j < width_of_block(block, c, cols); ++j) {
        columns[e] = static_cast<I>(block * c + j);
        values[e] = static_cast<U>(blocks[(b * r + i % r) * c + j]);
        ++e;
      }
    }
  }
};

template <template <class> class P, class I>
struct SetBits {
  std::int64_t cols;
  P<const I> row_offsets;
  P<const I> columns;
  P<std::uint8_t> bits;

  constexpr void operator()(std::int64_t i) const {
    const std::int64_t bytes = divide_up(cols, 8);
    const std::int64_t last = static_cast<I>(row_offsets[i + 1]);
    std::int64_t e = static_cast<I>(row_offsets[i]);
    for (std::int64_t b = 0; b < bytes; ++b) {
      unsigned byte = 0;
      for (; e < last; ++e) {
        const std::int64_t column = static_cast<I>(columns[e]);
        if (column >= (b + 1) * 8) break;
        byte |= 1u << (column % 8);
      }
      bits[i * bytes + b] = static_cast<std::uint8_t>(byte);
    }
  }
};

template <template <class> class P, class I>
struct CountBits {
  std::int64_t cols;
  P<const std::uint8_t> bits;
  P<I> counts;

  constexpr void operator()(std::int64_t i) const {
    const std::int64_t bytes = divide_up(cols, 8);
    I count = 0;
    for (std::int64_t b = 0; b < bytes; ++b) {
      for (unsigned byte = static_cast<std::uint8_t>(bits[i * bytes + b]); byte != 0; byte &= byte - 1) ++count;
    }
    counts[i + 1] = count;
  }
};

template <template <class> class P, class I>
struct ExpandBits {
  std::int64_t cols;
  P<const std::uint8_t> bits;
  P<const I> row_offsets;
  P<I> columns;

  constexpr void operator()(std::int64_t i) const {
    const std::int64_t bytes = divide_up(cols, 8);
    std::int64_t e = static_cast<I>(row_offsets[i]);
    for (std::int64_t b = 0; b < bytes; ++b) {
      const unsigned byte = static_cast<std::uint8_t>(bits[i * bytes + b]);
      for (int bit = 0; bit < 8; ++bit) {
        if ((byte >> bit & 1u) != 0) columns[e++] = static_cast<I>(b * 8 + bit);
      }
    }
  }
};

template <template <class> class P, class U, class I>
struct FillSlots {
  std::int64_t cols;
  std::int64_t n;
  std::int64_t m;
  P<const I> row_offsets;
  P<const I> columns;
  P<const U> from;
  P<std::uint8_t> positions;
  P<U> values;
  P<std::int64_t> overfull;  // of each row: the first group with more than n, or kNone

  constexpr void operator()(std::int64_t i) const {
    const std::int64_t groups = divide_up(cols, m);
    const std::int64_t last = static_cast<I>(row_offsets[i + 1]);
    std::int64_t e = static_cast<I>(row_offsets[i]);
    std::int64_t first_overfull = kNone;
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t slots = (i * groups + g) * n;
      std::int64_t used = 0;
      for (; e < last; ++e) {
        const std::int64_t column = static_cast<I>(columns[e]);
        if (column >= (g + 1) * m) break;
        if (used < n) {
          positions[slots + used] = static_cast<std::uint8_t>(column - g * m);
          values[slots + used] = static_cast<U>(from[e]);
        } else if (first_overfull == kNone) {
          first_overfull = i * groups + g;
        }
        ++used;
      }
      for (; used < n; ++used) {
        positions[slots + used] = kNoEntry;
        values[slots + used] = U{0};
      }
    }
    overfull[i] = first_overfull;
  }
};

template <template <class> class P, class I>
struct CountSlots {
  std::int64_t slots;  // of a row
  P<const std::uint8_t> positions;
  P<I> counts;

  constexpr void operator()(std::int64_t i) const {
    I count = 0;
    for (std::int64_t s = 0; s < slots; ++s) {
      count += static_cast<std::uint8_t>(positions[i * slots + s]) != kNoEntry ? 1 : 0;
    }
    counts[i + 1] = count;
  }
};

template <template <class> class P, class U, class I>
struct ExpandSlots {
  std::int64_t slots;
  std::int64_t n;
  std::int64_t m;
  P<const std::uint8_t> positions;
  P<const U> from;
  P<const I> row_offsets;
  P<I> columns;
  P<U> values;

  constexpr void operator()(std::int64_t i) const {
    std::int64_t e = static_cast<I>(row_offsets[i]);
    for (std::int64_t s = 0; s < slots; ++s) {
      const std::uint8_t position = positions[i * slots + s];
      if (position == kNoEntry) continue;
      columns[e] = static_cast<I>(s / n * m + position);
      values[e] = static_cast<U>(from[i * slots + s]);
      ++e;
    }
  }
};

template <template <class> class P, class T, class I>
struct CountNonzeros {
  P<const I> row_offsets;
  P<const T> values;
  P<I> counts;

  constexpr void operator()(std::int64_t i) const {
    const std::int64_t last = static_cast<I>(row_offsets[i + 1]);
    I count = 0;
    for (std::int64_t e = static_cast<I>(row_offsets[i]); e < last; ++e) {
      count += is_nonzero(static_cast<T>(values[e])) ? 1 : 0;
    }
    counts[i + 1] = count;
  }
};

template <template <class> class P, class T, class I>
struct KeepNonzeros {
  P<const I> from_offsets;
  P<const I> from_columns;
  P<const T> from;
  P<const I> row_offsets;
  P<I> columns;
  P<T> values;

  constexpr void operator()(std::int64_t i) const {
    const std::int64_t last = static_cast<I>(from_offsets[i + 1]);
    std::int64_t to = static_cast<I>(row_offsets[i]);
    for (std::int64_t e = static_cast<I>(from_offsets[i]); e < last; ++e) {
      const T x = from[e];
      if (!is_nonzero(x)) continue;
      columns[to] = static_cast<I>(from_columns[e]);
      values[to] = x;
      ++to;
    }
  }
};

/// The family's operations for a backend that runs rules. `Each` has `Pointer<T>`; `rows(n, rule, stream)`, which calls
/// rule(i) for i < n; `offsets(first, n, stream)`, which makes counts at [1, n] offsets; `least(first, n, stream)`.
template <class Each>
struct Formats {
  template <class T>
  using P = typename Each::template Pointer<T>;

  template <class I>
  static BlockRows<P, I> block_rows(const CsrView& a, std::int64_t r, std::int64_t c) {
    return {a.rows, r, c, static_cast<const I*>(a.row_offsets), static_cast<const I*>(a.columns)};
  }

  static void bsr_offsets(const BsrOffsetsArgs& args, const Stream& stream) {
    dispatch_index("bsr_offsets", args.a.index, [&]<class I>() {
      const std::int64_t rows = divide_up(args.a.rows, args.r);
      auto* const counts = static_cast<I*>(args.row_offsets);
      Each::rows(rows, CountBlocks<P, I>{block_rows<I>(args.a, args.r, args.c), counts}, stream);
      Each::offsets(counts, rows, stream);
    });
  }

  static void csr_to_bsr(const CsrToBsrArgs& args, const Stream& stream) {
    dispatch_index("csr_to_bsr", args.a.index, [&]<class I>() {
      dispatch_bytes(args.a.dtype, [&]<class U>() {
        Each::rows(divide_up(args.a.rows, args.r),
                   FillBlocks<P, U, I>{block_rows<I>(args.a, args.r, args.c), static_cast<const U*>(args.a.values),
                                       static_cast<const I*>(args.row_offsets), static_cast<I*>(args.columns),
                                       static_cast<U*>(args.values)},
                   stream);
      });
    });
  }

  static void bsr_csr_offsets(const BsrCsrOffsetsArgs& args, const Stream& stream) {
    const BsrView& a = args.a;
    dispatch_index("bsr_csr_offsets", a.index, [&]<class I>() {
      auto* const counts = static_cast<I*>(args.row_offsets);
      Each::rows(a.rows,
                 CountBlockEntries<P, I>{a.cols, a.r, a.c, static_cast<const I*>(a.row_offsets),
                                         static_cast<const I*>(a.columns), counts},
                 stream);
      Each::offsets(counts, a.rows, stream);
    });
  }

  static void bsr_to_csr(const BsrToCsrArgs& args, const Stream& stream) {
    const BsrView& a = args.a;
    dispatch_index("bsr_to_csr", a.index, [&]<class I>() {
      dispatch_bytes(a.dtype, [&]<class U>() {
        Each::rows(a.rows,
                   ExpandBlocks<P, U, I>{a.cols, a.r, a.c, static_cast<const I*>(a.row_offsets),
                                         static_cast<const I*>(a.columns), static_cast<const U*>(a.values),
                                         static_cast<const I*>(args.row_offsets), static_cast<I*>(args.columns),
                                         static_cast<U*>(args.values)},
                   stream);
      });
    });
  }

  static void csr_to_bitmap(const CsrToBitmapArgs& args, const Stream& stream) {
    const CsrView& a = args.a;
    dispatch_index("csr_to_bitmap", a.index, [&]<class I>() {
      Each::rows(
          a.rows,
          SetBits<P, I>{a.cols, static_cast<const I*>(a.row_offsets), static_cast<const I*>(a.columns), args.bits},
          stream);
    });
  }

  static void bitmap_offsets(const BitmapOffsetsArgs& args, const Stream& stream) {
    dispatch_index("bitmap_offsets", args.index, [&]<class I>() {
      auto* const counts = static_cast<I*>(args.row_offsets);
      Each::rows(args.rows, CountBits<P, I>{args.cols, args.bits, counts}, stream);
      Each::offsets(counts, args.rows, stream);
    });
  }

  static void bitmap_columns(const BitmapColumnsArgs& args, const Stream& stream) {
    dispatch_index("bitmap_columns", args.index, [&]<class I>() {
      Each::rows(args.rows,
                 ExpandBits<P, I>{args.cols, args.bits, static_cast<const I*>(args.row_offsets),
                                  static_cast<I*>(args.columns)},
                 stream);
    });
  }

  static void csr_to_nm(const CsrToNmArgs& args, const Stream& stream) {
    const CsrView& a = args.a;
    const Buffer memory(static_cast<std::size_t>(a.rows) * sizeof(std::int64_t), stream);
    auto* const overfull = static_cast<std::int64_t*>(memory.data());
    dispatch_index("csr_to_nm", a.index, [&]<class I>() {
      dispatch_bytes(a.dtype, [&]<class U>() {
        Each::rows(a.rows,
                   FillSlots<P, U, I>{a.cols, args.n, args.m, static_cast<const I*>(a.row_offsets),
                                      static_cast<const I*>(a.columns), static_cast<const U*>(a.values), args.positions,
                                      static_cast<U*>(args.values), overfull},
                   stream);
      });
    });
    const std::int64_t first = a.rows == 0 ? kNone : Each::least(overfull, a.rows, stream);
    *args.overfull = first == kNone ? -1 : first;
  }

  static std::int64_t slots_of(const NmView& a) { return divide_up(a.cols, a.m) * a.n; }

  static void nm_offsets(const NmOffsetsArgs& args, const Stream& stream) {
    dispatch_index("nm_offsets", args.index, [&]<class I>() {
      auto* const counts = static_cast<I*>(args.row_offsets);
      Each::rows(args.a.rows, CountSlots<P, I>{slots_of(args.a), args.a.positions, counts}, stream);
      Each::offsets(counts, args.a.rows, stream);
    });
  }

  static void nm_to_csr(const NmToCsrArgs& args, const Stream& stream) {
    const NmView& a = args.a;
    dispatch_index("nm_to_csr", args.index, [&]<class I>() {
      dispatch_bytes(a.dtype, [&]<class U>() {
        Each::rows(a.rows,
                   ExpandSlots<P, U, I>{slots_of(a), a.n, a.m, a.positions, static_cast<const U*>(a.values),
                                        static_cast<const I*>(args.row_offsets), static_cast<I*>(args.columns),
                                        static_cast<U*>(args.values)},
                   stream);
      });
    });
  }

  static void nonzero_offsets(const NonzeroOffsetsArgs& args, const Stream& stream) {
    const CsrView& a = args.a;
    dispatch_any("nonzero_offsets", a.dtype, [&]<class T>() {
      dispatch_index("nonzero_offsets", a.index, [&]<class I>() {
        auto* const counts = static_cast<I*>(args.row_offsets);
        Each::rows(
            a.rows,
            CountNonzeros<P, T, I>{static_cast<const I*>(a.row_offsets), static_cast<const T*>(a.values), counts},
            stream);
        Each::offsets(counts, a.rows, stream);
      });
    });
  }

  static void drop_zeros(const DropZerosArgs& args, const Stream& stream) {
    const CsrView& a = args.a;
    dispatch_any("drop_zeros", a.dtype, [&]<class T>() {
      dispatch_index("drop_zeros", a.index, [&]<class I>() {
        Each::rows(a.rows,
                   KeepNonzeros<P, T, I>{static_cast<const I*>(a.row_offsets), static_cast<const I*>(a.columns),
                                         static_cast<const T*>(a.values), static_cast<const I*>(args.row_offsets),
                                         static_cast<I*>(args.columns), static_cast<T*>(args.values)},
                   stream);
      });
    });
  }
};

}  // namespace sparsert::backend
