// device/simt/fiber.cpp — fibers on Boost.Context's assembly.
#include "device/simt/fiber.hpp"

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/tsan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>

#include "sparsert/error.hpp"

// Null in a program without the sanitizer.
#pragma weak __sanitizer_start_switch_fiber
#pragma weak __sanitizer_finish_switch_fiber
#pragma weak __asan_unpoison_memory_region
#pragma weak __tsan_get_current_fiber
#pragma weak __tsan_create_fiber
#pragma weak __tsan_destroy_fiber
#pragma weak __tsan_switch_to_fiber

namespace sparsert::simt {
namespace {

constexpr std::size_t kStackBytes = 256 << 10;  // reserved; only pages that are touched take memory
constexpr std::size_t kColourStep = 5 * 64;     // bytes between the tops of neighbouring stacks
constexpr std::size_t kColours = 64;

std::size_t page_bytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

/// What runs first on the other side of a switch.
struct Fiber::Landing {
  static void land(Fiber& self, boost::context::detail::transfer_t arrival) {
    auto& from = *static_cast<Fiber*>(arrival.data);
    from.context_ = arrival.fctx;
    if (__sanitizer_finish_switch_fiber != nullptr) {
      __sanitizer_finish_switch_fiber(self.fake_stack_, &from.stack_bottom_, &from.stack_size_);
    }
  }

  static void enter(boost::context::detail::transfer_t arrival) {
    Fiber& self = *static_cast<Fiber*>(arrival.data)->to_;
    land(self, arrival);
    self.entry_();
  }
};

Fiber::Fiber(void (*entry)(), std::size_t colour) : entry_(entry) {
  void* const memory = mmap(nullptr, kStackBytes + page_bytes(), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) throw OutOfMemory("simt: no memory for the stack of a thread");
  mprotect(memory, page_bytes(), PROT_NONE);
  memory_ = static_cast<std::byte*>(memory);
  top_ = page_bytes() + kStackBytes - (colour % kColours) * kColourStep;
  stack_bottom_ = memory_ + page_bytes();
  stack_size_ = top_ - page_bytes();
  if (__tsan_create_fiber != nullptr) thread_sanitizer_ = __tsan_create_fiber(0);
  rewind();
}

Fiber::~Fiber() {
  if (memory_ == nullptr) return;
  if (thread_sanitizer_ != nullptr) __tsan_destroy_fiber(thread_sanitizer_);
  munmap(memory_, kStackBytes + page_bytes());
}

void Fiber::rewind() {
  if (__asan_unpoison_memory_region != nullptr) {
    __asan_unpoison_memory_region(memory_ + page_bytes(), kStackBytes);
  }
  fake_stack_ = nullptr;
  context_ = boost::context::detail::make_fcontext(memory_ + top_, top_ - page_bytes(), &Landing::enter);
}

void Fiber::switch_fiber(Fiber& from, Fiber& to) {
  from.to_ = &to;
  if (__tsan_switch_to_fiber != nullptr) {
    if (from.memory_ == nullptr) from.thread_sanitizer_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to.thread_sanitizer_, 0);
  }
  if (__sanitizer_start_switch_fiber != nullptr) {
    __sanitizer_start_switch_fiber(&from.fake_stack_, to.stack_bottom_, to.stack_size_);
  }
  Landing::land(from, boost::context::detail::jump_fcontext(to.context_, &from));
}

}  // namespace sparsert::simt
