// kernels/cpu/blas.cpp — cblas_sgemm and cblas_dgemm through a small function table, and a pass for bias and ReLU.
#include "kernels/cpu/blas.hpp"

#include <limits>
#include <type_traits>

#include "device/libraries.hpp"
#include "device/parallel.hpp"
#include "kernels/products.hpp"
#include "sparsert/device.hpp"

namespace sparsert::backend::cpu {
namespace {

// CBLAS's constants.
constexpr int kRowMajor = 101;
constexpr int kNoTranspose = 111;
constexpr int kTranspose = 112;

constexpr std::int64_t kLeastWork = 32 * 32 * 32;  // multiply-adds below which a call costs more than it saves
constexpr std::int64_t kPassGrain = 1 << 15;       // elements a task of the last pass

template <class T>
using Gemm = void(int layout, int trans_a, int trans_b, int m, int n, int k, T alpha, const T* a, int lda, const T* b,
                  int ldb, T beta, T* c, int ldc);

struct Blas {
  Gemm<float>* sgemm = nullptr;
  Gemm<double>* dgemm = nullptr;
  void (*set_threads)(int) = nullptr;  // null: the library keeps to its own number

  bool usable() const { return sgemm != nullptr && dgemm != nullptr; }
};

const Blas& table() {
  static const Blas blas = [] {
    const SharedLibrary& library = libraries::blas();
    Blas found{library.get<Gemm<float>>("cblas_sgemm"), library.get<Gemm<double>>("cblas_dgemm"), nullptr};
    for (const char* const name : {"openblas_set_num_threads", "bli_thread_set_num_threads", "MKL_Set_Num_Threads"}) {
      if (found.set_threads == nullptr) found.set_threads = library.get<void(int)>(name);
    }
    return found;
  }();
  return blas;
}

template <class T>
void multiply(const MatmulArgs& args, Gemm<T>* gemm) {
  const int m = static_cast<int>(args.m);
  const int k = static_cast<int>(args.k);
  const int n = static_cast<int>(args.n);
  auto* const c = static_cast<T*>(args.c);
  gemm(kRowMajor, kNoTranspose, args.b_transposed ? kTranspose : kNoTranspose, m, n, k, T{1},
       static_cast<const T*>(args.a), k, static_cast<const T*>(args.b), args.b_transposed ? k : n, T{0}, c, n);
  const auto* const bias = static_cast<const T*>(args.bias);
  if (bias == nullptr && !args.relu) return;
  const Epilogue<T> epilogue{.relu = args.relu};
  parallel_for(args.m, 1 + kPassGrain / args.n, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      T* const row = c + i * args.n;
      for (std::int64_t j = 0; j < args.n; ++j) {
        row[j] = finish(epilogue, row[j], T{0}, bias != nullptr, bias != nullptr ? bias[j] : T{0});
      }
    }
  });
}

}  // namespace

bool blas_matmul(const MatmulArgs& args) {
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  const bool wanted = args.dtype == DType::float32 || args.dtype == DType::float64;
  if (!wanted || args.m > kMost || args.k > kMost || args.n > kMost) return false;
  if (static_cast<double>(args.m) * static_cast<double>(args.k) * static_cast<double>(args.n) < kLeastWork)
    return false;
  const Blas& blas = table();
  if (!blas.usable()) return false;
  if (blas.set_threads != nullptr) blas.set_threads(num_threads());
  if (args.dtype == DType::float32) multiply<float>(args, blas.sgemm);
  else multiply<double>(args, blas.dgemm);
  return true;
}

}  // namespace sparsert::backend::cpu
