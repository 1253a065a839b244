// runtime/sparsity/dynamic.cpp — dynamic sparse training: which entries go, which come, and the matrix made anew.
//
// No dense array of the matrix's size is ever made: places that could grow are ranked by passes over the gradient's
// rows, a digit of the key at a time, as a radix selection does.
#include "sparsert/dynamic.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/contract/random.hpp"
#include "kernels/dispatch.hpp"
#include "runtime/ops/check.hpp"
#include "runtime/ops/memory.hpp"

namespace sparsert::prune {
namespace {

constexpr std::int64_t kPanelElements = 1 << 18;

template <class T>
double wide(T x) {
  if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>) return static_cast<double>(to_float(x));
  else return static_cast<double>(x);
}

/// |x| as an integer that orders like it; NaN is `nan`.
std::uint64_t key_of(double x, std::uint64_t nan) {
  return std::isnan(x) ? nan : std::bit_cast<std::uint64_t>(x) & 0x7fffffffffffffffu;
}

constexpr std::uint64_t kAboveAll = 0x7ff0000000000001u;

/// The key of a rank, and how many of those that equal it are on its side.
struct Limit {
  std::uint64_t key = 0;
  std::int64_t ties = 0;
};

/// The `count` largest keys (count >= 1) of what `for_each(visit)` visits, in 11-bit digits from the top.
template <class ForEach>
Limit largest(std::int64_t count, const ForEach& for_each) {
  constexpr int kBits = 11;
  Limit limit{0, count};
  int shift = 64;
  while (shift > 0) {
    const int width = std::min(kBits, shift);
    const int low = shift - width;
    std::array<std::int64_t, std::size_t{1} << kBits> histogram{};
    for_each([&](std::uint64_t key) {
      const bool matches = (key ^ limit.key) >> (shift - 1) >> 1 == 0;  // two shifts: one by 64 would be undefined
      histogram[(key >> low) & ((std::uint64_t{1} << width) - 1)] += matches ? 1 : 0;
    });
    std::size_t digit = (std::size_t{1} << width) - 1;
    while (histogram[digit] < limit.ties) limit.ties -= histogram[digit--];
    limit.key |= static_cast<std::uint64_t>(digit) << low;
    shift = low;
  }
  return limit;
}

/// Rows of a gradient on any device, a panel at a time.
template <class T>
class Rows {
 public:
  Rows(const Tensor& dense, std::int64_t cols) : dense_(dense), cols_(cols) {}

  const T* operator()(std::int64_t row) {
    if (dense_.device().is_host()) return static_cast<const T*>(dense_.data()) + row * cols_;
    if (row < first_ || row >= first_ + count_) fetch(row);
    return panel_.data() + (row - first_) * cols_;
  }

 private:
  void fetch(std::int64_t row) {
    first_ = row;
    count_ =
        std::min(std::max<std::int64_t>(1, kPanelElements / std::max<std::int64_t>(1, cols_)), dense_.size(0) - row);
    panel_.resize(static_cast<std::size_t>(count_ * cols_));
    copy_bytes(panel_.data(), cpu_device, static_cast<const T*>(dense_.data()) + row * cols_, dense_.device(),
               panel_.size() * sizeof(T), Stream(dense_.device()));
  }

  const Tensor& dense_;
  std::int64_t cols_;
  std::int64_t first_ = 0;
  std::int64_t count_ = 0;
  std::vector<T> panel_;
};

/// The new matrix: for each of its entries the old one's number, or -1 where it grew.
struct Moved {
  Tensor row_offsets;
  Tensor columns;
  std::vector<std::int64_t> source;
  DynamicSparse::Change change;
};

template <class T, class I>
Moved move_entries(const Csr& a, const Tensor* grad, const DynamicOptions& options, std::int64_t step) {
  const Csr host = a.device().is_host() ? a : a.cpu();
  const auto* const offsets = static_cast<const I*>(host.row_offsets().data());
  const auto* const columns = static_cast<const I*>(host.columns().data());
  const auto* const values = static_cast<const T*>(host.values().data());
  const std::int64_t nnz = a.nnz();
  const auto drop = static_cast<std::int64_t>(std::nearbyint(options.fraction * static_cast<double>(nnz)));

  // Those that stay: the nnz - drop largest, ties to the lower index, NaN above all.
  std::vector<bool> stays(static_cast<std::size_t>(nnz));
  if (nnz > drop) {
    Limit limit = largest(nnz - drop, [&](const auto& visit) {
      for (std::int64_t e = 0; e < nnz; ++e) visit(key_of(wide(values[e]), kAboveAll));
    });
    for (std::int64_t e = 0; e < nnz; ++e) {
      const std::uint64_t key = key_of(wide(values[e]), kAboveAll);
      stays[static_cast<std::size_t>(e)] = key > limit.key || (key == limit.key && limit.ties-- > 0);
    }
  }

  // Visits each place that does not stay: its row, column, key, and the entry that was there or -1.
  std::optional<Rows<T>> rows;
  if (grad != nullptr) rows.emplace(*grad, a.cols());
  const auto for_each_row = [&](std::int64_t r, const auto& visit) {
    std::int64_t e = offsets[r];
    const T* const gradient = rows ? (*rows)(r) : nullptr;
    for (std::int64_t c = 0; c < a.cols(); ++c) {
      const bool stored = e < offsets[r + 1] && columns[e] == c;
      if (stored && stays[static_cast<std::size_t>(e)]) {
        visit(c, std::uint64_t{0}, e, true);
      } else {
        const std::int64_t place = r * a.cols() + c;
        const std::uint64_t key = gradient != nullptr
                                      ? key_of(wide(gradient[c]), 0)
                                      : backend::random_number(options.seed, static_cast<std::uint64_t>(step), place);
        visit(c, key, stored ? e : std::int64_t{-1}, false);
      }
      e += stored ? 1 : 0;
    }
  };
  Limit limit{UINT64_MAX, 0};
  if (drop > 0) {
    limit = largest(drop, [&](const auto& visit) {
      for (std::int64_t r = 0; r < a.rows(); ++r) {
        for_each_row(r, [&](std::int64_t, std::uint64_t key, std::int64_t, bool stayed) {
          if (!stayed) visit(key);
        });
      }
    });
  }

  Moved moved{
      Tensor::empty({a.rows() + 1}, a.index_dtype()), Tensor::empty({nnz}, a.index_dtype()), {}, {drop, drop, 0}};
  moved.source.reserve(static_cast<std::size_t>(nnz));
  auto* const new_offsets = static_cast<I*>(moved.row_offsets.mutable_data());
  auto* const new_columns = static_cast<I*>(moved.columns.mutable_data());
  new_offsets[0] = 0;
  for (std::int64_t r = 0; r < a.rows(); ++r) {
    for_each_row(r, [&](std::int64_t c, std::uint64_t key, std::int64_t entry, bool stayed) {
      const bool grows = !stayed && (key > limit.key || (key == limit.key && limit.ties-- > 0));
      if (!stayed && !grows) return;
      new_columns[moved.source.size()] = static_cast<I>(c);
      moved.source.push_back(stayed ? entry : -1);
      moved.change.moved += grows && entry < 0 ? 1 : 0;
    });
    new_offsets[r + 1] = static_cast<I>(moved.source.size());
  }
  return moved;
}

/// One value per entry, moved with the entries; 0 for those that grew.
Tensor carried(const Tensor& values, const std::vector<std::int64_t>& source) {
  const Tensor host = values.device().is_host() ? values : values.cpu();
  const std::size_t size = size_of(values.dtype());
  Tensor out = Tensor::zeros(values.shape(), values.dtype());
  const auto* const from = static_cast<const std::byte*>(host.data());
  auto* const to = static_cast<std::byte*>(out.mutable_data());
  for (std::size_t e = 0; e < source.size(); ++e) {
    if (source[e] >= 0) std::memcpy(to + e * size, from + static_cast<std::size_t>(source[e]) * size, size);
  }
  return out.to(values.device());
}

/// The stored entries of a dense matrix, zeros among them where they are wanted.
template <class T, class I>
Csr first_pattern(const Tensor& w, std::int64_t count, const DynamicOptions& options) {
  const Tensor host = w.device().is_host() ? w : w.cpu();
  const auto* const x = static_cast<const T*>(host.data());
  const std::int64_t rows = w.size(0);
  const std::int64_t cols = w.size(1);
  const auto key_at = [&](std::int64_t i) {
    const std::uint64_t key = key_of(wide(x[i]), kAboveAll);
    const bool drawn = options.pattern == Pattern::random && key != kAboveAll;
    return drawn ? std::uint64_t{backend::random_number(options.seed, UINT64_MAX, i)} : key;
  };
  Limit limit{UINT64_MAX, 0};
  if (count > 0) {
    limit = largest(count, [&](const auto& visit) {
      for (std::int64_t i = 0; i < rows * cols; ++i) visit(key_at(i));
    });
  }
  const std::int64_t nans = std::count_if(x, x + rows * cols, [](T v) { return std::isnan(wide(v)); });
  require(nans <= count, [&] {
    return "prune::DynamicSparse: density keeps " + std::to_string(count) + " entries, expected at least " +
           std::to_string(nans) + ", the number of NaNs, which are kept";
  });
  Tensor row_offsets = Tensor::empty({rows + 1}, options.index_dtype);
  Tensor columns = Tensor::empty({count}, options.index_dtype);
  Tensor values = Tensor::empty({count}, w.dtype());
  auto* const offset = static_cast<I*>(row_offsets.mutable_data());
  auto* const column = static_cast<I*>(columns.mutable_data());
  auto* const value = static_cast<T*>(values.mutable_data());
  std::int64_t e = 0;
  offset[0] = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      const std::uint64_t key = key_at(r * cols + c);
      if (!(key > limit.key || (key == limit.key && limit.ties-- > 0))) continue;
      column[e] = static_cast<I>(c);
      value[e++] = x[r * cols + c];
    }
    offset[r + 1] = static_cast<I>(e);
  }
  return Csr::unchecked(row_offsets, columns, values, rows, cols).to(w.device());
}

void check_fraction(double fraction) {
  require(fraction >= 0 && fraction <= 1,
          [&] { return "prune::DynamicSparse: fraction is " + std::to_string(fraction) + ", expected 0 to 1"; });
}

Csr make_pattern(const Tensor& w, double density, const DynamicOptions& options) try {
  constexpr const char* kOp = "prune::DynamicSparse";
  if (!is_floating(w.dtype())) backend::throw_unsupported_dtype(kOp, w.dtype());
  check_rank(kOp, "w", w, 2);
  check_fraction(options.fraction);
  require(density >= 0 && density <= 1,
          [&] { return std::string(kOp) + ": density is " + std::to_string(density) + ", expected 0 to 1"; });
  const auto count = static_cast<std::int64_t>(std::nearbyint(density * static_cast<double>(w.numel())));
  require(options.index_dtype == DType::int64 || std::max({count, w.size(0), w.size(1)}) <= INT32_MAX,
          [&] { return std::string(kOp) + ": " + std::to_string(count) + " entries need index_dtype int64"; });
  return backend::dispatch_any_float(kOp, w.dtype(), [&]<class T>() {
    return backend::dispatch_index(kOp, options.index_dtype,
                                   [&]<class I>() { return first_pattern<T, I>(w, count, options); });
  });
} catch (...) {
  rethrow_named("prune::DynamicSparse", {&w});
}

}  // namespace

DynamicSparse::DynamicSparse(const Tensor& w, double density, const DynamicOptions& options)
    : options_(options), weight_(make_pattern(w, density, options)) {}

void DynamicSparse::set_fraction(double fraction) {
  check_fraction(fraction);
  options_.fraction = fraction;
}

void DynamicSparse::set_steps(std::int64_t steps) {
  require(steps >= 0,
          [&] { return "prune::DynamicSparse: steps is " + std::to_string(steps) + ", expected at least 0"; });
  steps_ = steps;
}

void DynamicSparse::set_weight(const Csr& weight) {
  constexpr const char* kOp = "prune::DynamicSparse";
  check_same_dtype(kOp, "weight", weight.values(), weight_.values());
  check_device(kOp, "weight", weight.device(), weight_.device());
  require(weight.shape() == weight_.shape() && weight.nnz() == weight_.nnz() &&
              weight.index_dtype() == weight_.index_dtype(),
          [&] {
            return std::string(kOp) + ": weight has shape " + to_string(weight.shape()) + " and " +
                   std::to_string(weight.nnz()) + " entries, expected " + to_string(weight_.shape()) + " and " +
                   std::to_string(weight_.nnz()) + ", and the same index type";
          });
  weight_ = weight;
}

DynamicSparse::Change DynamicSparse::step(const Tensor& dense_grad, std::vector<Tensor*> state) {
  return step(&dense_grad, state);
}

DynamicSparse::Change DynamicSparse::step(std::vector<Tensor*> state) { return step(nullptr, state); }

DynamicSparse::Change DynamicSparse::step(const Tensor* dense_grad, const std::vector<Tensor*>& state) try {
  constexpr const char* kOp = "prune::DynamicSparse";
  require(dense_grad != nullptr || options_.method == Growth::set,
          [&] { return std::string(kOp) + ": rigl grows by the gradient, expected dense_grad"; });
  const Tensor* const grad = options_.method == Growth::rigl ? dense_grad : nullptr;
  if (grad != nullptr) {
    check_shape(kOp, "dense_grad", *grad, weight_.shape());
    check_same_dtype(kOp, "dense_grad", *grad, weight_.values());
    check_device(kOp, "dense_grad", grad->device(), weight_.device());
  }
  for (const Tensor* array : state) {
    check_shape(kOp, "state", *array, weight_.values().shape());
    check_floating(kOp, "state", array->dtype());
  }
  const Moved moved = backend::dispatch_any_float(kOp, weight_.dtype(), [&]<class T>() {
    return backend::dispatch_index(kOp, weight_.index_dtype(),
                                   [&]<class I>() { return move_entries<T, I>(weight_, grad, options_, steps_); });
  });
  const Device device = weight_.device();
  const Tensor values = carried(weight_.values(), moved.source);
  std::vector<Tensor> arrays;
  for (const Tensor* array : state) arrays.push_back(carried(*array, moved.source));
  weight_ =
      Csr::unchecked(moved.row_offsets.to(device), moved.columns.to(device), values, weight_.rows(), weight_.cols());
  for (std::size_t i = 0; i < state.size(); ++i) *state[i] = arrays[i];
  ++steps_;
  return moved.change;
} catch (...) {
  rethrow_named("prune::DynamicSparse", {&weight_, dense_grad});
}

}  // namespace sparsert::prune
