// kernels/op.hpp — one operation on every backend: how it is declared, and the table that dispatch reads.
#pragma once

#include "device/config.hpp"
#include "sparsert/stream.hpp"

// clang-format off
/// Declares `void name(const Args&, const Stream&)` in every backend, and the table `backend::name` that holds them.
#define SPARSERT_OP(name, Args)                                  \
  namespace reference { void name(const Args&, const Stream&); } \
  namespace cpu { void name(const Args&, const Stream&); }       \
  namespace simt { void name(const Args&, const Stream&); }      \
  namespace cuda { void name(const Args&, const Stream&); }      \
  inline constexpr Op<Args> name {                               \
    #name, &reference::name, &cpu::name,                         \
        detail::if_built<kWithSimt>([] { return &simt::name; }), \
        detail::if_built<kWithCuda>([] { return &cuda::name; })  \
  }
// clang-format on

namespace sparsert::backend {

/// One operation on every backend. A backend that is not built is null.
template <class Args>
struct Op {
  using Function = void (*)(const Args&, const Stream&);
  const char* name;
  Function reference;
  Function cpu;
  Function simt;
  Function cuda;
};

namespace detail {
/// `f()` where the backend is built, null where not, without naming the missing function.
template <bool kBuilt, class F>
constexpr auto if_built(F f) {
  if constexpr (kBuilt) return f();
  else return static_cast<decltype(f())>(nullptr);
}
}  // namespace detail

}  // namespace sparsert::backend
