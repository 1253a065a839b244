// bench/peers/mkl.cpp — oneMKL by its single run-time library: the inspector-executor sparse product, and sgemm.
#include <array>
#include <memory>
#include <set>
#include <string>

#include "bench/peers/library.hpp"
#include "bench/peers/peer.hpp"

namespace sparsert::bench {
namespace {

// The part of MKL's C interface (32-bit integers) that is used here.
constexpr int kIndexBaseZero = 0;
constexpr int kNonTranspose = 10;
constexpr int kGeneral = 20;
constexpr int kLayoutRowMajor = 101;
constexpr int kLayoutColumnMajor = 102;
constexpr int kRowMajor = 101;
constexpr int kNoTrans = 111;
constexpr int kTrans = 112;
constexpr int kThreadingIntel = 0;
constexpr int kThreadingSequential = 1;
constexpr int kManyCalls = 1000;

struct MatrixDescription {
  int type = kGeneral;
  int mode = 0;
  int diagonal = 0;
};

using Handle = void*;
using CreateCsr = int(Handle*, int base, int rows, int cols, int* starts, int* ends, int* columns, float* values);
using Destroy = int(Handle);
using SetMmHint = int(Handle, int operation, MatrixDescription, int layout, int dense_columns, int calls);
using SetMvHint = int(Handle, int operation, MatrixDescription, int calls);
using Optimize = int(Handle);
using Mm = int(int operation, float alpha, Handle, MatrixDescription, int layout, const float* b, int columns, int ldb,
               float beta, float* c, int ldc);
using Mv = int(int operation, float alpha, Handle, MatrixDescription, const float* x, float beta, float* y);
using Sgemm = void(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float* a, int lda,
                   const float* b, int ldb, float beta, float* c, int ldc);
using SetThreads = void(int);
using SetThreadingLayer = int(int);
using VersionString = void(char* buffer, int length);

struct Mkl {
  CreateCsr* create_csr;
  Destroy* destroy;
  SetMmHint* set_mm_hint;
  SetMvHint* set_mv_hint;
  Optimize* optimize;
  Mm* mm;
  Mv* mv;
  Sgemm* sgemm;
  SetThreads* set_threads;
  SetThreadingLayer* set_threading_layer;
  VersionString* version;

  explicit Mkl(const Library& library)
      : create_csr(library.get<CreateCsr>("mkl_sparse_s_create_csr")),
        destroy(library.get<Destroy>("mkl_sparse_destroy")),
        set_mm_hint(library.get<SetMmHint>("mkl_sparse_set_mm_hint")),
        set_mv_hint(library.get<SetMvHint>("mkl_sparse_set_mv_hint")),
        optimize(library.get<Optimize>("mkl_sparse_optimize")),
        mm(library.get<Mm>("mkl_sparse_s_mm")),
        mv(library.get<Mv>("mkl_sparse_s_mv")),
        sgemm(library.get<Sgemm>("cblas_sgemm")),
        set_threads(library.get<SetThreads>("MKL_Set_Num_Threads")),
        set_threading_layer(library.get<SetThreadingLayer>("MKL_Set_Threading_Layer")),
        version(library.get<VersionString>("MKL_Get_Version_String")) {}

  bool complete() const {
    return create_csr && destroy && set_mm_hint && set_mv_hint && optimize && mm && mv && sgemm && set_threads &&
           set_threading_layer && version;
  }
};

// MKL chooses its threading once per process: Intel's OpenMP where it lies beside it, else none.
void choose_threading(const Mkl& mkl, const std::string& path) {
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  mkl.set_threading_layer(Library::open(folder + "libiomp5.so") ? kThreadingIntel : kThreadingSequential);
}

std::function<void()> prepare_sparse(const Mkl& mkl, const Product& p) {
  mkl.set_threads(p.threads);
  auto* const offsets = const_cast<int*>(p.row_offsets);
  Handle matrix = nullptr;
  if (mkl.create_csr(&matrix, kIndexBaseZero, static_cast<int>(p.m), static_cast<int>(p.k), offsets, offsets + 1,
                     const_cast<int*>(p.columns), const_cast<float*>(p.values)) != 0) {
    return nullptr;
  }
  const std::shared_ptr<void> owner(matrix, [destroy = mkl.destroy](Handle handle) { destroy(handle); });
  const int n = static_cast<int>(p.n);
  const int layout = p.column_major ? kLayoutColumnMajor : kLayoutRowMajor;
  const int ldb = p.column_major ? static_cast<int>(p.k) : n;
  const int ldc = p.column_major ? static_cast<int>(p.m) : n;
  if (n == 1) mkl.set_mv_hint(matrix, kNonTranspose, {}, kManyCalls);
  else mkl.set_mm_hint(matrix, kNonTranspose, {}, layout, n, kManyCalls);
  mkl.optimize(matrix);
  if (n == 1) return [=, mv = mkl.mv] { mv(kNonTranspose, 1.0f, owner.get(), {}, p.b, 0.0f, p.c); };
  return [=, mm = mkl.mm] { mm(kNonTranspose, 1.0f, owner.get(), {}, layout, p.b, n, ldb, 0.0f, p.c, ldc); };
}

std::function<void()> prepare_dense(const Mkl& mkl, const Product& p) {
  mkl.set_threads(p.threads);
  const int m = static_cast<int>(p.m), k = static_cast<int>(p.k), n = static_cast<int>(p.n);
  if (p.column_major) {
    return
        [=, sgemm = mkl.sgemm] { sgemm(kRowMajor, kNoTrans, kTrans, n, m, k, 1.0f, p.b, k, p.dense, k, 0.0f, p.c, m); };
  }
  return
      [=, sgemm = mkl.sgemm] { sgemm(kRowMajor, kNoTrans, kNoTrans, m, n, k, 1.0f, p.dense, k, p.b, n, 0.0f, p.c, n); };
}

// "Intel(R) oneAPI Math Kernel Library Version 2024.0-Product Build ..." -> "2024.0"
std::string version_of(const Mkl& mkl) {
  std::array<char, 256> buffer{};
  mkl.version(buffer.data(), static_cast<int>(buffer.size()) - 1);
  const std::string text(buffer.data());
  const std::string mark = "Version ";
  const std::size_t at = text.find(mark);
  if (at == std::string::npos) return text;
  const std::size_t begin = at + mark.size();
  return text.substr(begin, text.find_first_of("- ", begin) - begin);
}

}  // namespace

void add_mkl(const std::vector<std::string>& paths, std::vector<Peer>& peers) {
  std::set<std::string> seen;
  for (const std::string& candidate : candidates(paths, {"libmkl_rt.so", "libmkl_rt.so.2", "libmkl_rt.so.3"})) {
    const auto library = Library::open(candidate);
    if (!library || !seen.insert(library->path()).second) continue;
    const Mkl mkl(*library);
    if (!mkl.complete()) continue;
    choose_threading(mkl, library->path());
    const std::string version = version_of(mkl);
    peers.push_back({"MKL sparse", version, library->path(), PeerKind::sparse,
                     [mkl](const Product& product) { return prepare_sparse(mkl, product); }});
    peers.push_back({"MKL", version, library->path(), PeerKind::dense,
                     [mkl](const Product& product) { return prepare_dense(mkl, product); }});
  }
}

}  // namespace sparsert::bench
