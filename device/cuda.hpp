// device/cuda.hpp — what the layers above ask of CUDA. cuda.cpp answers with the runtime, no_cuda.cpp without.
#pragma once

#include <cstddef>
#include <memory>

#include "device/launch.hpp"
#include "sparsert/device.hpp"
#include "sparsert/error.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::cuda {

/// Makes a device current for the calling thread while an operation runs on it, and names the operation in errors.
/// Throws `DeviceLost` on a device that a fault took, `DeviceUnavailable` in a child of a process that used CUDA.
class Scope {
 public:
  Scope(int device, const char* op);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  [[maybe_unused]] int device_before_ = -1;  // unused in a build without CUDA
  [[maybe_unused]] const char* op_before_ = nullptr;
};

/// Launches a kernel with pointers to its arguments, and throws what the launch itself reports, named after the kernel.
/// Faults inside the kernel come to light later, unless the environment has SPARSERT_SYNC=1: then this waits for it.
void launch(const void* kernel, const backend::LaunchConfig& config, void** arguments, const Stream& stream);

/// Multiprocessors of a device: what a grid-stride launch fills.
int multiprocessors(int device);

/// Its version of the instruction set: 80 is 8.0.
int compute_capability(int device);

/// Throws the typed error of a `cudaError_t` that somebody else's call gave, Thrust's for one.
[[noreturn]] void throw_fault(int error, const char* call, const Stream& stream);

/// Throws the fault that the stream's device has, if it has one: what a library's "execution failed" may stand for.
void throw_pending_fault(const char* call, const Stream& stream);

/// True once a sticky fault took the device. Every operation on it then throws `DeviceLost`.
bool is_lost(int device) noexcept;

/// Device memory; null when there is none left. Throws `DeviceLost`.
void* allocate(int device, std::size_t bytes);

/// Waits for the device and frees; quiet, also on a lost device.
void deallocate(int device, void* data) noexcept;

/// Page-locked host memory, which copies faster and asynchronously; null when there is none left.
void* allocate_pinned(std::size_t bytes);
void deallocate_pinned(void* data) noexcept;

enum class CopyKind { host_to_device, device_to_host, device_to_device };

/// In the order of the stream; asynchronous where both ends are device or page-locked memory.
void copy(void* to, const void* from, std::size_t bytes, CopyKind kind, const Stream& stream);
void zero(void* data, std::size_t bytes, const Stream& stream);

std::shared_ptr<void> create_stream(int device);
void synchronize_stream(const Stream& stream);
void synchronize_device(int device);

/// A `cudaEvent_t`, recorded in the stream.
std::shared_ptr<void> record_event(const Stream& stream);
void wait_event(const Stream& stream, const std::shared_ptr<void>& event);
void synchronize_event(const Device& device, const std::shared_ptr<void>& event);
double milliseconds_between(const Device& device, const std::shared_ptr<void>& from, const std::shared_ptr<void>& to);

/// The point where all work given to a device so far is done, on whatever stream. Null while the default stream is
/// the only one.
std::shared_ptr<void> record_fence(int device);

/// Lets work given to `stream` from now on start behind the fence. A null fence stands for the default stream's work.
void wait_fence(const Stream& stream, const std::shared_ptr<void>& fence);

}  // namespace sparsert::cuda
