// tests/fake_cudart/fake_cudart.cpp — the functions of libcudart that this project and Thrust call, but for kernels.
#include "tests/fake_cudart/fake_cudart.hpp"

#include "tests/fake_cudart/state.hpp"

namespace fake_cudart {

void set_machine(const Machine& machine) { state().machine = machine; }

void fail_call(std::int64_t n, cudaError_t error, bool from_then_on) {
  const std::lock_guard lock(state().mutex);
  state().fail_at = state().calls + n;
  state().fail_with = error;
  state().fail_from_then_on = from_then_on;
  state().failed = false;
}

void fail_allocation(std::int64_t n) {
  const std::lock_guard lock(state().mutex);
  state().fail_allocation_at = state().allocations + n;
  state().fail_with = cudaErrorMemoryAllocation;
  state().fail_from_then_on = true;
  state().failed = false;
}

void stop_failing() {
  const std::lock_guard lock(state().mutex);
  state().fail_at = -1;
  state().fail_allocation_at = -1;
  state().fail_from_then_on = false;
}

std::int64_t calls() { return state().calls; }
std::int64_t allocations() { return state().allocations; }
bool has_failed() { return state().failed; }
std::int64_t launches() { return state().launches; }
std::size_t live_blocks() { return state().blocks.size(); }
std::size_t live_streams() { return state().streams.size(); }
std::size_t live_events() { return state().events.size(); }

bool inside() { return depth > 0; }

bool is_device_memory(const void* data, std::size_t bytes) {
  const std::lock_guard lock(state().mutex);
  const auto block = block_of(data);
  return block != state().blocks.end() && block->second.on_device &&
         static_cast<const char*>(data) + bytes <= block->first + block->second.bytes;
}

void run_all() {
  const std::lock_guard lock(state().mutex);
  drain_all();
}

std::vector<std::string> misuses() {
  const std::lock_guard lock(state().mutex);
  for (const auto& [data, block] : state().blocks) {
    if (!guards_stand(data, block.bytes)) misuse("a write outside of a block");
  }
  return state().misuses;
}

void report_misuse(const std::string& what) { misuse(what); }

bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
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
    case cudaErrorExternalDevice:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorMpsClientTerminated:
    case cudaErrorUnknown: return true;
    default: return false;
  }
}

}  // namespace fake_cudart

using namespace fake_cudart;  // NOLINT: the functions below have the runtime's own names

extern "C" {

// ---- Devices and errors.

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = state().machine.driver_version;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (state().machine.probe != cudaSuccess) return give(state().machine.probe);  // the count is left as it was
  *count = state().machine.devices;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  if (state().machine.probe != cudaSuccess) return give(state().machine.probe);
  *device = state().current;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  if (device < 0 || device >= state().machine.devices) return give(cudaErrorInvalidDevice);
  state().current = device;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = state().machine.has_image ? 8 : 5; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
    case cudaDevAttrMultiProcessorCount: *value = 4; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 48 << 10; break;
    case cudaDevAttrMaxGridDimX: *value = 0x7fffffff; break;
    default: *value = 1024; break;
  }
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  *properties = {};
  std::strcpy(properties->name, "fake GPU");
  properties->major = 8;
  properties->multiProcessorCount = 4;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  *free = state().machine.memory - state().device_bytes;
  *total = state().machine.memory;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = state().last;
  state().last = state().sticky;
  return error;
}

cudaError_t cudaPeekAtLastError() { return state().last; }

const char* cudaGetErrorName(cudaError_t) { return "cudaErrorOfTheFake"; }
const char* cudaGetErrorString(cudaError_t) { return "an injected fault"; }

// ---- Memory.

cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  const Call call(true);
  if (call.error != cudaSuccess) return call.error;
  if (bytes > state().machine.memory - state().device_bytes) return give(cudaErrorMemoryAllocation);
  *data = new_block(bytes, true);
  return *data != nullptr ? cudaSuccess : give(cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* data) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  drain_all();
  return free_block(data, true);
}

cudaError_t cudaHostAlloc(void** data, std::size_t bytes, unsigned) {
  const Call call(true);
  if (call.error != cudaSuccess) return call.error;
  *data = new_block(bytes, false);
  return *data != nullptr ? cudaSuccess : give(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void* data) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  drain_all();
  return free_block(data, false);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  CUstream_st* const queue = queue_of(stream);
  if (queue == nullptr) return give(cudaErrorInvalidResourceHandle);
  const bool to_device = kind == cudaMemcpyDefault ? block_of(to) != state().blocks.end()
                                                   : kind != cudaMemcpyDeviceToHost && kind != cudaMemcpyHostToHost;
  const bool from_device = kind == cudaMemcpyDefault ? block_of(from) != state().blocks.end()
                                                     : kind != cudaMemcpyHostToDevice && kind != cudaMemcpyHostToHost;
  if (!is_fine_end(to, bytes, to_device) || !is_fine_end(from, bytes, from_device)) return give(cudaErrorInvalidValue);
  const bool pageable = block_of(to) == state().blocks.end() || block_of(from) == state().blocks.end();
  queue->work.emplace_back([=] {
    // The blocks may have been freed since: that would be the caller's fault.
    if (is_fine_end(to, bytes, to_device) && is_fine_end(from, bytes, from_device)) std::memcpy(to, from, bytes);
  });
  if (pageable) drain(queue);  // done when the call returns
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* data, int value, std::size_t bytes, cudaStream_t stream) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  CUstream_st* const queue = queue_of(stream);
  if (queue == nullptr) return give(cudaErrorInvalidResourceHandle);
  if (!is_fine_end(data, bytes, true)) return give(cudaErrorInvalidValue);
  queue->work.emplace_back([=] {
    if (is_fine_end(data, bytes, true)) std::memset(data, value, bytes);
  });
  return cudaSuccess;
}

// ---- Streams and events.

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  *stream = new CUstream_st;
  state().streams.insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  CUstream_st* const queue = queue_of(stream);
  if (queue == nullptr) return give(cudaErrorInvalidResourceHandle);
  drain(queue);
  state().streams.erase(stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  CUstream_st* const queue = queue_of(stream);
  if (queue == nullptr) return give(cudaErrorInvalidResourceHandle);
  drain(queue);
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  CUstream_st* const queue = queue_of(stream);
  if (queue == nullptr) return give(cudaErrorInvalidResourceHandle);
  return queue->work.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaDeviceSynchronize() {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  drain_all();
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  *event = new CUevent_st;
  state().events.insert(*event);
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  if (state().events.erase(event) == 0) {
    misuse("an event destroyed twice");
    return give(cudaErrorInvalidResourceHandle);
  }
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  CUstream_st* const queue = queue_of(stream);
  if (queue == nullptr || !state().events.contains(event)) return give(cudaErrorInvalidResourceHandle);
  event->recorded = true;
  event->record = ++state().records;
  event->stream = stream;
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  CUstream_st* const queue = queue_of(stream);
  if (queue == nullptr || !state().events.contains(event)) return give(cudaErrorInvalidResourceHandle);
  // What the event stands for is run before anything that comes later: a possible order, and the one that is asked for.
  if (event->recorded && (event->stream == nullptr || state().streams.contains(event->stream))) {
    drain(queue_of(event->stream));
  }
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  if (!state().events.contains(event)) return give(cudaErrorInvalidResourceHandle);
  if (event->recorded && (event->stream == nullptr || state().streams.contains(event->stream))) {
    drain(queue_of(event->stream));
  }
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  *milliseconds = static_cast<float>(to->record - from->record);
  return cudaSuccess;
}

}  // extern "C"
