// runtime/tensor.cpp — dense tensors: shapes, memory, moves between devices.
#include "sparsert/tensor.hpp"

#include <cstdint>
#include <new>
#include <utility>

#include "runtime/ops/memory.hpp"

namespace sparsert {

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i != 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::int64_t element_count(const Shape& shape, std::size_t item_bytes) {
  std::int64_t count = 1;
  bool overflow = false;
  bool empty = false;
  for (const std::int64_t size : shape) {
    require(size >= 0, [&] { return "shape: got " + to_string(shape) + ", expected no negative size"; });
    if (size == 0) empty = true;
    else overflow |= __builtin_mul_overflow(count, size, &count);
  }
  std::int64_t bytes = 0;
  overflow |= __builtin_mul_overflow(count, static_cast<std::int64_t>(item_bytes), &bytes);
  if (empty) return 0;
  require(!overflow, [&] { return "shape: got " + to_string(shape) + ", which overflows 2^63 bytes"; });
  return count;
}

namespace {

/// Bytes of a tensor; 0 for a shape that is wrong, which the caller then reports.
std::size_t bytes_or_none(const Shape& shape, DType dtype) noexcept {
  try {
    return static_cast<std::size_t>(element_count(shape, size_of(dtype))) * size_of(dtype);
  } catch (...) {
    return 0;
  }
}

}  // namespace

Tensor::Tensor() = default;

Tensor Tensor::empty(Shape shape, DType dtype, const Device& device, const Stream& stream) try {
  const Stream where = stream.on(device);
  Tensor tensor;
  tensor.numel_ = element_count(shape, size_of(dtype));
  tensor.dtype_ = dtype;
  tensor.device_ = device;
  if (tensor.numel_ != 0) {
    tensor.buffer_ = std::make_shared<const Buffer>(static_cast<std::size_t>(tensor.nbytes()), where);
    tensor.data_ = tensor.buffer_->data();
  }
  tensor.shape_ = std::move(shape);
  return tensor;
} catch (const std::bad_alloc&) {
  throw OutOfMemory("tensor: host memory ran out for " + std::string(to_string(dtype)) + " " + to_string(shape));
}

Tensor Tensor::zeros(Shape shape, DType dtype, const Device& device, const Stream& stream) {
  Tensor tensor = empty(std::move(shape), dtype, device, stream);
  zero_bytes(tensor.data_, static_cast<std::size_t>(tensor.nbytes()), stream.on(device));
  return tensor;
}

Tensor Tensor::wrap(void* data, Shape shape, DType dtype, const Device& device, std::function<void()> release,
                    bool read_only) {
  Tensor tensor;
  // The buffer first: from here on `release` runs, whatever is wrong with the rest.
  auto buffer = std::make_shared<Buffer>(data, bytes_or_none(shape, dtype), device, std::move(release));
  tensor.numel_ = element_count(shape, size_of(dtype));
  require(tensor.numel_ == 0 || data != nullptr, [] { return std::string("wrap: got a null pointer"); });
  require(reinterpret_cast<std::uintptr_t>(data) % size_of(dtype) == 0,
          [&] { return "wrap: the pointer is not aligned to " + std::string(to_string(dtype)); });
  tensor.shape_ = std::move(shape);
  tensor.dtype_ = dtype;
  tensor.device_ = device;
  tensor.read_only_ = read_only;
  tensor.buffer_ = std::move(buffer);
  tensor.data_ = data;
  return tensor;
}

Tensor Tensor::copy_of(const void* values, std::int64_t count, Shape shape, DType dtype, const Device& device) {
  require(element_count(shape, size_of(dtype)) == count, [&] {
    return "tensor: got " + std::to_string(count) + " values, expected as many as shape " + to_string(shape) + " has";
  });
  Tensor tensor = empty(std::move(shape), dtype, device);
  copy_bytes(tensor.data_, device, values, cpu_device, static_cast<std::size_t>(tensor.nbytes()), Stream(device));
  return tensor;
}

void* Tensor::mutable_data() {
  require(!read_only_,
          [] { return std::string("tensor: read-only memory (indices of a checked matrix, or a mapped file)"); });
  return data_;
}

Tensor Tensor::as_read_only() const {
  Tensor tensor = *this;
  tensor.read_only_ = true;
  return tensor;
}

Tensor Tensor::to(const Device& device, const Stream& stream) const try {
  if (device == device_) return *this;
  // A copy between a CUDA device and the host runs in the CUDA device's order.
  const Device& ordered_by = device.is_host() ? device_ : device;
  const Stream order = stream.on(ordered_by);
  Tensor tensor = empty(shape_, dtype_, device);
  copy_bytes(tensor.data_, device, data_, device_, static_cast<std::size_t>(nbytes()), order);
  return tensor;
} catch (...) {
  rethrow_named("to", {this});
}

Tensor Tensor::clone(const Stream& stream) const try {
  const Stream order = stream.on(device_);
  Tensor tensor = empty(shape_, dtype_, device_, order);
  copy_bytes(tensor.data_, device_, data_, device_, static_cast<std::size_t>(nbytes()), order);
  return tensor;
} catch (...) {
  rethrow_named("clone", {this});
}

Tensor Tensor::reshape(Shape shape) const try {
  require(element_count(shape, size_of(dtype_)) == numel_, [&] {
    return "reshape: got shape " + to_string(shape) + " for " + std::to_string(numel_) + " elements of " +
           to_string(shape_);
  });
  Tensor tensor = *this;
  tensor.shape_ = std::move(shape);
  return tensor;
} catch (...) {
  rethrow_named("reshape", {this});
}

void Tensor::check_host(DType expected) const {
  require(dtype_ == expected, [&] {
    return "tensor: got a request for " + std::string(to_string(expected)) + ", expected " +
           std::string(to_string(dtype_));
  });
  require(device_.is_host(),
          [&] { return "tensor: is on " + to_string(device_) + ", expected host memory; use cpu()"; });
}

}  // namespace sparsert
