// bench/peers/blas.cpp — OpenBLAS, Debian's or the one that comes as a Python wheel: sgemm and sgemv of CBLAS.
#include <set>
#include <string>

#include "bench/peers/library.hpp"
#include "bench/peers/peer.hpp"

namespace sparsert::bench {
namespace {

constexpr int kRowMajor = 101;
constexpr int kNoTrans = 111;
constexpr int kTrans = 112;

using Sgemm = void(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float* a, int lda,
                   const float* b, int ldb, float beta, float* c, int ldc);
using Sgemv = void(int order, int trans, int m, int n, float alpha, const float* a, int lda, const float* x, int incx,
                   float beta, float* y, int incy);
using SetThreads = void(int);
using GetText = char*();

std::function<void()> prepare(const Product& p, Sgemm* sgemm, Sgemv* sgemv) {
  const int m = static_cast<int>(p.m), k = static_cast<int>(p.k), n = static_cast<int>(p.n);
  if (n == 1) return [=] { sgemv(kRowMajor, kNoTrans, m, k, 1.0f, p.dense, k, p.b, 1, 0.0f, p.c, 1); };
  if (p.column_major) {
    return [=] { sgemm(kRowMajor, kNoTrans, kTrans, n, m, k, 1.0f, p.b, k, p.dense, k, 0.0f, p.c, m); };
  }
  return [=] { sgemm(kRowMajor, kNoTrans, kNoTrans, m, n, k, 1.0f, p.dense, k, p.b, n, 0.0f, p.c, n); };
}

// "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..." -> "0.3.21"
std::string version_in(const std::string& config) {
  const std::size_t begin = config.find(' ');
  return begin == std::string::npos ? "" : config.substr(begin + 1, config.find(' ', begin + 1) - begin - 1);
}

}  // namespace

void add_blas(const std::vector<std::string>& paths, std::vector<Peer>& peers) {
  std::set<std::string> seen;
  for (const std::string& candidate : candidates(paths, {"libscipy_openblas.so", "libopenblas.so.0"})) {
    const auto library = Library::open(candidate);
    if (!library || !seen.insert(library->path()).second) continue;
    for (const std::string prefix : {"", "scipy_"}) {
      const auto named = [&](const char* name) { return prefix + name; };
      auto* const sgemm = library->get<Sgemm>(named("cblas_sgemm").c_str());
      auto* const sgemv = library->get<Sgemv>(named("cblas_sgemv").c_str());
      auto* const set_threads = library->get<SetThreads>(named("openblas_set_num_threads").c_str());
      auto* const config = library->get<GetText>(named("openblas_get_config").c_str());
      auto* const core = library->get<GetText>(named("openblas_get_corename").c_str());
      if (sgemm == nullptr || sgemv == nullptr || set_threads == nullptr || config == nullptr || core == nullptr)
        continue;
      peers.push_back({"OpenBLAS", version_in(config()) + " (" + core() + ")", library->path(), PeerKind::dense,
                       [=](const Product& product) {
                         set_threads(product.threads);
                         return prepare(product, sgemm, sgemv);
                       }});
    }
  }
}

}  // namespace sparsert::bench
