// runtime/ops/activation.cpp — sparse activations: check, allocate, dispatch.
#include "sparsert/activation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/contract/activation.hpp"
#include "kernels/contract/prune.hpp"
#include "kernels/dispatch.hpp"
#include "runtime/ops/check.hpp"
#include "runtime/ops/memory.hpp"
#include "runtime/view.hpp"
#include "sparsert/prune.hpp"

namespace sparsert {
namespace {

void check_float(const char* op, const Tensor& x) {
  if (!is_floating(x.dtype())) backend::throw_unsupported_dtype(op, x.dtype());
}

void check_threshold(const char* op, double threshold) {
  require(std::isfinite(threshold) && threshold >= 0, [&] {
    return std::string(op) + ": threshold is " + std::to_string(threshold) + ", expected a finite number of at least 0";
  });
}

void check_indices(const char* op, const Tensor& x, DType index) {
  require(index == DType::int32 || index == DType::int64, [&] {
    return std::string(op) + ": index_dtype is " + std::string(to_string(index)) + ", expected int32 or int64";
  });
  require(index == DType::int64 || x.numel() <= std::numeric_limits<std::int32_t>::max(), [&] {
    return std::string(op) + ": x has " + std::to_string(x.numel()) + " elements, which need index_dtype int64";
  });
}

/// Offsets of the rows of what passes, and how many do.
struct Passing {
  Tensor row_offsets;
  std::int64_t count;
};

Passing passing(const char* op, const Tensor& x, const SparseReluOptions& options, const Stream& stream) {
  check_float(op, x);
  check_rank(op, "x", x, 2);
  check_threshold(op, options.threshold);
  check_indices(op, x, options.index_dtype);
  Tensor offsets = Tensor::empty({x.size(0) + 1}, options.index_dtype, x.device(), stream);
  backend::run(
      backend::relu_offsets,
      {x.dtype(), x.size(0), x.size(1), x.data(), options.threshold, options.index_dtype, offsets.mutable_data()},
      stream);
  std::int64_t wide = 0;
  std::int32_t narrow = 0;
  const bool is_wide = options.index_dtype == DType::int64;
  const std::size_t size = size_of(options.index_dtype);
  const auto* last = static_cast<const std::byte*>(offsets.data()) + static_cast<std::size_t>(x.size(0)) * size;
  copy_bytes(is_wide ? static_cast<void*>(&wide) : &narrow, cpu_device, last, x.device(), size, stream);
  stream.synchronize();
  return {offsets, is_wide ? wide : narrow};
}

Tensor gathered(const Tensor& grad, const Csr& out, const Stream& stream) {
  constexpr const char* kOp = "relu_backward";
  check_shape(kOp, "grad", grad, out.shape());
  check_same_dtype(kOp, "grad", grad, out.values());
  check_device(kOp, "grad", grad.device(), out.device());
  check_float(kOp, grad);
  Tensor values = Tensor::empty({out.nnz()}, grad.dtype(), grad.device(), stream);
  backend::run(backend::gather_gradient, {view_of(out), grad.data(), values.mutable_data()}, stream);
  return values;
}

Tensor activated(const char* op, backend::Activation activation, double slope, const Tensor& x,
                 const Stream& stream) try {
  check_float(op, x);
  require(std::isfinite(slope), [&] { return std::string(op) + ": slope is not finite"; });
  const Stream order = stream.on(x.device());
  Tensor out = Tensor::empty(x.shape(), x.dtype(), x.device(), order);
  backend::run(backend::activate, {x.dtype(), activation, slope, x.numel(), x.data(), out.mutable_data()}, order);
  return out;
} catch (...) {
  rethrow_named(op, {&x});
}

Tensor activated_backward(const char* op, backend::Activation activation, double slope, const Tensor& grad,
                          const Tensor& x, const Stream& stream) try {
  check_float(op, grad);
  check_same_dtype(op, "x", x, grad);
  check_same_device(op, "x", x, grad);
  check_shape(op, "x", x, grad.shape());
  require(std::isfinite(slope), [&] { return std::string(op) + ": slope is not finite"; });
  const Stream order = stream.on(x.device());
  Tensor out = Tensor::empty(x.shape(), x.dtype(), x.device(), order);
  backend::run(backend::activate_backward,
               {x.dtype(), activation, slope, x.numel(), grad.data(), x.data(), out.mutable_data()}, order);
  return out;
} catch (...) {
  rethrow_named(op, {&grad, &x});
}

Tensor transposed(const Tensor& x, const Stream& stream) {
  Tensor out = Tensor::empty({x.size(1), x.size(0)}, x.dtype(), x.device(), stream);
  backend::run(backend::transpose_dense, {x.dtype(), x.size(0), x.size(1), x.data(), out.mutable_data()}, stream);
  return out;
}

}  // namespace

Csr relu_to_csr(const Tensor& x, const SparseReluOptions& options, const Stream& stream) try {
  const Stream order = stream.on(x.device());
  const Passing found = passing("relu_to_csr", x, options, order);
  Tensor columns = Tensor::empty({found.count}, options.index_dtype, x.device(), order);
  Tensor values = Tensor::empty({found.count}, x.dtype(), x.device(), order);
  backend::run(backend::relu_csr,
               {x.dtype(), x.size(0), x.size(1), x.data(), options.threshold, options.index_dtype,
                found.row_offsets.data(), columns.mutable_data(), values.mutable_data()},
               order);
  return Csr::unchecked(found.row_offsets, columns, values, x.size(0), x.size(1));
} catch (...) {
  rethrow_named("relu_to_csr", {&x});
}

Bitmap relu_to_bitmap(const Tensor& x, const SparseReluOptions& options, const Stream& stream) try {
  const Stream order = stream.on(x.device());
  const Passing found = passing("relu_to_bitmap", x, options, order);
  Tensor bits = Tensor::empty({x.size(0), (x.size(1) + 7) / 8}, DType::uint8, x.device(), order);
  Tensor values = Tensor::empty({found.count}, x.dtype(), x.device(), order);
  backend::run(backend::relu_bitmap,
               {x.dtype(), x.size(0), x.size(1), x.data(), options.threshold, options.index_dtype,
                found.row_offsets.data(), static_cast<std::uint8_t*>(bits.mutable_data()), values.mutable_data()},
               order);
  return Bitmap::unchecked(bits, found.row_offsets, values, x.size(0), x.size(1));
} catch (...) {
  rethrow_named("relu_to_bitmap", {&x});
}

Csr relu_backward(const Tensor& grad, const Csr& out, const Stream& stream) try {
  return out.with_values(gathered(grad, out, stream.on(out.device())));
} catch (...) {
  rethrow_named("relu_backward", {&grad, &out});
}

Bitmap relu_backward(const Tensor& grad, const Bitmap& out, const Stream& stream) try {
  const Stream order = stream.on(out.device());
  const Tensor values = gathered(grad, out.to_csr(order), order);
  return Bitmap::unchecked(out.bits(), out.row_offsets(), values, out.shape()[0], out.shape()[1]);
} catch (...) {
  rethrow_named("relu_backward", {&grad, &out});
}

Tensor leaky_relu(const Tensor& x, double slope, const Stream& stream) {
  return activated("leaky_relu", backend::Activation::leaky, slope, x, stream);
}

Tensor leaky_relu_backward(const Tensor& grad, const Tensor& x, double slope, const Stream& stream) {
  return activated_backward("leaky_relu_backward", backend::Activation::leaky, slope, grad, x, stream);
}

Tensor squared_relu(const Tensor& x, const Stream& stream) {
  return activated("squared_relu", backend::Activation::squared, 0, x, stream);
}

Tensor squared_relu_backward(const Tensor& grad, const Tensor& x, const Stream& stream) {
  return activated_backward("squared_relu_backward", backend::Activation::squared, 0, grad, x, stream);
}

Tensor topk_activation(const Tensor& x, std::int64_t k, const Stream& stream) try {
  constexpr const char* kOp = "topk_activation";
  check_float(kOp, x);
  require(x.rank() >= 1, [] { return std::string("topk_activation: x is a scalar, expected rows"); });
  const std::int64_t n = x.shape().back();
  require(k >= 0 && k <= n, [&] {
    return std::string(kOp) + ": k is " + std::to_string(k) + ", expected 0 to " + std::to_string(n) +
           ", the size of the last dimension";
  });
  const Stream order = stream.on(x.device());
  Tensor out = Tensor::zeros(x.shape(), x.dtype(), x.device(), order);
  if (x.numel() == 0 || k == 0) return out;
  const std::int64_t rows = x.numel() / n;
  Tensor scores = Tensor::empty({rows, n}, DType::float64, x.device(), order);
  backend::run(backend::element_scores,
               {x.dtype(), backend::Score::magnitude, rows, n, x.data(), nullptr, 0,
                static_cast<double*>(scores.mutable_data())},
               order);
  Tensor keep = Tensor::empty({rows, n}, DType::uint8, x.device(), order);
  bool nan_reached = false;
  auto* const kept = static_cast<std::uint8_t*>(keep.mutable_data());
  backend::run(backend::select_units, {rows, n, n - k, static_cast<const double*>(scores.data()), kept, &nan_reached},
               order);
  require(!nan_reached, [&] { return std::string(kOp) + ": a row has more NaNs than k = " + std::to_string(k); });
  backend::run(backend::mask_blocks, {x.dtype(), {rows, n, 1, 1}, x.data(), kept, out.mutable_data()}, order);
  return out;
} catch (...) {
  rethrow_named("topk_activation", {&x});
}

Tensor linear(const Csr& x, const Tensor& w, const LinearOptions& options, const Stream& stream) try {
  constexpr const char* kOp = "linear";
  check_floating(kOp, "x", x.dtype());
  check_rank(kOp, "w", w, 2);
  check_device(kOp, "w", w.device(), x.device());
  check_same_dtype(kOp, "w", w, x.values());
  require(w.size(1) == x.cols(), [&] {
    return std::string(kOp) + ": w has " + std::to_string(w.size(1)) +
           " columns, expected x.cols() = " + std::to_string(x.cols());
  });
  const Shape shape{x.rows(), w.size(0)};
  if (options.bias != nullptr) {
    check_shape(kOp, "bias", *options.bias, {w.size(0)});
    check_same_dtype(kOp, "bias", *options.bias, w);
    check_device(kOp, "bias", options.bias->device(), x.device());
  }
  if (options.out != nullptr) {
    check_shape(kOp, "out", *options.out, shape);
    check_same_dtype(kOp, "out", *options.out, w);
    check_device(kOp, "out", options.out->device(), x.device());
    check_no_overlap(kOp, "w", *options.out, w);
  }
  const Stream order = stream.on(x.device());
  // 16-bit operands are widened first: sum, bias and ReLU are then rounded once, as in the dense layer.
  const bool widened = size_of(w.dtype()) == 2;
  const auto wide = [&](const Tensor& t) { return widened ? cast(t, DType::float32, order) : t; };
  Tensor y = spmm(x.with_values(wide(x.values())), transposed(wide(w), order), {.order = options.order}, order);
  const Tensor bias = options.bias != nullptr ? wide(*options.bias) : Tensor();
  backend::run(
      backend::add_bias,
      {y.dtype(), shape[0], shape[1], options.bias != nullptr ? bias.data() : nullptr, options.relu, y.mutable_data()},
      order);
  Tensor result = widened ? cast(y, w.dtype(), order) : y;
  if (options.out == nullptr) return result;
  copy_bytes(options.out->mutable_data(), x.device(), result.data(), x.device(),
             static_cast<std::size_t>(result.nbytes()), order);
  return *options.out;
} catch (...) {
  rethrow_named("linear", {&x, &w});
}

Tensor linear(const Bitmap& x, const Tensor& w, const LinearOptions& options, const Stream& stream) {
  return linear(x.to_csr(stream.on(x.device())), w, options, stream);
}

void ActivationStatistics::add(const std::string& layer, const Tensor& activations, const Stream& stream) try {
  constexpr const char* kOp = "ActivationStatistics";
  check_float(kOp, activations);
  check_rank(kOp, "activations", activations, 2);
  const std::int64_t features = activations.size(1);
  const auto known = sums_.find(layer);
  require(known == sums_.end() || known->second.layer.features == features, [&] {
    return std::string(kOp) + ": " + layer + " has " + std::to_string(features) + " features, expected " +
           std::to_string(known->second.layer.features) + " as before";
  });
  Sums& sums = sums_[layer];
  sums.layer.features = features;
  sums.alive.resize(static_cast<std::size_t>(features));
  sums.layer.rows += activations.size(0);
  sums.layer.elements += activations.numel();
  if (activations.numel() == 0) return;
  sums.layer.zeros += activations.numel() - count_nonzero(activations, stream);
  const Tensor largest = prune::block_norms(activations, {activations.size(0), 1}, prune::Norm::max, stream).cpu();
  const auto span = largest.span<double>();
  for (std::size_t f = 0; f < span.size(); ++f) {
    if (!(span[f] == 0)) sums.alive[f] = true;
  }
} catch (...) {
  rethrow_named("ActivationStatistics", {&activations});
}

std::map<std::string, ActivationStatistics::Layer> ActivationStatistics::layers() const {
  std::map<std::string, Layer> layers;
  for (const auto& [name, sums] : sums_) {
    Layer layer = sums.layer;
    layer.dead = std::count(sums.alive.begin(), sums.alive.end(), false);
    layers.emplace(name, layer);
  }
  return layers;
}

}  // namespace sparsert
