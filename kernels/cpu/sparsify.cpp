// kernels/cpu/sparsify.cpp — pruning, and dense <-> sparse, with TBB.
#include <algorithm>
#include <atomic>
#include <cstdint>

#include "device/parallel.hpp"
#include "kernels/contract/sparsify.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/sparsify.hpp"

namespace sparsert::backend::cpu {
namespace {

constexpr std::int64_t kGrain = 1 << 15;  // elements of a task

/// Rows of a task, so that it has about kGrain elements.
std::int64_t row_grain(std::int64_t rows, std::int64_t elements) {
  return std::max<std::int64_t>(1, kGrain * rows / std::max<std::int64_t>(1, elements));
}

}  // namespace

void count_nonzero(const CountNonzeroArgs& args, const Stream&) {
  dispatch_any("count_nonzero", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    std::atomic<std::int64_t> total{0};
    parallel_for(args.n, kGrain, [&](std::int64_t begin, std::int64_t end) {
      std::int64_t count = 0;
      for (std::int64_t i = begin; i < end; ++i) count += is_nonzero(x[i]) ? 1 : 0;
      total.fetch_add(count, std::memory_order_relaxed);
    });
    *args.result = total.load();
  });
}

void csr_offsets(const CsrOffsetsArgs& args, const Stream&) {
  dispatch_any("csr_offsets", args.dtype, [&]<class T>() {
    dispatch_index("csr_offsets", args.index, [&]<class I>() {
      const auto* dense = static_cast<const T*>(args.dense);
      auto* row_offsets = static_cast<I*>(args.row_offsets);
      row_offsets[0] = 0;
      parallel_for(args.rows, row_grain(args.rows, args.rows * args.cols), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t r = begin; r < end; ++r) {
          I count = 0;
          for (std::int64_t c = 0; c < args.cols; ++c) count += is_nonzero(dense[r * args.cols + c]) ? 1 : 0;
          row_offsets[r + 1] = count;
        }
      });
      for (std::int64_t r = 0; r < args.rows; ++r) row_offsets[r + 1] += row_offsets[r];
    });
  });
}

void dense_to_csr(const DenseToCsrArgs& args, const Stream&) {
  dispatch_any("dense_to_csr", args.dtype, [&]<class T>() {
    dispatch_index("dense_to_csr", args.index, [&]<class I>() {
      const auto* dense = static_cast<const T*>(args.dense);
      const auto* row_offsets = static_cast<const I*>(args.row_offsets);
      auto* columns = static_cast<I*>(args.columns);
      auto* values = static_cast<T*>(args.values);
      parallel_for(args.rows, row_grain(args.rows, args.rows * args.cols), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t r = begin; r < end; ++r) {
          std::int64_t e = row_offsets[r];
          for (std::int64_t c = 0; c < args.cols; ++c) {
            const T x = dense[r * args.cols + c];
            if (!is_nonzero(x)) continue;
            columns[e] = static_cast<I>(c);
            values[e] = x;
            ++e;
          }
        }
      });
    });
  });
}

void csr_to_dense(const CsrToDenseArgs& args, const Stream&) {
  const CsrView& a = args.a;
  dispatch_any("csr_to_dense", a.dtype, [&]<class T>() {
    dispatch_index("csr_to_dense", a.index, [&]<class I>() {
      const auto* row_offsets = static_cast<const I*>(a.row_offsets);
      const auto* columns = static_cast<const I*>(a.columns);
      const auto* values = static_cast<const T*>(a.values);
      auto* dense = static_cast<T*>(args.dense);
      parallel_for(a.rows, row_grain(a.rows, a.rows * a.cols), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t r = begin; r < end; ++r) {
          T* const row = dense + r * a.cols;
          std::fill_n(row, a.cols, T{});
          for (std::int64_t e = row_offsets[r]; e < row_offsets[r + 1]; ++e) row[columns[e]] = values[e];
        }
      });
    });
  });
}

void csr_to_coo(const CsrToCooArgs& args, const Stream&) {
  const CsrView& a = args.a;
  dispatch_index("csr_to_coo", a.index, [&]<class I>() {
    const auto* row_offsets = static_cast<const I*>(a.row_offsets);
    auto* rows = static_cast<I*>(args.rows);
    parallel_for(a.rows, row_grain(a.rows, a.nnz), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        std::fill(rows + row_offsets[r], rows + row_offsets[r + 1], static_cast<I>(r));
    });
  });
}

void coo_to_csr(const CooToCsrArgs& args, const Stream& stream) {
  const CooView& a = args.a;
  dispatch_any("coo_to_csr", a.dtype, [&]<class T>() {
    dispatch_index("coo_to_csr", a.index, [&]<class I>() {
      const auto* row = static_cast<const I*>(a.row_indices);
      const auto* column = static_cast<const I*>(a.columns);
      const auto* value = static_cast<const T*>(a.values);
      auto* row_offsets = static_cast<I*>(args.row_offsets);
      auto* columns = static_cast<I*>(args.columns);
      auto* values = static_cast<T*>(args.values);

      // Entries of each row side by side, in input order: a counting sort.
      Scratch<I> slots(a.rows + 1, stream);
      Scratch<I> order(a.nnz, stream);
      std::fill(slots.begin(), slots.end(), I{0});
      for (std::int64_t e = 0; e < a.nnz; ++e) ++slots[row[e] + 1];
      for (std::int64_t r = 0; r < a.rows; ++r) slots[r + 1] += slots[r];
      std::copy(slots.begin(), slots.end(), row_offsets);
      for (std::int64_t e = 0; e < a.nnz; ++e) order[row_offsets[row[e]]++] = static_cast<I>(e);

      // Each row sorted by column, its duplicates summed, at the start of the row's slot.
      row_offsets[0] = 0;
      parallel_for(a.rows, row_grain(a.rows, a.nnz), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t r = begin; r < end; ++r) {
          I* const first = order.data() + slots[r];
          I* const last = order.data() + slots[r + 1];
          // Input order breaks ties, which makes the plain sort stable.
          std::sort(first, last, [&](I p, I q) { return column[p] != column[q] ? column[p] < column[q] : p < q; });
          I written = slots[r];
          for (const I* e = first; e < last; ++written) {
            const I at = *e;
            Compute<T> sum = widen(value[at]);
            for (++e; e < last && column[*e] == column[at]; ++e) {
              sum = add_duplicate(sum, value[*e], a.dtype == DType::boolean);
            }
            columns[written] = column[at];
            values[written] = narrow<T>(sum);
          }
          row_offsets[r + 1] = written - slots[r];
        }
      });

      // The rows moved together.
      for (std::int64_t r = 0; r < a.rows; ++r) {
        const I count = row_offsets[r + 1];
        if (row_offsets[r] != slots[r]) {
          std::copy_n(columns + slots[r], count, columns + row_offsets[r]);
          std::copy_n(values + slots[r], count, values + row_offsets[r]);
        }
        row_offsets[r + 1] = row_offsets[r] + count;
      }
      *args.nnz = row_offsets[a.rows];
    });
  });
}

}  // namespace sparsert::backend::cpu
