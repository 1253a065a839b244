// bench/peers/onednn.cpp — oneDNN's sgemm, the plain C entry that every version has.
#include <set>
#include <string>

#include "bench/peers/library.hpp"
#include "bench/peers/peer.hpp"

namespace sparsert::bench {
namespace {

// Row-major, as dnnl_sgemm has it. Sizes are dnnl_dim_t, 64 bits.
using Sgemm = int(char trans_a, char trans_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
                  const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c,
                  std::int64_t ldc);

struct Version {
  int major;
  int minor;
  int patch;
};
using GetVersion = const Version*();

std::function<void()> prepare(Sgemm* sgemm, const Product& p) {
  if (p.column_major) {
    return [=] {
      set_openmp_threads(p.threads);
      sgemm('N', 'T', p.n, p.m, p.k, 1.0f, p.b, p.k, p.dense, p.k, 0.0f, p.c, p.m);
    };
  }
  return [=] {
    set_openmp_threads(p.threads);
    sgemm('N', 'N', p.m, p.n, p.k, 1.0f, p.dense, p.k, p.b, p.n, 0.0f, p.c, p.n);
  };
}

}  // namespace

void add_onednn(const std::vector<std::string>& paths, std::vector<Peer>& peers) {
  std::set<std::string> seen;
  for (const std::string& candidate : candidates(paths, {"libdnnl.so", "libdnnl.so.3", "libdnnl.so.2"})) {
    const auto library = Library::open(candidate);
    if (!library || !seen.insert(library->path()).second) continue;
    auto* const sgemm = library->get<Sgemm>("dnnl_sgemm");
    auto* const version = library->get<GetVersion>("dnnl_version");
    if (sgemm == nullptr || version == nullptr) continue;
    const Version& v = *version();
    const std::string text = std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch);
    peers.push_back({"oneDNN", text, library->path(), PeerKind::dense,
                     [sgemm](const Product& product) { return prepare(sgemm, product); }});
  }
}

}  // namespace sparsert::bench
