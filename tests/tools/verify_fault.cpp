// tests/tools/verify_fault.cpp — a library to preload: it makes one operation wrong, to show that verify notices.
//
// SPARSERT_TEST_FAULT=bit turns the lowest bit of relu's last element on every device but the reference; =crash ends
// the process there.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "sparsert/sparsert.hpp"

namespace sparsert {

Tensor relu(const Tensor& x, const Stream& stream) {
  using Relu = Tensor (*)(const Tensor&, const Stream&);
  static const auto original = reinterpret_cast<Relu>(dlsym(RTLD_NEXT, "_ZN8sparsert4reluERKNS_6TensorERKNS_6StreamE"));
  Tensor y = original(x, stream);
  const char* const fault = std::getenv("SPARSERT_TEST_FAULT");
  if (fault == nullptr || x.device().type == Device::Type::reference || y.numel() == 0) return y;
  if (std::string(fault) == "crash") std::abort();
  auto* const last =
      static_cast<std::byte*>(y.mutable_data()) + y.nbytes() - static_cast<std::int64_t>(size_of(y.dtype()));
  *last ^= std::byte{1};
  return y;
}

}  // namespace sparsert
