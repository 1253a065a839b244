// device/cuda.cpp — the CUDA runtime: the one probe, checked calls, streams, copies, and what happens after a fault.
//
// The runtime is linked statically and opens the driver by itself, so this file loads and answers on machines that have
// no CUDA at all. Every call goes through `check`, the one place that tells a failed call from a lost device.
#include "device/cuda.hpp"

#include <cuda_runtime_api.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "device/build.hpp"
#include "device/trace.hpp"

namespace sparsert::cuda {
namespace {

constexpr int kMaxDevices = 64;

/// What the library knows of one device, beside what the runtime knows.
struct DeviceState {
  std::atomic<bool> lost{false};
  std::mutex mutex;
  std::vector<cudaStream_t> streams;  // live ones, beside the default stream
};

// Leaked on purpose: buffers and streams may outlive static destruction.
DeviceState& state_of(int device) {
  static auto* const states = new std::array<DeviceState, kMaxDevices>;
  return states->at(static_cast<std::size_t>(device));
}

// A context does not survive fork(). Set in the child of a process that had made the probe.
std::atomic<bool> forked{false};

thread_local const char* current_op = "cuda";

/// Errors after which the context is gone for good.
bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
    case cudaErrorUnknown: return true;
    default: return false;
  }
}

bool is_missing_image(cudaError_t error) {
  return error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidKernelImage ||
         error == cudaErrorUnsupportedPtxVersion;
}

std::string describe(cudaError_t error) {
  return std::string(cudaGetErrorName(error)) + " (" + std::to_string(static_cast<int>(error)) +
         "): " + cudaGetErrorString(error);
}

/// For the message of another error: a device that does not say is "unknown".
std::string capability_of(int device) {
  int major = 0;
  int minor = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess) {
    (void)cudaGetLastError();
    return "unknown";
  }
  return std::to_string(major) + "." + std::to_string(minor);
}

[[noreturn]] void fail(cudaError_t error, const char* call, int device, SourceLocation where) {
  (void)cudaGetLastError();  // a failed call must not be found again by the next launch
  const std::string name = "cuda:" + std::to_string(device);
  const std::string message = std::string(current_op) + ": " + call + " on " + name + " failed with " + describe(error);
  if (is_sticky(error)) {
    state_of(device).lost = true;
    throw DeviceLost(message + "; the fault may be an earlier kernel's (SPARSERT_SYNC=1 names it); " + name +
                         " is lost to this process",
                     where);
  }
  if (error == cudaErrorMemoryAllocation) throw OutOfMemory(message, where);
  if (is_missing_image(error)) {
    throw Error(ErrorCode::not_supported,
                message + "; the device has compute capability " + capability_of(device) +
                    ", this library was built for " + kCudaArchitectures,
                where);
  }
  throw Error(ErrorCode::internal, message, where);
}

inline void check(cudaError_t error, const char* call, int device, SourceLocation where = SourceLocation::current()) {
  if (error != cudaSuccess) [[unlikely]]
    fail(error, call, device, where);
}

/// For destructors: remembers a sticky fault, and swallows the rest.
void check_quietly(cudaError_t error, int device) noexcept {
  if (error == cudaSuccess) return;
  (void)cudaGetLastError();
  if (is_sticky(error)) state_of(device).lost = true;
}

/// Makes a device current, quietly, for a destructor.
class QuietScope {
 public:
  explicit QuietScope(int device) noexcept {
    if (cudaGetDevice(&before_) == cudaSuccess && before_ != device) {
      changed_ = cudaSetDevice(device) == cudaSuccess;
    }
  }
  ~QuietScope() {
    if (changed_) (void)cudaSetDevice(before_);
  }
  QuietScope(const QuietScope&) = delete;
  QuietScope& operator=(const QuietScope&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

bool out_of_reach(int device) noexcept { return forked || state_of(device).lost; }

void require_alive(int device) {
  if (forked) throw DeviceUnavailable(std::string(current_op) + ": cuda was used before fork(); a child cannot use it");
  if (state_of(device).lost) {
    throw DeviceLost(std::string(current_op) + ": cuda:" + std::to_string(device) +
                     " was lost to an earlier fault; it needs a new process");
  }
}

void require_device(const char* op, int id) {
  if (!status().available) throw DeviceUnavailable(std::string(op) + ": " + status().detail);
  require(id >= 0 && id < status().device_count, [&] {
    return std::string(op) + ": id is " + std::to_string(id) + ", expected 0 to " +
           std::to_string(status().device_count - 1);
  });
}

cudaStream_t native(const Stream& stream) { return static_cast<cudaStream_t>(stream.native_handle()); }

cudaEvent_t native(const std::shared_ptr<void>& event) { return static_cast<cudaEvent_t>(event.get()); }

std::shared_ptr<void> record(int device, cudaStream_t stream, unsigned flags) {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, flags), "cudaEventCreateWithFlags", device);
  std::shared_ptr<void> owner(static_cast<void*>(event), [device](void* handle) {
    if (out_of_reach(device)) return;
    const QuietScope current(device);
    check_quietly(cudaEventDestroy(static_cast<cudaEvent_t>(handle)), device);
  });
  check(cudaEventRecord(event, stream), "cudaEventRecord", device);
  return owner;
}

using Fence = std::vector<std::shared_ptr<void>>;

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void explain(Status& status, cudaError_t error) {
  if (error == cudaErrorInsufficientDriver && status.driver_version == 0) {
    status.reason = Reason::no_driver;
    status.detail = "no CUDA driver is installed";
  } else if (error == cudaErrorInsufficientDriver || error == cudaErrorCallRequiresNewerDriver) {
    status.reason = Reason::driver_too_old;
    status.detail = "the driver knows CUDA " + version_text(status.driver_version) + ", this library needs " +
                    version_text(status.runtime_version);
  } else if (error == cudaErrorNoDevice || error == cudaSuccess) {
    status.reason = Reason::no_device;
    status.detail = "the driver finds no CUDA device";
    if (const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES")) {
      status.detail += std::string(" (CUDA_VISIBLE_DEVICES is \"") + visible + "\")";
    }
  } else {
    status.reason = Reason::error;
    status.detail = "the CUDA runtime failed with " + describe(error);
  }
}

Status probe() {
  Status status;
  status.built = true;
  // The runtime leaves these as they were when it fails.
  int runtime = CUDART_VERSION;
  int driver = 0;
  int count = 0;
  (void)cudaRuntimeGetVersion(&runtime);
  (void)cudaDriverGetVersion(&driver);
  const cudaError_t error = cudaGetDeviceCount(&count);
  (void)cudaGetLastError();
  status.runtime_version = runtime;
  status.driver_version = driver;
  if (error == cudaSuccess && count > 0) {
    status.available = true;
    status.reason = Reason::none;
    status.device_count = count < kMaxDevices ? count : kMaxDevices;
    pthread_atfork(nullptr, nullptr, [] { forked = true; });
  } else {
    explain(status, error);
  }
  return status;
}

Status forked_status() {
  Status status;
  status.built = true;
  status.reason = Reason::error;
  status.detail = "CUDA was used before fork(); a child process cannot use it";
  status.runtime_version = CUDART_VERSION;
  return status;
}

}  // namespace

const Status& status() noexcept {
  static const auto* const probed = new Status(probe());
  if (forked) [[unlikely]] {
    static const auto* const in_child = new Status(forked_status());
    return *in_child;
  }
  return *probed;
}

int current_device() {
  require_device("current_device", 0);
  int id = 0;
  check(cudaGetDevice(&id), "cudaGetDevice", 0);
  return id;
}

void set_device(int id) {
  require_device("set_device", id);
  check(cudaSetDevice(id), "cudaSetDevice", id);
}

DeviceProperties device_properties(int id) {
  require_device("device_properties", id);
  const Scope scope(id, "device_properties");
  cudaDeviceProp raw{};
  check(cudaGetDeviceProperties(&raw, id), "cudaGetDeviceProperties", id);
  std::size_t free = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo", id);
  DeviceProperties properties;
  properties.id = id;
  properties.name = raw.name;
  properties.compute_capability_major = raw.major;
  properties.compute_capability_minor = raw.minor;
  properties.memory_total = static_cast<std::int64_t>(total);
  properties.memory_free = static_cast<std::int64_t>(free);
  properties.multiprocessors = raw.multiProcessorCount;
  return properties;
}

void synchronize() { synchronize_device(current_device()); }

Scope::Scope(int device, const char* op) : op_before_(std::exchange(current_op, op)) {
  try {
    require_alive(device);
    int current = 0;
    check(cudaGetDevice(&current), "cudaGetDevice", device);
    if (current != device) {
      check(cudaSetDevice(device), "cudaSetDevice", device);
      device_before_ = current;
    }
  } catch (...) {
    current_op = op_before_;
    throw;
  }
}

Scope::~Scope() {
  current_op = op_before_;
  if (device_before_ >= 0) (void)cudaSetDevice(device_before_);
}

void launch(const void* kernel, const backend::LaunchConfig& config, void** arguments, const Stream& stream) {
  constexpr std::size_t kSharedWithoutAsking = 48 << 10;
  static const bool wait = [] {
    const char* const value = std::getenv("SPARSERT_SYNC");
    return value != nullptr && std::string(value) == "1";
  }();
  const auto size = [](const backend::Extent& e) {
    return dim3(static_cast<unsigned>(e.x), static_cast<unsigned>(e.y), static_cast<unsigned>(e.z));
  };
  cudaError_t error = cudaSuccess;
  if (config.shared > kSharedWithoutAsking) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(config.shared));
  }
  if (error == cudaSuccess) {
    error = cudaLaunchKernel(kernel, size(config.grid), size(config.block), arguments, config.shared, native(stream));
  }
  if (error == cudaSuccess && wait) error = cudaStreamSynchronize(native(stream));
  if (error == cudaSuccess && !trace::enabled()) return;
  const char* name = nullptr;
  if (cudaFuncGetName(&name, kernel) != cudaSuccess) name = "of unknown name";
  trace::note_kernel(name);
  if (error != cudaSuccess)
    fail(error, (std::string("kernel ") + name).c_str(), stream.device().index, SourceLocation::current());
}

int multiprocessors(int device) {
  int count = 0;
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute", device);
  return count > 0 ? count : 1;
}

int compute_capability(int device) {
  int major = 0;
  int minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute", device);
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "cudaDeviceGetAttribute", device);
  return 10 * major + minor;
}

void throw_pending_fault(const char* call, const Stream& stream) {
  const cudaError_t error = cudaStreamQuery(native(stream));
  if (error != cudaErrorNotReady) check(error, call, stream.device().index);
  (void)cudaGetLastError();
}

void throw_fault(int error, const char* call, const Stream& stream) {
  fail(static_cast<cudaError_t>(error), call, stream.device().index, SourceLocation::current());
}

bool is_lost(int device) noexcept { return device >= 0 && device < kMaxDevices && state_of(device).lost; }

void* allocate(int device, std::size_t bytes) {
  const Scope scope(device, current_op);
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, bytes);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    return nullptr;
  }
  check(error, "cudaMalloc", device);
  return data;
}

void deallocate(int device, void* data) noexcept {
  if (out_of_reach(device)) return;
  const QuietScope scope(device);
  check_quietly(cudaDeviceSynchronize(), device);
  check_quietly(cudaFree(data), device);
}

void* allocate_pinned(std::size_t bytes) {
  require_alive(0);
  void* data = nullptr;
  const cudaError_t error = cudaHostAlloc(&data, bytes, cudaHostAllocPortable);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    return nullptr;
  }
  check(error, "cudaHostAlloc", 0);
  return data;
}

void deallocate_pinned(void* data) noexcept {
  if (!out_of_reach(0)) check_quietly(cudaFreeHost(data), 0);
}

void copy(void* to, const void* from, std::size_t bytes, CopyKind kind, const Stream& stream) {
  const int device = stream.device().index;
  const Scope scope(device, current_op);
  const cudaMemcpyKind direction = kind == CopyKind::host_to_device   ? cudaMemcpyHostToDevice
                                   : kind == CopyKind::device_to_host ? cudaMemcpyDeviceToHost
                                                                      : cudaMemcpyDefault;
  check(cudaMemcpyAsync(to, from, bytes, direction, native(stream)), "cudaMemcpyAsync", device);
}

void zero(void* data, std::size_t bytes, const Stream& stream) {
  const int device = stream.device().index;
  const Scope scope(device, current_op);
  check(cudaMemsetAsync(data, 0, bytes, native(stream)), "cudaMemsetAsync", device);
}

std::shared_ptr<void> create_stream(int device) {
  const Scope scope(device, current_op);
  DeviceState& state = state_of(device);
  const std::lock_guard lock(state.mutex);
  state.streams.reserve(state.streams.size() + 1);
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags", device);
  state.streams.push_back(stream);
  return {static_cast<void*>(stream), [device, &state](void* handle) {
            auto* const dying = static_cast<cudaStream_t>(handle);
            const std::lock_guard guard(state.mutex);
            std::erase(state.streams, dying);
            if (out_of_reach(device)) return;
            const QuietScope current(device);
            // Memory freed from now on has no fence in this stream, so nothing may be left running in it.
            check_quietly(cudaStreamSynchronize(dying), device);
            check_quietly(cudaStreamDestroy(dying), device);
          }};
}

void synchronize_stream(const Stream& stream) {
  const int device = stream.device().index;
  const Scope scope(device, current_op);
  check(cudaStreamSynchronize(native(stream)), "cudaStreamSynchronize", device);
}

void synchronize_device(int device) {
  const Scope scope(device, current_op);
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize", device);
}

std::shared_ptr<void> record_event(const Stream& stream) {
  const int device = stream.device().index;
  const Scope scope(device, current_op);
  return record(device, native(stream), cudaEventDefault);
}

void wait_event(const Stream& stream, const std::shared_ptr<void>& event) {
  const int device = stream.device().index;
  const Scope scope(device, current_op);
  check(cudaStreamWaitEvent(native(stream), native(event), 0), "cudaStreamWaitEvent", device);
}

void synchronize_event(const Device& device, const std::shared_ptr<void>& event) {
  const Scope scope(device.index, current_op);
  check(cudaEventSynchronize(native(event)), "cudaEventSynchronize", device.index);
}

double milliseconds_between(const Device& device, const std::shared_ptr<void>& from, const std::shared_ptr<void>& to) {
  const Scope scope(device.index, current_op);
  check(cudaEventSynchronize(native(to)), "cudaEventSynchronize", device.index);
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, native(from), native(to)), "cudaEventElapsedTime", device.index);
  return milliseconds;
}

std::shared_ptr<void> record_fence(int device) {
  const Scope scope(device, current_op);
  DeviceState& state = state_of(device);
  const std::lock_guard lock(state.mutex);
  if (state.streams.empty()) return nullptr;
  auto fence = std::make_shared<Fence>();
  fence->push_back(record(device, nullptr, cudaEventDisableTiming));
  for (cudaStream_t stream : state.streams) fence->push_back(record(device, stream, cudaEventDisableTiming));
  return fence;
}

void wait_fence(const Stream& stream, const std::shared_ptr<void>& fence) {
  const int device = stream.device().index;
  if (fence == nullptr && stream.native_handle() == nullptr) return;  // the default stream's own order
  const Scope scope(device, current_op);
  if (fence == nullptr) {
    wait_event(stream, record(device, nullptr, cudaEventDisableTiming));
    return;
  }
  for (const auto& event : *static_cast<const Fence*>(fence.get())) wait_event(stream, event);
}

}  // namespace sparsert::cuda
