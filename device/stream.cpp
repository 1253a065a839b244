// device/stream.cpp — streams and events: nothing to do on the host, a cudaStream_t and cudaEvent_t on CUDA.
#include "sparsert/stream.hpp"

#include <utility>

#include "device/cuda.hpp"
#include "sparsert/error.hpp"

namespace sparsert {

Stream::Stream(Device device) : device_(device), chosen_(true) { require_usable(device); }

Stream::Stream(Device device, std::shared_ptr<void> handle) noexcept
    : device_(device), chosen_(true), handle_(std::move(handle)) {}

Stream Stream::create(Device device) {
  require_usable(device);
  return {device, device.is_host() ? nullptr : cuda::create_stream(device.index)};
}

Stream Stream::on(const Device& device) const {
  if (!chosen_) return Stream(device);
  require(device_ == device,
          [&] { return "stream: got a stream of " + to_string(device_) + ", expected one of " + to_string(device); });
  return *this;
}

void Stream::synchronize() const {
  if (!device_.is_host()) cuda::synchronize_stream(*this);
}

void Stream::wait(const Event& event) const {
  if (event.handle_ != nullptr) {
    if (device_.is_host()) {
      event.synchronize();
    } else {
      cuda::wait_event(*this, event.handle_);
    }
  }
}

Event::Event(const Stream& stream) : device_(stream.device()), time_(std::chrono::steady_clock::now()) {
  if (!device_.is_host()) handle_ = cuda::record_event(stream);
}

void Event::synchronize() const {
  if (handle_ != nullptr) cuda::synchronize_event(device_, handle_);
}

double Event::milliseconds_since(const Event& earlier) const {
  require(device_ == earlier.device_, [&] {
    return "milliseconds_since: got an event of " + to_string(earlier.device_) + ", expected one of " +
           to_string(device_);
  });
  if (handle_ != nullptr) return cuda::milliseconds_between(device_, earlier.handle_, handle_);
  return std::chrono::duration<double, std::milli>(time_ - earlier.time_).count();
}

}  // namespace sparsert
