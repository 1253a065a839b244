// runtime/ops/attention.cpp — attention behind a mask, forward and backward: check, allocate, dispatch.
#include "kernels/contract/attention.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "kernels/dispatch.hpp"
#include "runtime/attention/mask.hpp"
#include "runtime/ops/check.hpp"
#include "runtime/ops/memory.hpp"
#include "sparsert/linalg.hpp"
#include "sparsert/ops.hpp"

namespace sparsert::attention {
namespace {

constexpr std::int64_t kMostDepth = 256;

void check_operand(const char* op, const char* argument, const Tensor& operand, const Tensor& q, const Shape& shape) {
  check_same_dtype(op, argument, operand, q);
  check_same_device(op, argument, operand, q);
  check_shape(op, argument, operand, shape);
}

void check_depth(const char* op, const char* argument, const Tensor& x) {
  require(x.size(3) >= 1 && x.size(3) <= kMostDepth, [&] {
    return std::string(op) + ": " + argument + " has depth " + std::to_string(x.size(3)) + ", expected 1 to " +
           std::to_string(kMostDepth);
  });
}

void check_inputs(const char* op, const Tensor& q, const Tensor& k, const Tensor& v) {
  check_floating(op, "q", q.dtype());
  check_rank(op, "q", q, 4);
  check_rank(op, "k", k, 4);
  check_rank(op, "v", v, 4);
  check_depth(op, "q", q);
  check_depth(op, "v", v);
  const std::int64_t heads = q.size(1);
  const std::int64_t key_heads = k.size(1);
  require(key_heads == 0 ? heads == 0 : heads != 0 && heads % key_heads == 0, [&] {
    return std::string(op) + ": q has " + std::to_string(heads) + " heads, expected a multiple of k's " +
           std::to_string(key_heads);
  });
  check_operand(op, "k", k, q, {q.size(0), key_heads, k.size(2), q.size(3)});
  check_operand(op, "v", v, q, {q.size(0), key_heads, k.size(2), v.size(3)});
}

void check_mask(const char* op, const Mask& mask, const Tensor& q, const Tensor& k) {
  const Lengths n = mask.lengths();
  require(n.query == q.size(2) && n.key == k.size(2), [&] {
    return std::string(op) + ": the mask is for " + std::to_string(n.query) + " queries and " + std::to_string(n.key) +
           " keys, expected " + std::to_string(q.size(2)) + " and " + std::to_string(k.size(2));
  });
  require(mask.heads() == 1 || mask.heads() == q.size(1), [&] {
    return std::string(op) + ": the mask has " + std::to_string(mask.heads()) + " heads, expected 1 or q's " +
           std::to_string(q.size(1));
  });
}

/// Sets the bias of the inputs, whose sizes are set. Sizes of 1 in front are shared.
void set_bias(const char* op, const Tensor& bias, const Tensor& q, backend::AttentionInputs& in) {
  check_same_dtype(op, "bias", bias, q);
  check_same_device(op, "bias", bias, q);
  const int rank = bias.rank();
  const std::int64_t heads = rank > 2 ? bias.size(rank - 3) : 1;
  const std::int64_t batch = rank > 3 ? bias.size(rank - 4) : 1;
  require(rank >= 2 && rank <= 4 && bias.size(rank - 1) == in.keys && bias.size(rank - 2) == in.queries &&
              (heads == 1 || heads == in.heads) && (batch == 1 || batch == in.batch),
          [&] {
            return std::string(op) + ": bias has shape " + to_string(bias.shape()) + ", expected " +
                   to_string({in.batch, in.heads, in.queries, in.keys}) + " or 1 for its first two sizes";
          });
  in.bias = bias.data();
  in.bias_head_stride = heads == 1 ? 0 : in.queries * in.keys;
  in.bias_batch_stride = batch == 1 ? 0 : heads * in.queries * in.keys;
}

/// What both directions read, checked.
backend::AttentionInputs inputs_of(const char* op, const Tensor& q, const Tensor& k, const Tensor& v, const Mask& mask,
                                   const std::optional<double>& scale, const Tensor* bias, bool by_key) {
  check_inputs(op, q, k, v);
  check_mask(op, mask, q, k);
  backend::AttentionInputs in{};
  in.dtype = q.dtype();
  in.batch = q.size(0);
  in.heads = q.size(1);
  in.key_heads = k.size(1);
  in.queries = q.size(2);
  in.keys = k.size(2);
  in.depth = q.size(3);
  in.value_depth = v.size(3);
  in.query = q.data();
  in.key = k.data();
  in.value = v.data();
  in.scale = scale.value_or(1.0 / std::sqrt(static_cast<double>(in.depth)));
  if (bias != nullptr) set_bias(op, *bias, q, in);
  const DeviceTiles& tiles = mask.impl().evaluation->tiles(q.device(), by_key);
  in.mask = {mask.heads(),
             static_cast<const std::int64_t*>(tiles.offsets.data()),
             static_cast<const std::int32_t*>(tiles.runs.data()),
             static_cast<const std::int64_t*>(tiles.key_offsets.data()),
             static_cast<const std::int32_t*>(tiles.key_runs.data()),
             static_cast<const std::int64_t*>(tiles.bits.data())};
  return in;
}

Mask everything(const Tensor& q, const Tensor& k, const char* op) {
  check_rank(op, "q", q, 4);
  check_rank(op, "k", k, 4);
  return full({q.size(2), k.size(2)});
}

}  // namespace

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const Mask& mask, const AttendOptions& options,
              const Stream& stream) try {
  const backend::AttentionInputs in = inputs_of("attend", q, k, v, mask, options.scale, options.bias, false);
  const Stream order = stream.on(q.device());
  const Shape shape{in.batch, in.heads, in.queries, in.value_depth};
  if (options.out != nullptr) {
    check_operand("attend", "out", *options.out, q, shape);
    check_no_overlap("attend", "q", *options.out, q);
    check_no_overlap("attend", "k", *options.out, k);
    check_no_overlap("attend", "v", *options.out, v);
    if (options.bias != nullptr) check_no_overlap("attend", "bias", *options.out, *options.bias);
  }
  Tensor out = options.out != nullptr ? *options.out : Tensor::empty(shape, q.dtype(), q.device(), order);
  Tensor log_sum_exp;
  if (options.log_sum_exp != nullptr) {
    log_sum_exp = Tensor::empty({in.batch, in.heads, in.queries},
                                in.dtype == DType::float64 ? DType::float64 : DType::float32, q.device(), order);
  }
  void* const to = options.log_sum_exp != nullptr ? log_sum_exp.mutable_data() : nullptr;
  if (out.numel() != 0) backend::run(backend::attend, {in, out.mutable_data(), to, options.order}, order);
  if (options.log_sum_exp != nullptr) *options.log_sum_exp = std::move(log_sum_exp);
  return out;
} catch (...) {
  rethrow_named("attend", {&q, &k, &v, options.bias});
}

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const AttendOptions& options,
              const Stream& stream) try {
  return attend(q, k, v, everything(q, k, "attend"), options, stream);
} catch (...) {
  rethrow_named("attend", {&q, &k, &v, options.bias});
}

AttendGradients attend_backward(const Tensor& grad, const Tensor& q, const Tensor& k, const Tensor& v, const Mask& mask,
                                const AttendBackwardOptions& options, const Stream& stream) try {
  const backend::AttentionInputs in = inputs_of("attend_backward", q, k, v, mask, options.scale, options.bias, true);
  check_operand("attend_backward", "grad", grad, q, {in.batch, in.heads, in.queries, in.value_depth});
  const Stream order = stream.on(q.device());
  const auto like = [&](const Tensor& x) { return Tensor::empty(x.shape(), x.dtype(), x.device(), order); };
  AttendGradients gradients{like(q), like(k), like(v)};
  if (in.batch != 0 && in.heads != 0) {
    backend::run(backend::attend_backward,
                 {in, grad.data(), gradients.q.mutable_data(), gradients.k.mutable_data(), gradients.v.mutable_data(),
                  options.order},
                 order);
  }
  return gradients;
} catch (...) {
  rethrow_named("attend_backward", {&grad, &q, &k, &v, options.bias});
}

AttendGradients attend_backward(const Tensor& grad, const Tensor& q, const Tensor& k, const Tensor& v,
                                const AttendBackwardOptions& options, const Stream& stream) try {
  return attend_backward(grad, q, k, v, everything(q, k, "attend_backward"), options, stream);
} catch (...) {
  rethrow_named("attend_backward", {&grad, &q, &k, &v, options.bias});
}

Csr weights(const Tensor& q, const Tensor& k, const Csr& pattern, std::optional<double> scale,
            const Stream& stream) try {
  check_floating("weights", "q", q.dtype());
  check_rank("weights", "q", q, 2);
  const double by = scale.value_or(1.0 / std::sqrt(static_cast<double>(q.size(1))));
  const Tensor factor = cast(Tensor::from(std::vector<double>{by}, {1}), q.dtype()).to(q.device());
  return sparse_softmax(pattern.with_values(multiply(sddmm(pattern, q, k, stream), factor, stream)), stream);
} catch (...) {
  rethrow_named("weights", {&q, &k, &pattern});
}

}  // namespace sparsert::attention
