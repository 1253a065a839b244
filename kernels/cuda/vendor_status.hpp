// kernels/cuda/vendor_status.hpp — a vendor library's handle for each device, and its refusals as this library's
// errors.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "device/cuda.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/error.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::backend::cuda {

/// CUDA's names of element types (cudaDataType).
enum class DataType : int { r32f = 0, r64f = 1, r16f = 2, r16bf = 14 };

inline DataType data_type_of(DType dtype) {
  switch (dtype) {
    case DType::float64: return DataType::r64f;
    case DType::float16: return DataType::r16f;
    case DType::bfloat16: return DataType::r16bf;
    default: return DataType::r32f;
  }
}

/// Throws what a call of a library that failed means: a lost device, no memory, or that the call itself went wrong.
[[noreturn]] inline void throw_refusal(const char* call, int status, bool no_memory, const Stream& stream) {
  sparsert::cuda::throw_pending_fault(call, stream);
  std::string message = std::string(call) + " on " + to_string(stream.device()) + " failed with status ";
  message += std::to_string(status);
  if (no_memory) throw OutOfMemory(message);
  throw Error(ErrorCode::internal, message);
}

/// One handle a device, made when first needed and never destroyed: at exit the device may be gone before it. A handle
/// carries the stream of its last call, so whoever uses it holds the lock.
class Handles {
 public:
  struct Entry {
    std::mutex mutex;
    void* handle = nullptr;
  };

  Entry& of(int device) {
    const std::lock_guard lock(mutex_);
    return entries_[device];
  }

 private:
  std::mutex mutex_;
  std::map<int, Entry> entries_;
};

}  // namespace sparsert::backend::cuda
