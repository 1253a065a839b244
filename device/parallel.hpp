// device/parallel.hpp — loops over the CPU backend's threads. No result may depend on how a loop is split.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace sparsert {

/// A loop body by reference: unlike std::function it never allocates. It does not outlive the call it is passed to.
class LoopBody {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, LoopBody>) LoopBody(F&& f)
  noexcept  // implicit, so that a lambda can be written where a body is wanted
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, std::int64_t begin, std::int64_t end) {
          (*static_cast<std::remove_reference_t<F>*>(object))(begin, end);
        }) {}

  void operator()(std::int64_t begin, std::int64_t end) const { call_(object_, begin, end); }

 private:
  void* object_;
  void (*call_)(void*, std::int64_t, std::int64_t);
};

/// Calls `body(begin, end)` over disjoint parts of [0, n), each of `grain` items (the last may be shorter),
/// on `num_threads()` threads. An exception from any part comes out of the call.
/// In the child of a fork() the parts run one after another: the threads stayed with the parent.
void parallel_for(std::int64_t n, std::int64_t grain, LoopBody body);

}  // namespace sparsert
