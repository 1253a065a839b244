// runtime/attention/arrays.cpp — masks from arrays: layouts of blocks, dense and sparse matrices, the largest scores.
#include <algorithm>
#include <numeric>

#include "runtime/attention/mask.hpp"
#include "sparsert/ops.hpp"

namespace sparsert::attention {
namespace {

struct Planes {
  Tensor values;  // on the host
  std::int64_t heads;
  std::int64_t rows;
  std::int64_t columns;
};

Planes planes_of(const char* op, const char* argument, const Tensor& x) {
  require(x.rank() == 2 || x.rank() == 3, [&] {
    return std::string(op) + ": " + argument + " has shape " + to_string(x.shape()) + ", expected 2 or 3 dimensions";
  });
  const std::int64_t heads = x.rank() == 3 ? x.size(0) : 1;
  require(heads >= 1, [&] { return std::string(op) + ": " + argument + " has 0 heads, expected at least 1"; });
  return {x.cpu(), heads, x.size(x.rank() - 2), x.size(x.rank() - 1)};
}

/// One node for each head, made of the spans of keys that `spans_of_row(head, row)` gives for each row, `height`
/// queries each.
template <class F>
NodePtr lists_of(Lengths n, std::int64_t heads, std::int64_t rows, std::int64_t height, F spans_of_row) {
  std::vector<NodePtr> parts;
  for (std::int64_t head = 0; head < heads; ++head) {
    KeyLists lists;
    for (std::int64_t row = 0; row < rows && row * height < n.query; ++row) {
      lists.add_stretch(row * height, lists.add_list(spans_of_row(head, row)));
    }
    parts.push_back(std::make_shared<Lists>(n, std::move(lists)));
  }
  return parts.size() == 1 ? parts.front() : std::make_shared<const PerHead>(std::move(parts));
}

/// What is not zero in each row of a plane, as spans of columns, `width` keys each.
std::vector<Span> nonzero_spans(const Tensor& bytes, std::int64_t row, std::int64_t columns, std::int64_t width,
                                std::int64_t keys) {
  const auto* const x = static_cast<const std::uint8_t*>(bytes.data()) + row * columns;
  std::vector<Span> spans;
  for (std::int64_t c = 0; c < columns;) {
    if (x[c] == 0) {
      ++c;
      continue;
    }
    const std::int64_t begin = c;
    while (c < columns && x[c] != 0) ++c;
    spans.push_back({std::min(keys, begin * width), std::min(keys, c * width)});
  }
  return spans;
}

template <class T>
void fill_nonzero(const Tensor& x, std::uint8_t* out) {
  const auto* const values = static_cast<const T*>(x.data());
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>) out[i] = to_float(values[i]) != 0;
    else out[i] = values[i] != 0;
  }
}

/// 1 where x is not zero: NaN is not, -0 is.
Tensor nonzero_bytes(const Tensor& x) {
  Tensor bytes = Tensor::empty(x.shape(), DType::uint8);
  auto* const out = static_cast<std::uint8_t*>(bytes.mutable_data());
  switch (x.dtype()) {
    case DType::boolean:
    case DType::uint8: fill_nonzero<std::uint8_t>(x, out); break;
    case DType::int32: fill_nonzero<std::int32_t>(x, out); break;
    case DType::int64: fill_nonzero<std::int64_t>(x, out); break;
    case DType::float16: fill_nonzero<float16>(x, out); break;
    case DType::bfloat16: fill_nonzero<bfloat16>(x, out); break;
    case DType::float32: fill_nonzero<float>(x, out); break;
    case DType::float64: fill_nonzero<double>(x, out); break;
  }
  return bytes;
}

template <class I>
std::vector<Span> row_of_csr(const Csr& csr, std::int64_t row) {
  const auto offsets = csr.row_offsets().span<I>();
  const auto columns = csr.columns().span<I>();
  std::vector<Span> spans;
  for (I e = offsets[static_cast<std::size_t>(row)]; e < offsets[static_cast<std::size_t>(row + 1)]; ++e) {
    const std::int64_t key = columns[static_cast<std::size_t>(e)];
    spans.push_back({key, key + 1});
  }
  return spans;
}

}  // namespace

Mask block(const Tensor& layout, std::int64_t size, std::optional<Lengths> n, const MaskOptions& options) {
  const Planes planes = planes_of("block", "layout", layout);
  require(size >= 1 && size <= (std::int64_t{1} << 30),
          [&] { return "block: size is " + std::to_string(size) + ", expected 1 to 2^30"; });
  const Lengths whole{planes.rows * size, planes.columns * size};
  const Lengths lengths = n.value_or(whole);
  check_lengths("block", lengths, options);
  const auto fits = [size](std::int64_t length, std::int64_t blocks) { return (length + size - 1) / size == blocks; };
  require(fits(lengths.query, planes.rows) && fits(lengths.key, planes.columns), [&] {
    return "block: layout has shape " + to_string(layout.shape()) + ", expected " +
           std::to_string((lengths.query + size - 1) / size) + " x " + std::to_string((lengths.key + size - 1) / size) +
           " blocks of " + std::to_string(size);
  });
  const Tensor bytes = nonzero_bytes(planes.values);
  return make_mask(lists_of(lengths, planes.heads, planes.rows, size,
                            [&](std::int64_t head, std::int64_t row) {
                              return nonzero_spans(bytes, head * planes.rows + row, planes.columns, size, lengths.key);
                            }),
                   options.block_size);
}

Mask from_dense(const Tensor& dense, const MaskOptions& options) {
  const Planes planes = planes_of("from_dense", "dense", dense);
  const Lengths n{planes.rows, planes.columns};
  check_lengths("from_dense", n, options);
  const Tensor bytes = nonzero_bytes(planes.values);
  return make_mask(lists_of(n, planes.heads, planes.rows, 1,
                            [&](std::int64_t head, std::int64_t row) {
                              return nonzero_spans(bytes, head * planes.rows + row, planes.columns, 1, n.key);
                            }),
                   options.block_size);
}

Mask from_csr(const Csr& csr, const MaskOptions& options) {
  const Csr host = csr.cpu();
  const Lengths n{host.rows(), host.cols()};
  check_lengths("from_csr", n, options);
  const bool is_small = host.index_dtype() == DType::int32;
  return make_mask(lists_of(n, 1, n.query, 1,
                            [&](std::int64_t, std::int64_t row) {
                              return is_small ? row_of_csr<std::int32_t>(host, row)
                                              : row_of_csr<std::int64_t>(host, row);
                            }),
                   options.block_size);
}

Mask topk(const Tensor& scores, std::int64_t k, const MaskOptions& options) {
  require(is_floating(scores.dtype()),
          [&] { return "topk: scores are " + std::string(to_string(scores.dtype())) + ", expected a floating type"; });
  const Planes planes = planes_of("topk", "scores", scores);
  const Lengths n{planes.rows, planes.columns};
  check_lengths("topk", n, options);
  require(k >= 0 && k <= n.key,
          [&] { return "topk: k is " + std::to_string(k) + ", expected 0 to " + std::to_string(n.key); });
  const Tensor wide = cast(planes.values, DType::float64);  // exact, and orders as the scores do
  std::vector<std::int64_t> order(static_cast<std::size_t>(n.key));
  return make_mask(lists_of(n, planes.heads, planes.rows, 1,
                            [&](std::int64_t head, std::int64_t row) {
                              const double* const x = wide.span<double>().data() + (head * planes.rows + row) * n.key;
                              const auto before = [x](std::int64_t a, std::int64_t b) {
                                const bool a_is_nan = !(x[a] == x[a]);
                                const bool b_is_nan = !(x[b] == x[b]);
                                if (a_is_nan != b_is_nan) return a_is_nan;
                                if (!a_is_nan && x[a] != x[b]) return x[a] > x[b];
                                return a < b;
                              };
                              std::iota(order.begin(), order.end(), 0);
                              std::nth_element(order.begin(), order.begin() + k, order.end(), before);
                              std::sort(order.begin(), order.begin() + k);
                              std::vector<Span> spans;
                              for (std::int64_t e = 0; e < k; ++e) {
                                const std::int64_t key = order[static_cast<std::size_t>(e)];
                                spans.push_back({key, key + 1});
                              }
                              return spans;
                            }),
                   options.block_size);
}

}  // namespace sparsert::attention
