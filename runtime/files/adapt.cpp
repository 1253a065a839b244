// runtime/files/adapt.cpp — what is done to a tensor after it was read, when asked for.
#include "runtime/files/adapt.hpp"

#include <array>
#include <cstring>
#include <span>
#include <string>

#include "sparsert/error.hpp"

namespace sparsert::files {
namespace {

struct Order {
  std::string_view axes;
  std::array<int, 5> source;  // the stored dimension that becomes dimension i
  bool depthwise;             // the two first dimensions become one, and a 1 follows
};

constexpr std::array<Order, 9> kOrders{{
    {"IO", {1, 0}, false},
    {"WIO", {2, 1, 0}, false},
    {"HWIO", {3, 2, 0, 1}, false},
    {"DHWIO", {4, 3, 0, 1, 2}, false},
    {"OHWI", {0, 3, 1, 2}, false},
    {"HWOI", {3, 2, 0, 1}, false},
    {"HWCM", {2, 3, 0, 1}, true},
    {"1HWC", {3, 0, 1, 2}, false},
    {"WCM", {1, 2, 0}, true},
}};

/// Copies elements of `bytes` bytes into the order of `source`.
Tensor permuted(const Tensor& tensor, std::span<const int> source) {
  const std::size_t rank = source.size();
  Shape shape(rank);
  std::vector<std::int64_t> strides(rank);
  std::vector<std::int64_t> stored(rank, 1);
  for (std::size_t i = rank - 1; i > 0; --i) stored[i - 1] = stored[i] * tensor.size(static_cast<int>(i));
  for (std::size_t i = 0; i < rank; ++i) {
    shape[i] = tensor.size(source[i]);
    strides[i] = stored[static_cast<std::size_t>(source[i])];
  }
  Tensor result = Tensor::empty(shape, tensor.dtype());
  const auto bytes = static_cast<std::int64_t>(size_of(tensor.dtype()));
  const auto* const from = static_cast<const std::byte*>(tensor.data());
  auto* to = static_cast<std::byte*>(result.numel() == 0 ? nullptr : result.mutable_data());
  std::vector<std::int64_t> index(rank, 0);
  for (std::int64_t n = 0; n < result.numel(); ++n, to += bytes) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < rank; ++i) at += index[i] * strides[i];
    std::memcpy(to, from + at * bytes, static_cast<std::size_t>(bytes));
    for (std::size_t i = rank; i-- > 0 && ++index[i] == shape[i];) index[i] = 0;
  }
  return result;
}

std::int64_t integer_at(const Tensor& tensor, std::int64_t i) {
  const auto at = static_cast<std::size_t>(i);
  switch (tensor.dtype()) {
    case DType::uint8: return tensor.span<std::uint8_t>()[at];
    case DType::int32: return tensor.span<std::int32_t>()[at];
    case DType::int64: return tensor.span<std::int64_t>()[at];
    default: throw FileError("a quantized tensor is " + std::string(to_string(tensor.dtype())) + ", expected integers");
  }
}

}  // namespace

Tensor dequantized(const Tensor& stored, const Quantization& quantization) {
  const std::size_t pairs = quantization.scales.size();
  const auto& zeros = quantization.zero_points;
  const bool per_axis = pairs != 1;
  const int axis = quantization.axis;
  if (pairs == 0 || (!zeros.empty() && zeros.size() != pairs) ||
      (per_axis && (axis < 0 || axis >= stored.rank() || stored.size(axis) != static_cast<std::int64_t>(pairs)))) {
    throw FileError("the " + std::to_string(pairs) + " scales of a quantized tensor do not fit its shape " +
                    to_string(stored.shape()));
  }
  std::int64_t inner = 1;
  for (int i = per_axis ? axis + 1 : stored.rank(); i < stored.rank(); ++i) inner *= stored.size(i);
  Tensor real = Tensor::empty(stored.shape(), DType::float32);
  if (real.numel() == 0) return real;
  const auto out = real.mutable_span<float>();
  for (std::int64_t i = 0; i < real.numel(); ++i) {
    const std::size_t pair = per_axis ? static_cast<std::size_t>(i / inner) % pairs : 0;
    // Wraps for values at the ends of int64, which no quantization has.
    const auto distance = static_cast<std::int64_t>(static_cast<std::uint64_t>(integer_at(stored, i)) -
                                                    static_cast<std::uint64_t>(zeros.empty() ? 0 : zeros[pair]));
    out[static_cast<std::size_t>(i)] = quantization.scales[pair] * static_cast<float>(distance);
  }
  return real;
}

Tensor in_torch_order(const Tensor& weight, std::string_view axes) {
  for (const Order& order : kOrders) {
    if (order.axes != axes || weight.rank() != static_cast<int>(axes.size())) continue;
    Tensor result = permuted(weight, std::span(order.source).first(axes.size()));
    if (!order.depthwise) return result;
    Shape shape{result.size(0) * result.size(1), 1};
    for (int i = 2; i < result.rank(); ++i) shape.push_back(result.size(i));
    return result.reshape(shape);
  }
  return weight;
}

}  // namespace sparsert::files
