// device/no_cuda.cpp — the CUDA half of the device layer in a build without a toolkit.
#include "device/cuda.hpp"
#include "sparsert/error.hpp"

namespace sparsert::cuda {
namespace {

[[noreturn]] void unavailable() { throw DeviceUnavailable("cuda: " + status().detail); }

}  // namespace

const Status& status() noexcept {
  static const Status* const result = [] {
    auto* s = new Status;
    s->detail = "this library was built without a CUDA toolkit";
    return s;
  }();
  return *result;
}

int current_device() { unavailable(); }
void set_device(int) { unavailable(); }
DeviceProperties device_properties(int) { unavailable(); }
void synchronize() { unavailable(); }

void* allocate(int, std::size_t) { unavailable(); }
void deallocate(int, void*) noexcept {}
void copy(void*, const void*, std::size_t, CopyKind, const Stream&) { unavailable(); }
void zero(void*, std::size_t, const Stream&) { unavailable(); }
std::shared_ptr<void> create_stream(int) { unavailable(); }
void synchronize_stream(const Stream&) { unavailable(); }

}  // namespace sparsert::cuda
