// kernels/cpu/bsr.cpp — block-sparse times dense, with Highway and TBB.
//
// The rows of a block share every row of B that they meet: four rows of A by two vectors of columns keep eight sums in
// registers, and each load of B serves four multiplications. That, and not the loads, is what bounds it. Lower blocks
// take more columns, so that there are eight sums all the same. B is packed into panels; a panel meets all rows of
// blocks before the next one is packed.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bsr.cpp"
#include <hwy/foreach_target.h>

#include "kernels/contract/bsr.hpp"

#include <algorithm>
#include <vector>

#include "device/parallel.hpp"
#include "kernels/cpu/panels.hpp"
#include "kernels/cpu/simd.hpp"
#include "kernels/dispatch.hpp"
#include "sparsert/buffer.hpp"

#ifndef SPARSERT_KERNELS_CPU_BSR_CPP
#define SPARSERT_KERNELS_CPU_BSR_CPP
namespace sparsert::backend::cpu {

/// What the tasks of one product share. Panels are `vectors` vectors wide, (k x width) each.
template <class T>
struct BlockProduct {
  BsrView a;
  int64_t n;
  const T* b;
  bool column_major;
  int vectors;  // 2, 4 or 8
  Output<T> out;
};

inline constexpr int kMostRows = 4;  // of A, in registers
inline constexpr int kMostVectors = 8;

}  // namespace sparsert::backend::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

/// Where the kernel stands within a row of blocks: sums of the piece that is under way.
template <class A, int kRows, int kVectors>
struct Piece {
  using D = hn::ScalableTag<A>;
  using V = hn::Vec<D>;
  static constexpr int kLanes = hn::MaxLanes(D());
  static constexpr int kWidth = kVectors * kLanes;

  /// sums += value(r, i) * x(i) for `kSteps` columns of a block; its rows are `stride` values apart.
  template <int kSteps, class T>
  HWY_INLINE void multiply(const T* HWY_RESTRICT value, int64_t stride, const A* HWY_RESTRICT x) {
    const D d;
#pragma GCC unroll 4
    for (int i = 0; i < kSteps; ++i) {
      V row[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) row[v] = hn::Load(d, x + i * kWidth + v * kLanes);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const V w = hn::Set(d, widen(value[r * stride + i]));
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[r][v] = fused_multiply_add(w, row[v], sums[r][v]);
      }
    }
  }

  /// totals += sums; the next piece begins.
  HWY_INLINE void finish(A* HWY_RESTRICT totals) {
    const D d;
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        A* const total = totals + r * kWidth + v * kLanes;
        hn::Store(hn::Add(hn::Load(d, total), sums[r][v]), d, total);
        sums[r][v] = hn::Zero(d);
      }
    }
  }

  V sums[kRows][kVectors];
};

/// Rows [row, row + kRows) of a row of blocks, within the block, times one panel; sums go to `totals`. Blocks are
/// kColumns columns wide, where that is not 0, and a multiple of kSteps.
template <int kRows, int kVectors, int kColumns, int kSteps, class T, class I>
HWY_NOINLINE void block_rows(const BsrView& a, int64_t block_row, int64_t row, const Compute<T>* HWY_RESTRICT panel,
                             Compute<T>* HWY_RESTRICT totals) {
  using A = Compute<T>;
  constexpr int kWidth = Piece<A, kRows, kVectors>::kWidth;
  const auto* offsets = static_cast<const I*>(a.row_offsets);
  const auto* columns = static_cast<const I*>(a.columns);
  const int64_t c = kColumns != 0 ? kColumns : a.c;
  const int64_t size = a.r * c;
  const auto* value = static_cast<const T*>(a.values) + offsets[block_row] * size + row * c;
  for (int i = 0; i < kRows * kWidth; ++i) totals[i] = A{0};
  Piece<A, kRows, kVectors> piece;
  for (auto& sums : piece.sums) {
    for (auto& sum : sums) sum = hn::Zero(hn::ScalableTag<A>());
  }
  int64_t piece_end = kPiece;
  const int64_t last = offsets[block_row + 1];
  for (int64_t block = offsets[block_row]; block < last;) {
    const int64_t next = static_cast<int64_t>(columns[block]) * c;
    if (next >= piece_end) {
      piece.finish(totals);
      piece_end = (next / kPiece + 1) * kPiece;
    }
    // The blocks that lie wholly within the piece and the matrix.
    const auto stop = static_cast<I>(HWY_MIN(piece_end, a.cols) / c);
    for (; block < last && columns[block] < stop; ++block, value += size) {
      const A* const x = panel + static_cast<int64_t>(columns[block]) * c * kWidth;
      if constexpr (kColumns == kSteps) {
        piece.template multiply<kSteps>(value, kColumns, x);
      } else {
        for (int64_t i = 0; i < c; i += kSteps) piece.template multiply<kSteps>(value + i, c, x + i * kWidth);
      }
    }
    // A block that goes on in the next piece, or behind the matrix.
    if (block == last) break;
    const int64_t p0 = static_cast<int64_t>(columns[block]) * c;
    if (p0 >= piece_end) continue;
    const int64_t inside = HWY_MIN(c, a.cols - p0);  // what lies behind is padding
    for (int64_t i = 0; i < inside; ++i) {
      if (p0 + i >= piece_end) {
        piece.finish(totals);
        piece_end += kPiece;
      }
      piece.template multiply<1>(value + i, c, panel + (p0 + i) * kWidth);
    }
    ++block;
    value += size;
  }
  piece.finish(totals);
}

/// Rows of blocks [begin, end) times one panel that begins at column j0.
template <int kVectors, int kColumns, int kSteps, class T, class I>
void rows_of_panel(const BlockProduct<T>& p, int64_t begin, int64_t end, int64_t j0, const Compute<T>* panel) {
  using A = Compute<T>;
  constexpr int kWidth = kVectors * static_cast<int>(hn::MaxLanes(hn::ScalableTag<A>()));
  constexpr int kRows = 8 / kVectors;
  HWY_ALIGN A sums[kRows * kWidth];
  const int64_t used = HWY_MIN(int64_t{kWidth}, p.n - j0);
  for (int64_t block_row = begin; block_row < end; ++block_row) {
    const int64_t rows = HWY_MIN(p.a.r, p.a.rows - block_row * p.a.r);
    for (int64_t row = 0; row < rows;) {
      int64_t count = kRows;
      if (rows - row >= kRows) {
        block_rows<kRows, kVectors, kColumns, kSteps, T, I>(p.a, block_row, row, panel, sums);
      } else {
        count = 1;
        block_rows<1, kVectors, kColumns, kSteps, T, I>(p.a, block_row, row, panel, sums);
      }
      store_tile(p.out, block_row * p.a.r + row, count, j0, used, sums, kWidth);
      row += count;
    }
  }
}

template <int kVectors, class T>
void multiply_panel(const BlockProduct<T>& p, int64_t begin, int64_t end, int64_t j0, const Compute<T>* panel) {
  const auto multiply = [&]<int kColumns, int kSteps>() {
    if (p.a.index == DType::int32) rows_of_panel<kVectors, kColumns, kSteps, T, std::int32_t>(p, begin, end, j0, panel);
    else rows_of_panel<kVectors, kColumns, kSteps, T, std::int64_t>(p, begin, end, j0, panel);
  };
  if constexpr (std::is_same_v<T, Compute<T>>) {
    if (p.a.c == 1) return multiply.template operator()<1, 1>();
    if (p.a.c == 4) return multiply.template operator()<4, 4>();
    if (p.a.c % 4 == 0) return multiply.template operator()<0, 4>();
  }
  multiply.template operator()<0, 1>();
}

template <class T>
void multiply_panel(const BlockProduct<T>& p, int64_t begin, int64_t end, int64_t j0, const Compute<T>* panel) {
  switch (p.vectors) {
    case 2: multiply_panel<2>(p, begin, end, j0, panel); break;
    case 4: multiply_panel<4>(p, begin, end, j0, panel); break;
    default: multiply_panel<8>(p, begin, end, j0, panel); break;
  }
}

/// Rows [begin, end) of the panel that begins at column j0.
template <class T>
void pack_rows(const BlockProduct<T>& p, int64_t begin, int64_t end, int64_t j0, Compute<T>* panel) {
  const int64_t width = p.vectors * static_cast<int64_t>(hn::MaxLanes(hn::ScalableTag<Compute<T>>()));
  pack_panel(p.b, p.a.cols, p.n, p.column_major, begin, end - begin, j0, HWY_MIN(width, p.n - j0), width,
             panel + begin * width);
}

int64_t block_lanes_f32() { return static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>())); }
int64_t block_lanes_f64() { return static_cast<int64_t>(hn::Lanes(hn::ScalableTag<double>())); }

// Highway's tables hold plain functions: one for each storage type.
#define SPARSERT_BSR_OF(suffix, T)                                                                                    \
  void pack_##suffix(const BlockProduct<T>& p, int64_t begin, int64_t end, int64_t j0, Compute<T>* panel) {           \
    pack_rows(p, begin, end, j0, panel);                                                                              \
  }                                                                                                                   \
  void multiply_##suffix(const BlockProduct<T>& p, int64_t begin, int64_t end, int64_t j0, const Compute<T>* panel) { \
    multiply_panel(p, begin, end, j0, panel);                                                                         \
  }
SPARSERT_BSR_OF(f16, float16)
SPARSERT_BSR_OF(bf16, bfloat16)
SPARSERT_BSR_OF(f32, float)
SPARSERT_BSR_OF(f64, double)
#undef SPARSERT_BSR_OF

}  // namespace sparsert::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sparsert::backend::cpu {
namespace {

HWY_EXPORT(pack_f16);
HWY_EXPORT(pack_bf16);
HWY_EXPORT(pack_f32);
HWY_EXPORT(pack_f64);
HWY_EXPORT(multiply_f16);
HWY_EXPORT(multiply_bf16);
HWY_EXPORT(multiply_f32);
HWY_EXPORT(multiply_f64);
HWY_EXPORT(block_lanes_f32);
HWY_EXPORT(block_lanes_f64);

template <class T>
auto pack() {
  if constexpr (std::is_same_v<T, float16>) return HWY_DYNAMIC_DISPATCH(pack_f16);
  else if constexpr (std::is_same_v<T, bfloat16>) return HWY_DYNAMIC_DISPATCH(pack_bf16);
  else if constexpr (std::is_same_v<T, float>) return HWY_DYNAMIC_DISPATCH(pack_f32);
  else return HWY_DYNAMIC_DISPATCH(pack_f64);
}

template <class T>
auto multiply() {
  if constexpr (std::is_same_v<T, float16>) return HWY_DYNAMIC_DISPATCH(multiply_f16);
  else if constexpr (std::is_same_v<T, bfloat16>) return HWY_DYNAMIC_DISPATCH(multiply_bf16);
  else if constexpr (std::is_same_v<T, float>) return HWY_DYNAMIC_DISPATCH(multiply_f32);
  else return HWY_DYNAMIC_DISPATCH(multiply_f64);
}

/// Vectors of columns that leave eight sums to the rows of a block, and no more than there are columns for.
int vectors_for(int64_t r, int64_t n, int64_t lanes) {
  int vectors = r >= kMostRows ? 2 : r >= 2 ? 4 : kMostVectors;
  while (vectors > 2 && vectors / 2 * lanes >= n) vectors /= 2;
  return vectors;
}

template <class T>
void run(const BsrSpmmArgs& args, const Stream& stream) {
  using A = Compute<T>;
  const BsrView& a = args.a;
  if (a.rows == 0 || args.n == 0) return;
  const int64_t lanes =
      std::is_same_v<A, float> ? HWY_DYNAMIC_DISPATCH(block_lanes_f32)() : HWY_DYNAMIC_DISPATCH(block_lanes_f64)();
  const BlockProduct<T> p{a,
                          args.n,
                          static_cast<const T*>(args.b),
                          args.column_major,
                          vectors_for(a.r, args.n, lanes),
                          {static_cast<T*>(args.c),
                           args.column_major ? 1 : args.n,
                           args.column_major ? a.rows : 1,
                           static_cast<const T*>(args.bias),
                           nullptr,
                           {static_cast<A>(args.alpha), static_cast<A>(args.beta), args.relu}}};
  // With alpha 0 neither matrix is read: as if there were no blocks.
  BlockProduct<T> q = p;
  std::vector<std::int64_t> none;
  const int64_t block_rows = (a.rows + a.r - 1) / a.r;
  if (args.alpha == 0) {
    none.assign(static_cast<std::size_t>(block_rows + 1), 0);
    q.a.index = DType::int64;
    q.a.row_offsets = none.data();
    q.a.cols = 0;
  }
  const int64_t width = p.vectors * lanes;
  const int64_t tiles = (args.n + width - 1) / width;
  const int64_t panel_size = std::max<int64_t>(1, q.a.cols) * width;
  const auto pack_rows = pack<T>();
  const auto multiply_rows = multiply<T>();
  const int64_t threads = num_threads();
  if (threads == 1 || tiles % threads == 0 || tiles >= 4 * threads) {
    parallel_for(tiles, 1, [&](int64_t begin, int64_t end) {
      const Buffer memory(static_cast<std::size_t>(panel_size) * sizeof(A), stream);
      A* const panel = static_cast<A*>(memory.data());
      for (int64_t tile = begin; tile < end; ++tile) {
        pack_rows(q, 0, q.a.cols, tile * width, panel);
        multiply_rows(q, 0, block_rows, tile * width, panel);
      }
    });
    return;
  }
  const Buffer memory(static_cast<std::size_t>(tiles * panel_size) * sizeof(A), stream);
  A* const panels = static_cast<A*>(memory.data());
  parallel_for(tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) pack_rows(q, 0, q.a.cols, tile * width, panels + tile * panel_size);
  });
  const int64_t grain = std::max<int64_t>(1, block_rows / (4 * threads));
  parallel_for(block_rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t tile = 0; tile < tiles; ++tile) multiply_rows(q, begin, end, tile * width, panels + tile * panel_size);
  });
}

}  // namespace

void bsr_spmm(const BsrSpmmArgs& args, const Stream& stream) {
  dispatch_any_float("bsr_spmm", args.a.dtype, [&]<class T>() { run<T>(args, stream); });
}

}  // namespace sparsert::backend::cpu
#endif  // HWY_ONCE
