// device/device.cpp — device names, the default device and its reason.
#include "sparsert/device.hpp"

#include <atomic>
#include <charconv>

#include "device/config.hpp"
#include "device/cpu.hpp"
#include "device/launches.hpp"
#include "sparsert/error.hpp"
#include "sparsert/stream.hpp"

namespace sparsert {

Device Device::parse(std::string_view name) {
  if (name == "cpu") return cpu_device;
  if (name == "reference") return {Type::reference, 0};
  if (name == "simt") return {Type::simt, 0};
  if (name == "cuda") return {Type::cuda, 0};
  if (name.starts_with("cuda:")) {
    int index = -1;
    const char* const end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data() + 5, end, index);
    if (error == std::errc{} && rest == end && index >= 0) return {Type::cuda, index};
  }
  throw Error(ErrorCode::invalid_argument,
              "device: got \"" + std::string(name) + "\", expected cpu, cuda, cuda:N, reference or simt");
}

const char* to_string(Device::Type type) noexcept {
  switch (type) {
    case Device::Type::cpu: return "cpu";
    case Device::Type::cuda: return "cuda";
    case Device::Type::reference: return "reference";
    case Device::Type::simt: return "simt";
  }
  return "unknown";
}

std::string to_string(const Device& device) {
  return device.type == Device::Type::cuda ? "cuda:" + std::to_string(device.index) : to_string(device.type);
}

std::vector<Device> devices() {
  std::vector<Device> all{cpu_device, {Device::Type::reference, 0}};
  if (kWithSimt) all.push_back({Device::Type::simt, 0});
  for (int i = 0; i < cuda::device_count(); ++i) all.push_back({Device::Type::cuda, i});
  return all;
}

const DefaultDevice& default_device() {
  static const DefaultDevice chosen = [] {
    const cuda::Status& status = cuda::status();
    if (status.available) return DefaultDevice{{Device::Type::cuda, 0}, "cuda:0 is usable"};
    return DefaultDevice{cpu_device, status.detail};
  }();
  return chosen;
}

void require_usable(const Device& device) {
  switch (device.type) {
    case Device::Type::cpu:
      cpu_target();  // the first use: a SPARSERT_CPU_TARGET that this machine cannot run throws here
      return;
    case Device::Type::reference: return;
    case Device::Type::simt:
      if (!kWithSimt) throw DeviceUnavailable("simt is not built into this library (SPARSERT_SIMT)");
      return;
    case Device::Type::cuda: {
      const cuda::Status& status = cuda::status();
      if (!status.available) throw DeviceUnavailable(to_string(device) + " is not usable: " + status.detail);
      if (device.index < 0 || device.index >= status.device_count) {
        throw DeviceUnavailable(to_string(device) + " does not exist: this machine has " +
                                std::to_string(status.device_count) + " CUDA device(s)");
      }
    }
  }
}

namespace {

std::atomic<std::int64_t> launches[2];  // on simt, on cuda

}  // namespace

void count_launch(Device::Type type) noexcept {
  launches[type == Device::Type::cuda ? 1 : 0].fetch_add(1, std::memory_order_relaxed);
}

std::int64_t kernel_launches(const Device& device) noexcept {
  if (device.type != Device::Type::cuda && device.type != Device::Type::simt) return 0;
  return launches[device.type == Device::Type::cuda ? 1 : 0].load(std::memory_order_relaxed);
}

namespace cuda {

const char* to_string(Reason reason) noexcept {
  switch (reason) {
    case Reason::none: return "none";
    case Reason::not_built: return "not_built";
    case Reason::no_driver: return "no_driver";
    case Reason::driver_too_old: return "driver_too_old";
    case Reason::no_device: return "no_device";
    case Reason::error: return "error";
  }
  return "error";
}

}  // namespace cuda
}  // namespace sparsert
