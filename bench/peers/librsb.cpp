// bench/peers/librsb.cpp — librsb: recursive sparse blocks, single precision.
#include <filesystem>
#include <memory>
#include <string>

#include "bench/peers/library.hpp"
#include "bench/peers/peer.hpp"

namespace sparsert::bench {
namespace {

// The part of librsb's C interface that is used here.
constexpr int kExecutingThreads = 0x9;
constexpr char kTypeFloat = 'S';
constexpr int kNoTranspose = 'N';
constexpr int kBlocking = 1;
constexpr int kNoFlags = 0;
constexpr int kRowMajor = 0;
constexpr int kColumnMajor = 0x4000000;

using Init = int(void* options);
using SetOption = int(int option, const void* value);
using AllocFromCsr = void*(const void* values, const int* row_offsets, const int* columns, int nnz, char type, int rows,
                           int cols, int row_blocking, int col_blocking, int flags, int* error);
using Free = void*(void* matrix);
using Spmm = int(int transpose, const void* alpha, const void* matrix, int columns, int order, const void* b, int ldb,
                 const void* beta, void* c, int ldc);
using Spmv = int(int transpose, const void* alpha, const void* matrix, const void* x, int incx, const void* beta,
                 void* y, int incy);

constexpr float kOne = 1.0f;
constexpr float kZero = 0.0f;

struct Librsb {
  SetOption* set_option;
  AllocFromCsr* alloc;
  Free* free;
  Spmm* spmm;
  Spmv* spmv;
};

std::function<void()> prepare(const Librsb& rsb, const Product& p) {
  rsb.set_option(kExecutingThreads, &p.threads);
  int error = 0;
  void* const matrix = rsb.alloc(p.values, p.row_offsets, p.columns, static_cast<int>(p.nnz), kTypeFloat,
                                 static_cast<int>(p.m), static_cast<int>(p.k), kBlocking, kBlocking, kNoFlags, &error);
  if (matrix == nullptr) return nullptr;
  const std::shared_ptr<void> owner(matrix, [free = rsb.free](void* handle) { free(handle); });
  const int n = static_cast<int>(p.n);
  if (n == 1) {
    return [=, spmv = rsb.spmv] { spmv(kNoTranspose, &kOne, owner.get(), p.b, 1, &kZero, p.c, 1); };
  }
  const int order = p.column_major ? kColumnMajor : kRowMajor;
  const int ldb = p.column_major ? static_cast<int>(p.k) : n;
  const int ldc = p.column_major ? static_cast<int>(p.m) : n;
  return [=, spmm = rsb.spmm] { spmm(kNoTranspose, &kOne, owner.get(), n, order, p.b, ldb, &kZero, p.c, ldc); };
}

}  // namespace

void add_librsb(const std::vector<std::string>& paths, std::vector<Peer>& peers) {
  for (const std::string& candidate : candidates(paths, {"librsb.so.0"})) {
    const auto library = Library::open(candidate);
    if (!library) continue;
    auto* const init = library->get<Init>("rsb_lib_init");
    const Librsb rsb{library->get<SetOption>("rsb_lib_set_opt"),
                     library->get<AllocFromCsr>("rsb_mtx_alloc_from_csr_const"), library->get<Free>("rsb_mtx_free"),
                     library->get<Spmm>("rsb_spmm"), library->get<Spmv>("rsb_spmv")};
    if (!init || !rsb.set_option || !rsb.alloc || !rsb.free || !rsb.spmm || !rsb.spmv || init(nullptr) != 0) continue;
    // It has no function that tells its version; the file's name does.
    peers.push_back({"librsb", std::filesystem::path(library->path()).filename().string(), library->path(),
                     PeerKind::sparse, [rsb](const Product& product) { return prepare(rsb, product); }});
    return;
  }
}

}  // namespace sparsert::bench
