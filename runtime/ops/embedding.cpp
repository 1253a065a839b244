// runtime/ops/embedding.cpp — rows of a table gathered into bags: check, allocate, dispatch.
#include "sparsert/embedding.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/contract/embedding.hpp"
#include "kernels/dispatch.hpp"
#include "runtime/check_sparse.hpp"
#include "runtime/ops/memory.hpp"
#include "sparsert/sparse.hpp"

namespace sparsert {
namespace {

/// An index array as host integers.
std::vector<std::int64_t> host_indices(const Tensor& indices) {
  const Tensor wide = cast(on_host(indices).to(cpu_device), DType::int64);
  const auto span = wide.span<std::int64_t>();
  return {span.begin(), span.end()};
}

/// The bags as the backend takes them: offsets with the end.
struct Bags {
  std::int64_t count;
  std::vector<std::int64_t> starts;  // count + 1
  Tensor offsets;                    // the same in the index type, on the device
};

Bags checked_bags(const char* op, const Tensor& table, const Tensor& indices, const Tensor& offsets, BagMode mode,
                  const Tensor* weights) {
  check_floating(op, "table", table.dtype());
  check_rank(op, "table", table, 2);
  check_index_array(op, "indices", indices, indices.dtype(), table.device());
  check_index_array(op, "offsets", offsets, indices.dtype(), table.device());
  const std::int64_t n = indices.numel();
  if (weights != nullptr) {
    require(mode == BagMode::sum, [&] { return std::string(op) + ": weights, expected none for mean and max"; });
    check_same_dtype(op, "weights", *weights, table);
    check_same_device(op, "weights", *weights, table);
    check_shape(op, "weights", *weights, {n});
  }
  check_range(op, "indices", indices, table.size(0));
  Bags bags{offsets.numel(), host_indices(offsets), {}};
  require(bags.count > 0 || n == 0, [&] {
    return std::string(op) + ": no offsets for " + std::to_string(n) + " indices, expected at least one";
  });
  require(bags.count == 0 || bags.starts[0] == 0,
          [&] { return std::string(op) + ": offsets[0] is " + std::to_string(bags.starts[0]) + ", expected 0"; });
  bags.starts.push_back(n);
  for (std::size_t b = 0; b + 1 < bags.starts.size(); ++b) {
    require(bags.starts[b] <= bags.starts[b + 1], [&] {
      return std::string(op) + ": offsets[" + std::to_string(b) + "] is " + std::to_string(bags.starts[b]) +
             ", expected at most " + std::to_string(bags.starts[b + 1]);
    });
  }
  bags.offsets = cast(Tensor::from(bags.starts, {bags.count + 1}), indices.dtype()).to(table.device());
  return bags;
}

/// The matrix that a sum or mean multiplies the table by, transposed and without the rows that no bag names.
struct BagMatrix {
  std::vector<std::int64_t> rows;  // of the table, ascending
  Csr matrix;                      // (rows, bags)
};

BagMatrix bag_matrix(const Bags& bags, const Tensor& indices, const Tensor& values, const Stream& order) {
  const std::vector<std::int64_t> index = host_indices(indices);
  std::vector<std::int64_t> rows = index;
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  std::vector<std::int64_t> places;
  std::vector<std::int64_t> bag_of;
  for (std::int64_t b = 0; b < bags.count; ++b) {
    for (std::int64_t e = bags.starts[b]; e < bags.starts[b + 1]; ++e) {
      places.push_back(std::lower_bound(rows.begin(), rows.end(), index[e]) - rows.begin());
      bag_of.push_back(b);
    }
  }
  const auto n = static_cast<std::int64_t>(index.size());
  const Device& device = values.device();
  const Coo coo = Coo::unchecked(Tensor::from(places, {n}, device), Tensor::from(bag_of, {n}, device), values,
                                 static_cast<std::int64_t>(rows.size()), bags.count);
  return {std::move(rows), coo.to_csr(order)};
}

/// What each entry of the bag matrix weighs: its weight, or 1, or 1 / size of its bag.
Tensor entry_values(const Bags& bags, const Tensor& table, BagMode mode, const Tensor* weights) {
  if (weights != nullptr) return *weights;
  std::vector<double> values;
  for (std::int64_t b = 0; b < bags.count; ++b) {
    const std::int64_t size = bags.starts[b + 1] - bags.starts[b];
    values.insert(values.end(), static_cast<std::size_t>(size),
                  mode == BagMode::mean ? 1.0 / static_cast<double>(size) : 1.0);
  }
  return cast(Tensor::from(values, {static_cast<std::int64_t>(values.size())}), table.dtype()).to(table.device());
}

}  // namespace

Tensor embedding_bag(const Tensor& table, const Tensor& indices, const Tensor& offsets, BagMode mode,
                     const Tensor* weights, const Stream& stream) try {
  const Bags bags = checked_bags("embedding_bag", table, indices, offsets, mode, weights);
  const Stream order = stream.on(table.device());
  Tensor out = Tensor::empty({bags.count, table.size(1)}, table.dtype(), table.device(), order);
  backend::run(
      backend::embedding_bag,
      {table.dtype(), table.size(1), table.data(), indices.dtype(), bags.count, indices.data(), bags.offsets.data(),
       weights != nullptr ? weights->data() : nullptr, static_cast<backend::BagMode>(mode), out.mutable_data()},
      order);
  return out;
} catch (...) {
  rethrow_named("embedding_bag", {&table, &indices, &offsets, weights});
}

RowGradient embedding_bag_backward(const Tensor& grad, const Tensor& table, const Tensor& indices,
                                   const Tensor& offsets, BagMode mode, const Tensor* weights,
                                   const Stream& stream) try {
  constexpr const char* kOp = "embedding_bag_backward";
  const Bags bags = checked_bags(kOp, table, indices, offsets, mode, weights);
  check_same_dtype(kOp, "grad", grad, table);
  check_same_device(kOp, "grad", grad, table);
  const std::int64_t dim = table.size(1);
  check_shape(kOp, "grad", grad, {bags.count, dim});
  const Stream order = stream.on(table.device());
  const BagMatrix named = bag_matrix(bags, indices, entry_values(bags, table, mode, weights), order);
  const auto count = static_cast<std::int64_t>(named.rows.size());
  const Tensor rows = Tensor::from(named.rows, {count});
  if (mode != BagMode::max) return {rows, spmm(named.matrix, grad, {}, order)};

  Tensor winners = Tensor::empty({bags.count, dim}, DType::int64, table.device(), order);
  backend::run(backend::bag_winners,
               {table.dtype(), dim, table.data(), indices.dtype(), bags.count, indices.data(), bags.offsets.data(),
                static_cast<std::int64_t*>(winners.mutable_data())},
               order);
  Tensor values = Tensor::empty({count, dim}, table.dtype(), table.device(), order);
  const Tensor device_rows = rows.to(table.device());
  const Csr& holds = named.matrix;
  backend::run(backend::bag_max_backward,
               {table.dtype(), dim, grad.data(), static_cast<const std::int64_t*>(winners.data()), count,
                static_cast<const std::int64_t*>(device_rows.data()), holds.index_dtype(), holds.row_offsets().data(),
                holds.columns().data(), values.mutable_data()},
               order);
  return {rows, values};
} catch (...) {
  rethrow_named("embedding_bag_backward", {&grad, &table, &indices, &offsets, weights});
}

}  // namespace sparsert
