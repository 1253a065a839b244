// sparsert/stream.hpp — the context of an operation: device and order.
#pragma once

#include <chrono>
#include <memory>

#include "sparsert/device.hpp"

namespace sparsert {

class Event;

/// An ordered queue of work on one device. Cheap to copy; copies name the same queue.
/// Work on `cpu`, `reference` and `simt` is synchronous: done when the call returns.
class Stream {
 public:
  /// No stream in particular: an operation takes the default stream of its operands' device.
  Stream() noexcept = default;

  /// The default stream of a device. Throws `DeviceUnavailable`, with the reason.
  explicit Stream(Device device);

  /// A new stream, independent of the default one. Throws `DeviceUnavailable`.
  static Stream create(Device device);

  /// This stream, or the default one of `device` if none in particular.
  /// Throws `Error{invalid_argument}` if it is a stream of another device.
  Stream on(const Device& device) const;

  const Device& device() const noexcept { return device_; }

  /// Waits until all work given to the stream so far is done. Throws the fault of an earlier launch.
  void synchronize() const;

  /// Lets what the stream is given from now on start after the event.
  void wait(const Event& event) const;

  /// The `cudaStream_t`, or null on other devices and for CUDA's default stream.
  void* native_handle() const noexcept { return handle_.get(); }

 private:
  Stream(Device device, std::shared_ptr<void> handle) noexcept;

  Device device_ = cpu_device;
  bool chosen_ = false;  // false: no stream in particular
  std::shared_ptr<void> handle_;
};

/// A point in a stream's work.
class Event {
 public:
  /// The point that `stream` has been given work up to.
  explicit Event(const Stream& stream);

  /// Waits until the stream has come so far.
  void synchronize() const;

  /// Time that the device took from `earlier` to here; waits for both. Throws `Error{invalid_argument}` for an event of
  /// another device.
  double milliseconds_since(const Event& earlier) const;

  const Device& device() const noexcept { return device_; }

 private:
  friend class Stream;

  Device device_;
  std::chrono::steady_clock::time_point time_;  // of a host device, where all work is done when the call returns
  std::shared_ptr<void> handle_;
};

}  // namespace sparsert
