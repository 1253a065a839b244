// device/simt/fiber.hpp — stacks of their own, switched by Boost.Context; sanitizers are told of every switch.
#pragma once

#include <cstddef>

namespace sparsert::simt {

/// One flow of control. The default constructor makes the one that is running (the host's).
class Fiber {
 public:
  Fiber() = default;

  /// Runs `entry`, which never returns, when first switched to. Throws `OutOfMemory`.
  /// `colour` shifts the top of the stack, so that not all stacks fall on the same cache sets.
  Fiber(void (*entry)(), std::size_t colour);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Forgets what it was doing: the next switch starts `entry` again. Nothing is unwound.
  void rewind();

  /// Brings what the next switch to it will touch into the cache.
  void prefetch() const {
    __builtin_prefetch(context_);
    __builtin_prefetch(static_cast<const char*>(context_) + 64);
    __builtin_prefetch(static_cast<const char*>(context_) + 128);
    __builtin_prefetch(static_cast<const char*>(context_) + 192);
  }

  /// Runs `to` until something switches back to `from`, the running fiber.
  static void switch_fiber(Fiber& from, Fiber& to);

 private:
  struct Landing;

  void* context_ = nullptr;
  Fiber* to_ = nullptr;  // where it last switched to
  void (*entry_)() = nullptr;
  std::byte* memory_ = nullptr;         // guard page, then the stack
  std::size_t top_ = 0;                 // of the stack, from memory_
  const void* stack_bottom_ = nullptr;  // as AddressSanitizer wants it
  std::size_t stack_size_ = 0;
  void* fake_stack_ = nullptr;
  void* thread_sanitizer_ = nullptr;
};

}  // namespace sparsert::simt
