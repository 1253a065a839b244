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

Scope::Scope(int, const char*) { unavailable(); }
Scope::~Scope() = default;
void launch(const void*, const backend::LaunchConfig&, void**, const Stream&) { unavailable(); }
int multiprocessors(int) { unavailable(); }
int compute_capability(int) { unavailable(); }
void throw_fault(int, const char*, const Stream&) { unavailable(); }
void throw_pending_fault(const char*, const Stream&) { unavailable(); }
bool is_lost(int) noexcept { return false; }

void* allocate(int, std::size_t) { unavailable(); }
void deallocate(int, void*) noexcept {}
void* allocate_pinned(std::size_t) { unavailable(); }
void deallocate_pinned(void*) noexcept {}
void copy(void*, const void*, std::size_t, CopyKind, const Stream&) { unavailable(); }
void zero(void*, std::size_t, const Stream&) { unavailable(); }

std::shared_ptr<void> create_stream(int) { unavailable(); }
void synchronize_stream(const Stream&) { unavailable(); }
void synchronize_device(int) { unavailable(); }

std::shared_ptr<void> record_event(const Stream&) { unavailable(); }
void wait_event(const Stream&, const std::shared_ptr<void>&) { unavailable(); }
void synchronize_event(const Device&, const std::shared_ptr<void>&) { unavailable(); }
double milliseconds_between(const Device&, const std::shared_ptr<void>&, const std::shared_ptr<void>&) {
  unavailable();
}

std::shared_ptr<void> record_fence(int) { unavailable(); }
void wait_fence(const Stream&, const std::shared_ptr<void>&) { unavailable(); }

}  // namespace sparsert::cuda
