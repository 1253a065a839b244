// tools/sweep/blas.cpp — OpenBLAS or MKL through dlopen, so that nothing is linked and nothing need be installed.
#include "tools/sweep/blas.hpp"

#include <dlfcn.h>

#include <sstream>
#include <utility>

#include "sparsert/device.hpp"

namespace sparsert::tools::sweep {
namespace {

// The constants of CBLAS's interface.
constexpr int kRowMajor = 101;
constexpr int kNoTranspose = 111;
constexpr int kTranspose = 112;

constexpr const char* kLibraries[] = {"libopenblas.so.0", "libopenblas.so", "libmkl_rt.so.2", "libmkl_rt.so.3",
                                      "libmkl_rt.so"};

template <class Function>
Function symbol(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

/// OpenBLAS says "OpenBLAS 0.3.21 DYNAMIC_ARCH ...": the first two words are the name.
std::string name_of(void* library, const char* file) {
  if (const auto config = symbol<const char* (*)()>(library, "openblas_get_config")) {
    std::istringstream words(config());
    std::string product;
    std::string version;
    words >> product >> version;
    const auto core = symbol<const char* (*)()>(library, "openblas_get_corename");
    return product + " " + version + (core ? std::string(" (") + core() + ")" : "");
  }
  return std::string("MKL (") + file + ")";
}

void set_threads(void* library, int threads) {
  for (const char* const name : {"openblas_set_num_threads", "MKL_Set_Num_Threads"}) {
    if (const auto set = symbol<void (*)(int)>(library, name)) set(threads);
  }
}

}  // namespace

Blas::Blas(Sgemm sgemm, std::string name) : sgemm_(sgemm), name_(std::move(name)) {}

std::optional<Blas> Blas::find() {
  for (const char* const file : kLibraries) {
    void* const library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    if (const auto sgemm = symbol<Sgemm>(library, "cblas_sgemm")) {
      set_threads(library, num_threads());
      return Blas(sgemm, name_of(library, file));  // stays open: it runs threads of its own
    }
    dlclose(library);
  }
  return std::nullopt;
}

void Blas::linear(const float* x, const float* w, const float* bias, bool relu, std::int64_t batch, std::int64_t in,
                  std::int64_t out, float* y) const {
  sgemm_(kRowMajor, kNoTranspose, kTranspose, static_cast<int>(batch), static_cast<int>(out), static_cast<int>(in),
         1.0f, x, static_cast<int>(in), w, static_cast<int>(in), 0.0f, y, static_cast<int>(out));
  for (std::int64_t row = 0; row < batch; ++row) {
    float* const line = y + row * out;
    if (relu) {
      for (std::int64_t i = 0; i < out; ++i) line[i] = line[i] + bias[i] > 0 ? line[i] + bias[i] : 0;
    } else {
      for (std::int64_t i = 0; i < out; ++i) line[i] += bias[i];
    }
  }
}

}  // namespace sparsert::tools::sweep
