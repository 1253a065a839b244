// sparsert/tensor.hpp — dense tensors.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sparsert/buffer.hpp"
#include "sparsert/device.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/error.hpp"
#include "sparsert/stream.hpp"

namespace sparsert {

/// Sizes of the dimensions, outermost first; empty for a scalar.
using Shape = std::vector<std::int64_t>;

/// "(2, 3)", as in error messages.
std::string to_string(const Shape& shape);

/// Product of the sizes. Throws `Error{invalid_argument}` for a negative size or an overflow of `n * item_bytes`.
std::int64_t element_count(const Shape& shape, std::size_t item_bytes = 1);

/// A contiguous, row-major array on one device. Cheap to copy: copies share the memory.
class Tensor {
 public:
  /// No elements: shape (0), float32, cpu.
  Tensor();

  /// Undefined contents. Throws `OutOfMemory`, `DeviceUnavailable`, `Error{invalid_argument}` for the shape.
  static Tensor empty(Shape shape, DType dtype, const Device& device = cpu_device, const Stream& stream = {});
  static Tensor zeros(Shape shape, DType dtype, const Device& device = cpu_device, const Stream& stream = {});

  /// A copy of host values. Throws `Error{invalid_argument}` where shape and count disagree.
  template <class T>
  static Tensor from(std::span<const T> values, Shape shape, const Device& device = cpu_device) {
    return copy_of(values.data(), static_cast<std::int64_t>(values.size()), std::move(shape), dtype_of<T>, device);
  }
  template <class T>
  static Tensor from(const std::vector<T>& values, Shape shape, const Device& device = cpu_device) {
    return from(std::span<const T>(values), std::move(shape), device);
  }

  /// Memory that somebody else owns, without a copy; `release` runs when the last copy of the tensor goes.
  /// Throws `Error{invalid_argument}` for a pointer that is not aligned to the dtype.
  static Tensor wrap(void* data, Shape shape, DType dtype, const Device& device, std::function<void()> release,
                     bool read_only = false);

  const Shape& shape() const noexcept { return shape_; }
  int rank() const noexcept { return static_cast<int>(shape_.size()); }
  std::int64_t size(int dim) const { return shape_.at(static_cast<std::size_t>(dim)); }
  std::int64_t numel() const noexcept { return numel_; }
  std::int64_t nbytes() const noexcept { return numel_ * static_cast<std::int64_t>(size_of(dtype_)); }
  DType dtype() const noexcept { return dtype_; }
  const Device& device() const noexcept { return device_; }

  const void* data() const noexcept { return data_; }

  /// Throws `Error{invalid_argument}` for a read-only tensor (the index arrays of a checked matrix).
  void* mutable_data();
  bool read_only() const noexcept { return read_only_; }

  /// The same memory, not writable through the result.
  Tensor as_read_only() const;

  /// The elements of a tensor in host memory. Throws `Error{invalid_argument}` for another dtype or a CUDA tensor.
  template <class T>
  std::span<const T> span() const {
    check_host(dtype_of<T>);
    return {static_cast<const T*>(data_), static_cast<std::size_t>(numel_)};
  }
  template <class T>
  std::span<T> mutable_span() {
    check_host(dtype_of<T>);
    return {static_cast<T*>(mutable_data()), static_cast<std::size_t>(numel_)};
  }

  /// On `device`: this tensor where it is there already, else a copy. Throws `DeviceUnavailable`, `OutOfMemory`.
  Tensor to(const Device& device, const Stream& stream = {}) const;
  Tensor cpu() const { return to(cpu_device); }

  /// A copy in fresh, writable memory.
  Tensor clone(const Stream& stream = {}) const;

  /// The same memory under another shape of as many elements. Throws `Error{invalid_argument}`.
  Tensor reshape(Shape shape) const;

 private:
  static Tensor copy_of(const void* values, std::int64_t count, Shape shape, DType dtype, const Device& device);
  void check_host(DType expected) const;

  std::shared_ptr<const Buffer> buffer_;  // null where there are no elements
  void* data_ = nullptr;
  Shape shape_{0};
  std::int64_t numel_ = 0;
  DType dtype_ = DType::float32;
  Device device_ = cpu_device;
  bool read_only_ = false;
};

}  // namespace sparsert
