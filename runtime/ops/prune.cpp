// runtime/ops/prune.cpp — pruning by scores, norms and patterns: check, allocate, dispatch.
#include "kernels/contract/prune.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "kernels/dispatch.hpp"
#include "runtime/ops/check.hpp"
#include "runtime/ops/memory.hpp"
#include "sparsert/ops.hpp"
#include "sparsert/prune.hpp"

namespace sparsert::prune {
namespace {

using backend::Blocks;

void check_amount(const char* op, double amount) {
  require(amount >= 0 && amount <= 1, [&] {  // also false for NaN
    return std::string(op) + ": amount is " + std::to_string(amount) + ", expected 0 to 1";
  });
}

void check_lambda(const char* op, double lambda) {
  require(lambda >= 0 && std::isfinite(lambda), [&] {
    return std::string(op) + ": lambda is " + std::to_string(lambda) + ", expected a finite number of at least 0";
  });
}

void check_float(const char* op, const Tensor& x) {
  if (!is_floating(x.dtype())) backend::throw_unsupported_dtype(op, x.dtype());
}

int checked_axis(const char* op, const Tensor& x, int axis) {
  const int rank = x.rank();
  require(axis >= -rank && axis < rank, [&] {
    return std::string(op) + ": axis is " + std::to_string(axis) + ", expected " + std::to_string(-rank) + " to " +
           std::to_string(rank - 1) + " for shape " + to_string(x.shape());
  });
  return axis < 0 ? axis + rank : axis;
}

/// A tensor seen as (outer, size, inner) around one axis.
struct Around {
  std::int64_t outer = 1;
  std::int64_t size = 1;
  std::int64_t inner = 1;

  Around(const Tensor& x, int axis) : size(x.size(axis)) {
    for (int d = 0; d < axis; ++d) outer *= x.size(d);
    for (int d = axis + 1; d < x.rank(); ++d) inner *= x.size(d);
  }
};

/// A tensor as a matrix: its first dimension, and the rest.
Blocks matrix_of(const char* op, const Tensor& x, BlockShape shape) {
  require(shape.rows >= 1 && shape.cols >= 1, [&] {
    return std::string(op) + ": block is " + std::to_string(shape.rows) + " x " + std::to_string(shape.cols) +
           ", expected at least 1 x 1";
  });
  require(x.rank() >= 1, [&] { return std::string(op) + ": x is a scalar, expected at least 1 dimension"; });
  const std::int64_t rows = x.size(0);
  const std::int64_t cols = rows == 0 ? 1 : x.numel() / rows;
  return {rows, cols, std::min(shape.rows, std::max<std::int64_t>(rows, 1)),
          std::min(shape.cols, std::max<std::int64_t>(cols, 1))};
}

/// Slices of an axis as blocks: the axis's elements and what is inside them are the columns.
Blocks slices_of(const char* op, const Tensor& x, int axis, std::int64_t width) {
  const Around around(x, checked_axis(op, x, axis));
  require(width >= 1 && around.size % width == 0, [&] {
    return std::string(op) + ": width is " + std::to_string(width) + ", expected a divisor of " +
           std::to_string(around.size) + ", the size of the axis";
  });
  return {around.outer, around.size * around.inner, std::max<std::int64_t>(around.outer, 1),
          std::max<std::int64_t>(width * around.inner, 1)};
}

backend::Norm norm_code(Norm norm) {
  switch (norm) {
    case Norm::l1: return backend::Norm::l1;
    case Norm::l2: return backend::Norm::l2;
    case Norm::max: return backend::Norm::max;
  }
  return backend::Norm::l2;
}

Tensor norms_of(const Tensor& x, const Blocks& blocks, backend::Norm norm, const Stream& stream) {
  Tensor norms = Tensor::empty({blocks.units()}, DType::float64, x.device(), stream);
  backend::run(backend::block_norms, {x.dtype(), norm, blocks, x.data(), static_cast<double*>(norms.mutable_data())},
               stream);
  return norms;
}

/// Which units stay: uint8, of the scores' shape.
Tensor selected(const char* op, const Tensor& scores, std::int64_t groups, double amount, const Stream& stream) {
  const std::int64_t size = groups == 0 ? 0 : scores.numel() / groups;
  const auto remove = static_cast<std::int64_t>(std::nearbyint(amount * static_cast<double>(size)));
  Tensor keep = Tensor::empty(scores.shape(), DType::uint8, scores.device(), stream);
  bool nan_reached = false;
  backend::run(backend::select_units,
               {groups, size, remove, static_cast<const double*>(scores.data()),
                static_cast<std::uint8_t*>(keep.mutable_data()), &nan_reached},
               stream);
  require(!nan_reached, [&] {
    return std::string(op) + ": amount " + std::to_string(amount) + " removes " + std::to_string(remove) + " of " +
           std::to_string(size) + ", expected no more than there are without the NaNs, which are kept";
  });
  return keep;
}

Tensor masked(const Tensor& x, const Blocks& blocks, const std::uint8_t* keep, const Stream& stream) {
  Tensor out = Tensor::empty(x.shape(), x.dtype(), x.device(), stream);
  backend::run(backend::mask_blocks, {x.dtype(), blocks, x.data(), keep, out.mutable_data()}, stream);
  return out;
}

/// Prunes single elements by their scores, in `groups` runs of equal length.
Tensor prune_elements(const char* op, const Tensor& x, backend::Score score, const Tensor* weights, std::uint64_t seed,
                      std::int64_t groups, double amount, const Stream& stream) {
  const std::int64_t cols = weights == nullptr ? std::max<std::int64_t>(x.numel(), 1) : weights->numel();
  const std::int64_t rows = cols == 0 ? 0 : x.numel() / cols;
  Tensor scores = Tensor::empty({x.numel()}, DType::float64, x.device(), stream);
  backend::run(backend::element_scores,
               {x.dtype(), score, rows, cols, x.data(),
                weights == nullptr ? nullptr : static_cast<const double*>(weights->data()), seed,
                static_cast<double*>(scores.mutable_data())},
               stream);
  const Tensor keep = selected(op, scores, groups, amount, stream);
  return masked(x, {rows, cols, 1, 1}, static_cast<const std::uint8_t*>(keep.data()), stream);
}

Tensor thresholded(const char* op, const Tensor& x, Tensor out, bool soft, double lambda, const Stream& stream) {
  check_lambda(op, lambda);
  check_float(op, x);
  backend::run(backend::threshold, {x.dtype(), soft, lambda, x.numel(), x.data(), out.mutable_data()}, stream);
  return out;
}

Tensor like(const Tensor& x, const Stream& stream) { return Tensor::empty(x.shape(), x.dtype(), x.device(), stream); }

}  // namespace

Tensor magnitude(const Tensor& x, double amount, Group group, const Stream& stream) try {
  constexpr const char* kOp = "prune::magnitude";
  if (group == Group::tensor) return magnitude(x, amount, stream);
  check_amount(kOp, amount);
  check_float(kOp, x);
  require(x.rank() >= 1, [] { return std::string("prune::magnitude: x is a scalar, expected rows"); });
  return prune_elements(kOp, x, backend::Score::magnitude, nullptr, 0, x.numel() == 0 ? 0 : x.size(0), amount,
                        stream.on(x.device()));
} catch (...) {
  rethrow_named("prune::magnitude", {&x});
}

Tensor random(const Tensor& x, double amount, std::uint64_t seed, const Stream& stream) try {
  constexpr const char* kOp = "prune::random";
  check_amount(kOp, amount);
  check_float(kOp, x);
  return prune_elements(kOp, x, backend::Score::random, nullptr, seed, 1, amount, stream.on(x.device()));
} catch (...) {
  rethrow_named("prune::random", {&x});
}

Tensor n_m(const Tensor& x, int n, int m, int axis, const Stream& stream) try {
  constexpr const char* kOp = "prune::n_m";
  check_float(kOp, x);
  require(m >= 1 && m <= backend::kMaxGroup && n >= 0 && n <= m, [&] {
    return std::string(kOp) + ": got " + std::to_string(n) + ":" + std::to_string(m) +
           ", expected n:m with 0 <= n <= m <= " + std::to_string(backend::kMaxGroup);
  });
  const Around around(x, checked_axis(kOp, x, axis));
  const Stream order = stream.on(x.device());
  Tensor out = like(x, order);
  if (x.numel() == 0) return out;
  backend::run(backend::prune_n_m,
               {x.dtype(), n, m, around.outer, around.size, around.inner, x.data(), out.mutable_data()}, order);
  return out;
} catch (...) {
  rethrow_named("prune::n_m", {&x});
}

Tensor block_norms(const Tensor& x, BlockShape shape, Norm norm, const Stream& stream) try {
  constexpr const char* kOp = "prune::block_norms";
  check_float(kOp, x);
  const Blocks blocks = matrix_of(kOp, x, shape);
  return norms_of(x, blocks, norm_code(norm), stream.on(x.device())).reshape({blocks.down(), blocks.across()});
} catch (...) {
  rethrow_named("prune::block_norms", {&x});
}

Tensor block(const Tensor& x, BlockShape shape, double amount, Norm norm, const Stream& stream) try {
  constexpr const char* kOp = "prune::block";
  check_amount(kOp, amount);
  check_float(kOp, x);
  const Blocks blocks = matrix_of(kOp, x, shape);
  const Stream order = stream.on(x.device());
  const Tensor keep = selected(kOp, norms_of(x, blocks, norm_code(norm), order), 1, amount, order);
  return masked(x, blocks, static_cast<const std::uint8_t*>(keep.data()), order);
} catch (...) {
  rethrow_named("prune::block", {&x});
}

NamedTensors global_block(const NamedTensors& tensors, BlockShape shape, double amount, Norm norm,
                          const Stream& stream) try {
  constexpr const char* kOp = "prune::global_block";
  check_amount(kOp, amount);
  if (tensors.empty()) return {};
  const Tensor& first = tensors.front().second;
  std::vector<Blocks> cut;
  std::int64_t total = 0;
  for (const auto& [name, x] : tensors) {
    check_float(kOp, x);
    check_same_device(kOp, name.c_str(), x, first);
    cut.push_back(matrix_of(kOp, x, shape));
    total += cut.back().units();
  }
  const Stream order = stream.on(first.device());
  Tensor scores = Tensor::empty({total}, DType::float64, first.device(), order);
  auto* score = static_cast<double*>(scores.mutable_data());
  for (std::size_t i = 0; i < cut.size(); ++i) {
    const Tensor& x = tensors[i].second;
    backend::run(backend::block_norms, {x.dtype(), norm_code(norm), cut[i], x.data(), score}, order);
    score += cut[i].units();
  }
  const Tensor keep = selected(kOp, scores, 1, amount, order);
  const auto* kept = static_cast<const std::uint8_t*>(keep.data());
  NamedTensors result;
  for (std::size_t i = 0; i < cut.size(); ++i) {
    result.emplace_back(tensors[i].first, masked(tensors[i].second, cut[i], kept, order));
    kept += cut[i].units();
  }
  return result;
} catch (...) {
  rethrow_named("prune::global_block", {tensors.empty() ? nullptr : &tensors.front().second});
}

Tensor structured(const Tensor& x, double amount, const SliceOptions& options, const Stream& stream) try {
  constexpr const char* kOp = "prune::structured";
  check_amount(kOp, amount);
  check_float(kOp, x);
  const Blocks blocks = slices_of(kOp, x, options.axis, options.width);
  const Stream order = stream.on(x.device());
  if (x.numel() == 0) return like(x, order);
  const Tensor keep = selected(kOp, norms_of(x, blocks, norm_code(options.norm), order), 1, amount, order);
  return masked(x, blocks, static_cast<const std::uint8_t*>(keep.data()), order);
} catch (...) {
  rethrow_named("prune::structured", {&x});
}

Tensor kept_slices(const Tensor& x, double amount, const SliceOptions& options, const Stream& stream) try {
  constexpr const char* kOp = "prune::kept_slices";
  check_amount(kOp, amount);
  check_float(kOp, x);
  require(x.numel() > 0, [&] { return std::string(kOp) + ": x has shape " + to_string(x.shape()) + ", no elements"; });
  const Blocks blocks = slices_of(kOp, x, options.axis, options.width);
  const Stream order = stream.on(x.device());
  const Tensor keep = selected(kOp, norms_of(x, blocks, norm_code(options.norm), order), 1, amount, order).cpu();
  const auto* const kept = static_cast<const std::uint8_t*>(keep.data());
  std::vector<std::int64_t> indices;
  for (std::int64_t u = 0; u < blocks.units(); ++u) {
    for (std::int64_t i = 0; i < options.width && kept[u] != 0; ++i) indices.push_back(u * options.width + i);
  }
  return Tensor::from(indices, {static_cast<std::int64_t>(indices.size())}, x.device());
} catch (...) {
  rethrow_named("prune::kept_slices", {&x});
}

Tensor take(const Tensor& x, const Tensor& indices, int axis, const Stream& stream) try {
  constexpr const char* kOp = "prune::take";
  const int at = checked_axis(kOp, x, axis);
  const Around around(x, at);
  check_same_device(kOp, "indices", indices, x);
  check_rank(kOp, "indices", indices, 1);
  require(indices.dtype() == DType::int64, [&] {
    return std::string(kOp) + ": indices are " + std::string(to_string(indices.dtype())) + ", expected int64";
  });
  const Tensor host = indices.device().is_host() ? indices : indices.cpu();
  for (const std::int64_t i : host.span<std::int64_t>()) {
    require(i >= 0 && i < around.size, [&] {
      return std::string(kOp) + ": an index is " + std::to_string(i) + ", expected 0 to " +
             std::to_string(around.size - 1);
    });
  }
  Shape shape = x.shape();
  shape[static_cast<std::size_t>(at)] = indices.numel();
  const Stream order = stream.on(x.device());
  Tensor out = Tensor::empty(shape, x.dtype(), x.device(), order);
  if (out.numel() == 0) return out;
  backend::run(backend::take,
               {x.dtype(), around.outer, around.size, around.inner, indices.numel(),
                static_cast<const std::int64_t*>(indices.data()), x.data(), out.mutable_data()},
               order);
  return out;
} catch (...) {
  rethrow_named("prune::take", {&x, &indices});
}

Tensor wanda(const Tensor& x, const Tensor& input_norms, double amount, Group group, const Stream& stream) try {
  constexpr const char* kOp = "prune::wanda";
  check_amount(kOp, amount);
  check_float(kOp, x);
  check_rank(kOp, "x", x, 2);
  check_shape(kOp, "input_norms", input_norms, {x.size(1)});
  check_floating(kOp, "input_norms", input_norms.dtype());
  check_same_device(kOp, "input_norms", input_norms, x);
  const Stream order = stream.on(x.device());
  if (x.numel() == 0) return like(x, order);
  const Tensor weights = input_norms.dtype() == DType::float64 ? input_norms : cast(input_norms, DType::float64, order);
  return prune_elements(kOp, x, backend::Score::weighted, &weights, 0, group == Group::row ? x.size(0) : 1, amount,
                        order);
} catch (...) {
  rethrow_named("prune::wanda", {&x, &input_norms});
}

void InputNorms::add(const Tensor& batch, const Stream& stream) try {
  constexpr const char* kOp = "prune::InputNorms";
  check_float(kOp, batch);
  require(batch.rank() >= 1, [&] { return std::string(kOp) + ": batch is a scalar, expected (n, in)"; });
  const std::int64_t cols = batch.shape().back();
  const std::int64_t rows = cols == 0 ? 0 : batch.numel() / cols;
  if (rows_ > 0) {
    check_device(kOp, "batch", batch.device(), squares_.device());
    require(cols == squares_.numel(), [&] {
      return std::string(kOp) + ": batch has " + std::to_string(cols) + " columns, expected " +
             std::to_string(squares_.numel()) + " as before";
    });
  }
  if (rows == 0) return;
  const Stream order = stream.on(batch.device());
  const Tensor squares = norms_of(batch, {rows, cols, rows, 1}, backend::Norm::squares, order);
  squares_ = rows_ == 0 ? squares : sparsert::add(squares_, squares, order);
  rows_ += rows;
} catch (...) {
  rethrow_named("prune::InputNorms", {&batch});
}

Tensor InputNorms::norms(const Stream& stream) const try {
  require(rows_ > 0, [] { return std::string("prune::InputNorms: no batch was added, expected at least one"); });
  Tensor host = squares_.device() == cpu_device ? squares_.clone(stream) : squares_.cpu();
  for (double& x : host.mutable_span<double>()) x = std::sqrt(x);
  return host.to(squares_.device(), stream);
} catch (...) {
  rethrow_named("prune::InputNorms", {&squares_});
}

Tensor soft_threshold(const Tensor& x, double lambda, const Stream& stream) try {
  const Stream order = stream.on(x.device());
  return thresholded("prune::soft_threshold", x, like(x, order), true, lambda, order);
} catch (...) {
  rethrow_named("prune::soft_threshold", {&x});
}

void soft_threshold_(Tensor& x, double lambda, const Stream& stream) try {
  thresholded("prune::soft_threshold_", x, x, true, lambda, stream.on(x.device()));
} catch (...) {
  rethrow_named("prune::soft_threshold_", {&x});
}

Tensor hard_threshold(const Tensor& x, double lambda, const Stream& stream) try {
  const Stream order = stream.on(x.device());
  return thresholded("prune::hard_threshold", x, like(x, order), false, lambda, order);
} catch (...) {
  rethrow_named("prune::hard_threshold", {&x});
}

void hard_threshold_(Tensor& x, double lambda, const Stream& stream) try {
  thresholded("prune::hard_threshold_", x, x, false, lambda, stream.on(x.device()));
} catch (...) {
  rethrow_named("prune::hard_threshold_", {&x});
}

Tensor group_soft_threshold(const Tensor& x, double lambda, int axis, const Stream& stream) try {
  constexpr const char* kOp = "prune::group_soft_threshold";
  check_lambda(kOp, lambda);
  check_float(kOp, x);
  const Blocks blocks = slices_of(kOp, x, axis, 1);
  const Stream order = stream.on(x.device());
  Tensor out = like(x, order);
  if (x.numel() == 0) return out;
  const Tensor norms = norms_of(x, blocks, backend::Norm::l2, order);
  backend::run(backend::shrink_blocks,
               {x.dtype(), lambda, blocks, static_cast<const double*>(norms.data()), x.data(), out.mutable_data()},
               order);
  return out;
} catch (...) {
  rethrow_named("prune::group_soft_threshold", {&x});
}

}  // namespace sparsert::prune
