// device/thrust.cuh — Thrust's algorithms, in a stream's order and on memory of our pool. Beside kernel.cuh, since its
// headers cost a translation unit more than most kernels do.
#pragma once

#include "device/kernel.cuh"

#ifdef __CUDACC__
#include <thrust/execution_policy.h>
#include <thrust/system/cuda/execution_policy.h>

#include <map>
#else
#include <thrust/system/cpp/execution_policy.h>
#endif

namespace sparsert::backend {
#ifdef __CUDACC__
inline namespace nvcc_ {

/// Gives Thrust's temporary memory out of our pool. A plain value, since Thrust copies it in device code too.
class ThrustAllocator {
 public:
  using value_type = char;

  /// The stream must outlive the call that the policy is made for.
  explicit ThrustAllocator(const Stream& stream) : stream_(&stream) {}

  char* allocate(std::ptrdiff_t bytes) {
    Buffer buffer(static_cast<std::size_t>(bytes), *stream_);
    auto* const data = static_cast<char*>(buffer.data());
    blocks().emplace(data, std::move(buffer));
    return data;
  }

  void deallocate(char* data, std::size_t) { blocks().erase(data); }

 private:
  /// What this thread's calls hold.
  static std::map<char*, Buffer>& blocks() {
    thread_local std::map<char*, Buffer> held;
    return held;
  }

  const Stream* stream_;
};

/// Runs Thrust's algorithms in the stream's order, without waiting, on memory of our pool.
inline auto thrust_policy(const Stream& stream) {
  return thrust::cuda::par_nosync(ThrustAllocator(stream)).on(static_cast<cudaStream_t>(stream.native_handle()));
}

}  // namespace nvcc_
#else
inline namespace simt_ {

/// Thrust's serial C++ backend.
inline auto thrust_policy(const Stream&) { return thrust::cpp::par; }

}  // namespace simt_
#endif
}  // namespace sparsert::backend
