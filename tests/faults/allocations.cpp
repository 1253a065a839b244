// tests/faults/allocations.cpp — operator new and delete, and aligned_alloc, for a whole program.
#include "tests/faults/allocations.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace sparsert::test::allocations {
namespace {

thread_local bool active = false;
thread_local bool failed = false;
thread_local std::int64_t counted = 0;
thread_local std::int64_t fail_at = 0;
std::atomic<std::int64_t> living{0};

/// True where this allocation is the one that fails.
bool fails() {
  if (!active || (exempt != nullptr && exempt())) return false;
  if (++counted != fail_at) return false;
  failed = true;
  return true;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (fails()) return nullptr;
  void* data = nullptr;
  if (alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) data = std::malloc(bytes == 0 ? 1 : bytes);
  else if (posix_memalign(&data, alignment, bytes) != 0) data = nullptr;
  if (data != nullptr) living.fetch_add(1, std::memory_order_relaxed);
  return data;
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
  void* const data = allocate(bytes, alignment);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

void release(void* data) {
  if (data == nullptr) return;
  living.fetch_sub(1, std::memory_order_relaxed);
  std::free(data);
}

}  // namespace

bool (*exempt)() = nullptr;

void count() { fail(0); }

void fail(std::int64_t n) {
  counted = 0;
  fail_at = n;
  failed = false;
  active = true;
}

std::int64_t stop() {
  active = false;
  return counted;
}

bool has_failed() { return failed; }

std::int64_t live() { return living.load(std::memory_order_relaxed); }

}  // namespace sparsert::test::allocations

namespace allocations = sparsert::test::allocations;
constexpr std::size_t kPlain = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

void* operator new(std::size_t bytes) { return allocations::allocate_or_throw(bytes, kPlain); }
void* operator new[](std::size_t bytes) { return allocations::allocate_or_throw(bytes, kPlain); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocations::allocate_or_throw(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return allocations::allocate_or_throw(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return allocations::allocate(bytes, kPlain); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return allocations::allocate(bytes, kPlain); }
void operator delete(void* data) noexcept { allocations::release(data); }
void operator delete[](void* data) noexcept { allocations::release(data); }
void operator delete(void* data, std::size_t) noexcept { allocations::release(data); }
void operator delete[](void* data, std::size_t) noexcept { allocations::release(data); }
void operator delete(void* data, std::align_val_t) noexcept { allocations::release(data); }
void operator delete[](void* data, std::align_val_t) noexcept { allocations::release(data); }
void operator delete(void* data, std::size_t, std::align_val_t) noexcept { allocations::release(data); }
void operator delete[](void* data, std::size_t, std::align_val_t) noexcept { allocations::release(data); }

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/// What the library's pools take their blocks from.
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  if (allocations::fails()) return nullptr;
  void* data = nullptr;
  return posix_memalign(&data, alignment, bytes) == 0 ? data : nullptr;
}
#endif
