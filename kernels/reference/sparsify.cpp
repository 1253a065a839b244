// kernels/reference/sparsify.cpp — pruning, and dense <-> sparse, one entry at a time: what they mean.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/contract/sparsify.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/numerics.hpp"
#include "kernels/sparsify.hpp"

namespace sparsert::backend::reference {

void count_nonzero(const CountNonzeroArgs& args, const Stream&) {
  dispatch_any("count_nonzero", args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    *args.result = std::count_if(x, x + args.n, [](T v) { return is_nonzero(v); });
  });
}

void csr_offsets(const CsrOffsetsArgs& args, const Stream&) {
  dispatch_any("csr_offsets", args.dtype, [&]<class T>() {
    dispatch_index("csr_offsets", args.index, [&]<class I>() {
      const auto* dense = static_cast<const T*>(args.dense);
      auto* row_offsets = static_cast<I*>(args.row_offsets);
      I nnz = 0;
      row_offsets[0] = 0;
      for (std::int64_t r = 0; r < args.rows; ++r) {
        for (std::int64_t c = 0; c < args.cols; ++c) nnz += is_nonzero(dense[r * args.cols + c]) ? 1 : 0;
        row_offsets[r + 1] = nnz;
      }
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
      for (std::int64_t r = 0; r < args.rows; ++r) {
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
}

void csr_to_dense(const CsrToDenseArgs& args, const Stream&) {
  const CsrView& a = args.a;
  dispatch_any("csr_to_dense", a.dtype, [&]<class T>() {
    dispatch_index("csr_to_dense", a.index, [&]<class I>() {
      const auto* row_offsets = static_cast<const I*>(a.row_offsets);
      const auto* columns = static_cast<const I*>(a.columns);
      const auto* values = static_cast<const T*>(a.values);
      auto* dense = static_cast<T*>(args.dense);
      std::fill_n(dense, a.rows * a.cols, T{});
      for (std::int64_t r = 0; r < a.rows; ++r) {
        for (std::int64_t e = row_offsets[r]; e < row_offsets[r + 1]; ++e) dense[r * a.cols + columns[e]] = values[e];
      }
    });
  });
}

void csr_to_coo(const CsrToCooArgs& args, const Stream&) {
  dispatch_index("csr_to_coo", args.a.index, [&]<class I>() {
    const auto* row_offsets = static_cast<const I*>(args.a.row_offsets);
    auto* rows = static_cast<I*>(args.rows);
    for (std::int64_t r = 0; r < args.a.rows; ++r) {
      for (std::int64_t e = row_offsets[r]; e < row_offsets[r + 1]; ++e) rows[e] = static_cast<I>(r);
    }
  });
}

void coo_to_csr(const CooToCsrArgs& args, const Stream&) {
  const CooView& a = args.a;
  dispatch_any("coo_to_csr", a.dtype, [&]<class T>() {
    dispatch_index("coo_to_csr", a.index, [&]<class I>() {
      const auto* row = static_cast<const I*>(a.row_indices);
      const auto* column = static_cast<const I*>(a.columns);
      const auto* value = static_cast<const T*>(a.values);
      auto* row_offsets = static_cast<I*>(args.row_offsets);
      auto* columns = static_cast<I*>(args.columns);
      auto* values = static_cast<T*>(args.values);

      std::vector<std::int64_t> order(static_cast<std::size_t>(a.nnz));
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](std::int64_t p, std::int64_t q) {
        return row[p] != row[q] ? row[p] < row[q] : column[p] < column[q];
      });

      std::fill_n(row_offsets, a.rows + 1, I{0});
      std::int64_t nnz = 0;
      for (std::size_t e = 0; e < order.size(); ++nnz) {
        const std::int64_t first = order[e];
        Compute<T> sum = widen(value[first]);
        for (++e; e < order.size() && row[order[e]] == row[first] && column[order[e]] == column[first]; ++e) {
          sum = add_duplicate(sum, value[order[e]], a.dtype == DType::boolean);
        }
        columns[nnz] = column[first];
        values[nnz] = narrow<T>(sum);
        ++row_offsets[row[first] + 1];
      }
      for (std::int64_t r = 0; r < a.rows; ++r) row_offsets[r + 1] += row_offsets[r];
      *args.nnz = nnz;
    });
  });
}

void prune_magnitude(const PruneMagnitudeArgs& args, const Stream&) {
  dispatch_any_float("prune_magnitude", args.dtype, [&]<class T>() {
    using Key = MagnitudeKey<T>;
    std::vector<Key> keys;
    for (const PruneTensor& tensor : args.tensors) {
      const auto* x = static_cast<const T*>(tensor.x);
      for (std::int64_t i = 0; i < tensor.n; ++i) keys.push_back(magnitude_key(x[i]));
    }
    // Below `threshold` all go; of those that equal it, the first `keep` stay.
    Key threshold = 0;
    auto keep = static_cast<std::int64_t>(keys.size());
    if (args.remove > 0) {
      std::sort(keys.begin(), keys.end());
      threshold = keys[static_cast<std::size_t>(args.remove - 1)];
      keep = std::upper_bound(keys.begin(), keys.end(), threshold) - keys.begin() - args.remove;
    }
    *args.nan_reached = args.remove > 0 && threshold == kNanKey<T>;
    if (*args.nan_reached) return;
    for (const PruneTensor& tensor : args.tensors) {
      const auto* x = static_cast<const T*>(tensor.x);
      auto* out = static_cast<T*>(tensor.out);
      for (std::int64_t i = 0; i < tensor.n; ++i) {
        const Key key = magnitude_key(x[i]);
        const bool stays = key > threshold || (key == threshold && keep-- > 0);
        out[i] = stays ? x[i] : T{};
      }
    }
  });
}

}  // namespace sparsert::backend::reference
