// device/stream.cpp — streams: nothing to do on the host, a cudaStream_t on CUDA.
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

}  // namespace sparsert
