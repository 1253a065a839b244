// kernels/cpu/bsr.cpp — block-sparse times dense, with Highway and TBB.
//
// The rows of a block share every row of B that they meet: four rows of A by two vectors of columns keep eight sums in
// registers, and each load of B serves four multiplications. That, and not the loads, is what bounds it. B is packed
// into panels two vectors wide; a panel meets all rows of blocks before the next one is packed.
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

/// What the tasks of one product share. Panels are kBlockVectors vectors wide, (k x width) each.
template <class T>
struct BlockProduct {
  BsrView a;
  int64_t n;
  const T* b;
  bool column_major;
  Output<T> out;
};

inline constexpr int kBlockVectors = 2;
inline constexpr int kBlockRows = 4;  // of A, in registers

}  // namespace sparsert::backend::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace sparsert::backend::cpu::HWY_NAMESPACE {

/// Rows [row, row + kRows) of a row of blocks, within the block, times one panel; sums go to `sums`.
template <int kRows, class T, class I>
HWY_INLINE void block_rows(const BsrView& a, int64_t block_row, int64_t row, const Compute<T>* HWY_RESTRICT panel,
                           Compute<T>* HWY_RESTRICT sums) {
  using A = Compute<T>;
  const hn::ScalableTag<A> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int kLanes = hn::MaxLanes(d);
  constexpr int kWidth = kBlockVectors * kLanes;
  const auto* offsets = static_cast<const I*>(a.row_offsets);
  const auto* columns = static_cast<const I*>(a.columns);
  const auto* values = static_cast<const T*>(a.values) + row * a.c;
  const int64_t size = a.r * a.c;
  V piece[kRows][kBlockVectors];
  V total[kRows][kBlockVectors];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kBlockVectors; ++v) piece[r][v] = total[r][v] = hn::Zero(d);
  }
  int64_t piece_end = kPiece;
  for (int64_t block = offsets[block_row]; block < offsets[block_row + 1]; ++block) {
    int64_t p = static_cast<int64_t>(columns[block]) * a.c;
    const int64_t end = HWY_MIN(p + a.c, a.cols);  // what lies behind is padding
    const T* value = values + block * size;
    while (p < end) {
      if (p >= piece_end) {
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          for (int v = 0; v < kBlockVectors; ++v) {
            total[r][v] = hn::Add(total[r][v], piece[r][v]);
            piece[r][v] = hn::Zero(d);
          }
        }
        piece_end = (p / kPiece + 1) * kPiece;
      }
      const A* x = panel + p * kWidth;
      for (const int64_t stop = HWY_MIN(end, piece_end); p < stop; ++p, ++value, x += kWidth) {
        const V x0 = hn::Load(d, x);
        const V x1 = hn::Load(d, x + kLanes);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          const V w = hn::Set(d, widen(value[r * a.c]));
          piece[r][0] = fused_multiply_add(w, x0, piece[r][0]);
          piece[r][1] = fused_multiply_add(w, x1, piece[r][1]);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kBlockVectors; ++v) {
      hn::Store(hn::Add(total[r][v], piece[r][v]), d, sums + r * kWidth + v * kLanes);
    }
  }
}

/// Rows of blocks [begin, end) times one panel that begins at column j0.
template <class T, class I>
void rows_of_panel(const BlockProduct<T>& p, int64_t begin, int64_t end, int64_t j0, const Compute<T>* panel) {
  using A = Compute<T>;
  constexpr int kWidth = kBlockVectors * static_cast<int>(hn::MaxLanes(hn::ScalableTag<A>()));
  HWY_ALIGN A sums[kBlockRows * kWidth];
  const int64_t used = HWY_MIN(int64_t{kWidth}, p.n - j0);
  for (int64_t block_row = begin; block_row < end; ++block_row) {
    const int64_t rows = HWY_MIN(p.a.r, p.a.rows - block_row * p.a.r);
    for (int64_t row = 0; row < rows;) {
      const int64_t count = HWY_MIN(rows - row, int64_t{kBlockRows});
      switch (count) {
        case 4: block_rows<4, T, I>(p.a, block_row, row, panel, sums); break;
        case 3: block_rows<3, T, I>(p.a, block_row, row, panel, sums); break;
        case 2: block_rows<2, T, I>(p.a, block_row, row, panel, sums); break;
        default: block_rows<1, T, I>(p.a, block_row, row, panel, sums); break;
      }
      store_tile(p.out, block_row * p.a.r + row, count, j0, used, sums, kWidth);
      row += count;
    }
  }
}

template <class T>
void multiply_panel(const BlockProduct<T>& p, int64_t begin, int64_t end, int64_t j0, const Compute<T>* panel) {
  if (p.a.index == DType::int32) rows_of_panel<T, std::int32_t>(p, begin, end, j0, panel);
  else rows_of_panel<T, std::int64_t>(p, begin, end, j0, panel);
}

/// Rows [begin, end) of the panel that begins at column j0.
template <class T>
void pack_rows(const BlockProduct<T>& p, int64_t begin, int64_t end, int64_t j0, Compute<T>* panel) {
  constexpr int64_t kWidth = kBlockVectors * static_cast<int64_t>(hn::MaxLanes(hn::ScalableTag<Compute<T>>()));
  pack_panel(p.b, p.a.cols, p.n, p.column_major, begin, end - begin, j0, HWY_MIN(kWidth, p.n - j0), kWidth,
             panel + begin * kWidth);
}

int64_t width_f32() { return kBlockVectors * static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>())); }
int64_t width_f64() { return kBlockVectors * static_cast<int64_t>(hn::Lanes(hn::ScalableTag<double>())); }

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
HWY_EXPORT(width_f32);
HWY_EXPORT(width_f64);

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

template <class T>
void run(const BsrSpmmArgs& args, const Stream& stream) {
  using A = Compute<T>;
  const BsrView& a = args.a;
  if (a.rows == 0 || args.n == 0) return;
  const BlockProduct<T> p{a,
                          args.n,
                          static_cast<const T*>(args.b),
                          args.column_major,
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
  const int64_t width =
      std::is_same_v<A, float> ? HWY_DYNAMIC_DISPATCH(width_f32)() : HWY_DYNAMIC_DISPATCH(width_f64)();
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
