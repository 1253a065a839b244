// kernels/cpu/spgemm.cpp — sparse times sparse by rows of B (Gustavson), with TBB; sparse plus sparse.
//
// A task sums its rows in an accumulator as wide as B: for each column a piece, a total, and which piece and row they
// belong to, so that nothing is cleared between rows. The columns that a row touched are sorted at its end.
#include "kernels/spgemm.hpp"

#include <algorithm>

#include "kernels/cpu/each.hpp"
#include "kernels/cpu/scratch.hpp"

namespace sparsert::backend::cpu {
namespace {

/// Tasks share the rows evenly by the products they hold; each has an accumulator, so there are not many more of them
/// than threads.
std::int64_t row_grain(std::int64_t rows) {
  return std::max<std::int64_t>(1, rows / (4 * std::int64_t{num_threads()}) + 1);
}

template <class I>
void count(const SpgemmOffsetsArgs& args, const Stream& stream) {
  const auto* a_offsets = static_cast<const I*>(args.a.row_offsets);
  const auto* a_columns = static_cast<const I*>(args.a.columns);
  const auto* b_offsets = static_cast<const I*>(args.b.row_offsets);
  const auto* b_columns = static_cast<const I*>(args.b.columns);
  parallel_for(args.a.rows, row_grain(args.a.rows), [&](std::int64_t begin, std::int64_t end) {
    Scratch<std::int64_t> last_row(args.b.cols, stream);
    std::fill(last_row.begin(), last_row.end(), -1);
    for (std::int64_t i = begin; i < end; ++i) {
      std::int64_t found = 0;
      for (std::int64_t e = a_offsets[i]; e < a_offsets[i + 1]; ++e) {
        const std::int64_t k = a_columns[e];
        for (std::int64_t f = b_offsets[k]; f < b_offsets[k + 1]; ++f) {
          std::int64_t& row = last_row[b_columns[f]];
          if (row != i) ++found;
          row = i;
        }
      }
      args.row_offsets[i + 1] = found;
    }
  });
  Each::offsets(args.row_offsets, args.a.rows, stream);
}

/// One column of a row under way.
template <class A>
struct Slot {
  std::int64_t row;    // that the sums belong to
  std::int64_t piece;  // of k that `sum` belongs to
  A sum;
  A total;
};

template <class T, class I>
void multiply(const SpgemmArgs& args, const Stream& stream) {
  using A = Compute<T>;
  const auto* a_offsets = static_cast<const I*>(args.a.row_offsets);
  const auto* a_columns = static_cast<const I*>(args.a.columns);
  const auto* a_values = static_cast<const T*>(args.a.values);
  const auto* b_offsets = static_cast<const I*>(args.b.row_offsets);
  const auto* b_columns = static_cast<const I*>(args.b.columns);
  const auto* b_values = static_cast<const T*>(args.b.values);
  auto* columns = static_cast<I*>(args.columns);
  auto* values = static_cast<T*>(args.values);
  parallel_for(args.a.rows, row_grain(args.a.rows), [&](std::int64_t begin, std::int64_t end) {
    Scratch<Slot<A>> slots(args.b.cols, stream);
    std::fill(slots.begin(), slots.end(), Slot<A>{-1, 0, 0, 0});
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = args.row_offsets[i];
      std::int64_t last = first;
      for (std::int64_t e = a_offsets[i]; e < a_offsets[i + 1]; ++e) {
        const std::int64_t k = a_columns[e];
        const std::int64_t piece = k / kPiece;
        const A a = widen(a_values[e]);
        for (std::int64_t f = b_offsets[k]; f < b_offsets[k + 1]; ++f) {
          Slot<A>& slot = slots[b_columns[f]];
          if (slot.row != i) {
            slot = {i, piece, 0, 0};
            columns[last++] = b_columns[f];
          } else if (slot.piece != piece) {
            slot.total = slot.total + slot.sum;
            slot.sum = 0;
            slot.piece = piece;
          }
          slot.sum = std::fma(a, widen(b_values[f]), slot.sum);
        }
      }
      std::sort(columns + first, columns + last);
      for (std::int64_t at = first; at < last; ++at) {
        const Slot<A>& slot = slots[columns[at]];
        values[at] = narrow<T>(slot.total + slot.sum + A{0});
      }
    }
  });
}

/// An accumulator as wide as B for each task must pay: else rows are summed in the memory of their own entries.
bool is_wide(const CsrView& a, const CsrView& b) {
  const double accumulators = static_cast<double>(b.cols) * 4 * num_threads();
  const double entries = static_cast<double>(a.nnz) + static_cast<double>(b.nnz) + static_cast<double>(a.rows);
  return accumulators > 64 * entries + (1 << 20);
}

}  // namespace

void spgemm_offsets(const SpgemmOffsetsArgs& args, const Stream& stream) {
  if (is_wide(args.a, args.b)) return Spgemm<Each>::spgemm_offsets(args, stream);
  dispatch_index("spgemm", args.a.index, [&]<class I>() { count<I>(args, stream); });
}

void spgemm(const SpgemmArgs& args, const Stream& stream) {
  if (is_wide(args.a, args.b)) return Spgemm<Each>::spgemm(args, stream);
  dispatch_any_float("spgemm", args.a.dtype, [&]<class T>() {
    dispatch_index("spgemm", args.a.index, [&]<class I>() { multiply<T, I>(args, stream); });
  });
}

void sparse_add_offsets(const SparseAddOffsetsArgs& args, const Stream& stream) {
  Spgemm<Each>::sparse_add_offsets(args, stream);
}

void sparse_add(const SparseAddArgs& args, const Stream& stream) { Spgemm<Each>::sparse_add(args, stream); }

}  // namespace sparsert::backend::cpu
