// kernels/cuda/cusparse.cpp — the sparse product through cuSPARSE: cusparseSpMM on CSR, by the algorithm for B's
// layout.
#include <mutex>

#include "device/libraries.hpp"
#include "device/trace.hpp"
#include "kernels/cuda/vendor.hpp"
#include "kernels/cuda/vendor_status.hpp"
#include "sparsert/buffer.hpp"

namespace sparsert::backend::cuda {
namespace {

// cusparse.h's values.
enum class Status : int { success = 0, alloc_failed = 2, arch_mismatch = 4, not_supported = 10, no_resources = 11 };
enum class Operation : int { none = 0 };
enum class IndexType : int { i32 = 2, i64 = 3 };
enum class IndexBase : int { zero = 0 };
enum class Layout : int { column_major = 1, row_major = 2 };
/// csr_alg1 is the one for column-major B and C, csr_alg2 for row-major ones.
enum class Algorithm : int { csr_alg1 = 4, csr_alg2 = 6 };

struct Table {
  Status (*create)(void** handle) = nullptr;
  Status (*set_stream)(void* handle, void* stream) = nullptr;
  Status (*create_csr)(void** matrix, std::int64_t rows, std::int64_t cols, std::int64_t nnz, const void* offsets,
                       const void* columns, const void* values, IndexType offsets_type, IndexType columns_type,
                       IndexBase base, DataType type) = nullptr;
  Status (*create_dense)(void** matrix, std::int64_t rows, std::int64_t cols, std::int64_t ld, void* values,
                         DataType type, Layout layout) = nullptr;
  Status (*destroy_sparse)(const void* matrix) = nullptr;
  Status (*destroy_dense)(const void* matrix) = nullptr;
  Status (*buffer_size)(void* handle, Operation a, Operation b, const void* alpha, const void* a_matrix,
                        const void* b_matrix, const void* beta, void* c, DataType compute, Algorithm algorithm,
                        std::size_t* bytes) = nullptr;
  Status (*multiply)(void* handle, Operation a, Operation b, const void* alpha, const void* a_matrix,
                     const void* b_matrix, const void* beta, void* c, DataType compute, Algorithm algorithm,
                     void* buffer) = nullptr;

  bool usable() const {
    return create != nullptr && set_stream != nullptr && create_csr != nullptr && create_dense != nullptr &&
           destroy_sparse != nullptr && destroy_dense != nullptr && buffer_size != nullptr && multiply != nullptr;
  }
};

template <class Function>
void find(Function*& function, const char* name) {
  function = libraries::cusparse().get<Function>(name);
}

const Table& table() {
  static const Table functions = [] {
    Table found;
    find(found.create, "cusparseCreate");
    find(found.set_stream, "cusparseSetStream");
    find(found.create_csr, "cusparseCreateConstCsr");
    find(found.create_dense, "cusparseCreateDnMat");
    find(found.destroy_sparse, "cusparseDestroySpMat");
    find(found.destroy_dense, "cusparseDestroyDnMat");
    find(found.buffer_size, "cusparseSpMM_bufferSize");
    find(found.multiply, "cusparseSpMM");
    return found;
  }();
  return functions;
}

Handles& handles() {
  static auto* const all = new Handles;
  return *all;
}

void check(Status status, const char* call, const Stream& stream) {
  if (status == Status::success) return;
  const bool no_memory = status == Status::alloc_failed || status == Status::no_resources;
  throw_refusal(call, static_cast<int>(status), no_memory, stream);
}

/// A description of a matrix, which the library wants destroyed.
class Description {
 public:
  explicit Description(Status (*destroy)(const void*)) : destroy_(destroy) {}
  ~Description() {
    if (matrix_ != nullptr) (void)destroy_(matrix_);
  }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;

  void** out() { return &matrix_; }
  void* get() const { return matrix_; }

 private:
  Status (*destroy_)(const void*);
  void* matrix_ = nullptr;
};

}  // namespace

bool cusparse_spmm(const SpmmArgs& args, const Stream& stream) {
  const CsrView& a = args.a;
  // What is not read where alpha is 0, or there is nothing to multiply, is our own kernel's promise.
  if (args.alpha == 0 || a.rows == 0 || a.cols == 0 || args.n == 0 || a.nnz == 0) return false;
  const Table& cusparse = table();
  if (!cusparse.usable()) return false;
  Handles::Entry& entry = handles().of(stream.device().index);
  const std::lock_guard lock(entry.mutex);
  if (entry.handle == nullptr) check(cusparse.create(&entry.handle), "cusparseCreate", stream);
  check(cusparse.set_stream(entry.handle, stream.native_handle()), "cusparseSetStream", stream);

  const DataType type = data_type_of(a.dtype);
  const IndexType index = a.index == DType::int64 ? IndexType::i64 : IndexType::i32;
  const Layout layout = args.column_major ? Layout::column_major : Layout::row_major;
  const Algorithm algorithm = args.column_major ? Algorithm::csr_alg1 : Algorithm::csr_alg2;
  Description sparse(cusparse.destroy_sparse);
  Description b(cusparse.destroy_dense);
  Description c(cusparse.destroy_dense);
  check(cusparse.create_csr(sparse.out(), a.rows, a.cols, a.nnz, a.row_offsets, a.columns, a.values, index, index,
                            IndexBase::zero, type),
        "cusparseCreateConstCsr", stream);
  check(cusparse.create_dense(b.out(), a.cols, args.n, args.column_major ? a.cols : args.n, const_cast<void*>(args.b),
                              type, layout),
        "cusparseCreateDnMat", stream);
  check(cusparse.create_dense(c.out(), a.rows, args.n, args.column_major ? a.rows : args.n, args.c, type, layout),
        "cusparseCreateDnMat", stream);

  const bool wide = a.dtype == DType::float64;
  const DataType compute = wide ? DataType::r64f : DataType::r32f;
  const float scalars[] = {static_cast<float>(args.alpha), static_cast<float>(args.beta)};
  const double wide_scalars[] = {args.alpha, args.beta};
  const void* const alpha = wide ? static_cast<const void*>(&wide_scalars[0]) : &scalars[0];
  const void* const beta = wide ? static_cast<const void*>(&wide_scalars[1]) : &scalars[1];
  std::size_t bytes = 0;
  const Status asked = cusparse.buffer_size(entry.handle, Operation::none, Operation::none, alpha, sparse.get(),
                                            b.get(), beta, c.get(), compute, algorithm, &bytes);
  if (asked == Status::not_supported || asked == Status::arch_mismatch) return false;
  check(asked, "cusparseSpMM_bufferSize", stream);
  const Buffer buffer(bytes, stream);
  check(cusparse.multiply(entry.handle, Operation::none, Operation::none, alpha, sparse.get(), b.get(), beta, c.get(),
                          compute, algorithm, buffer.data()),
        "cusparseSpMM", stream);
  if (trace::enabled()) trace::note_kernel(args.column_major ? "cusparseSpMM csr_alg1" : "cusparseSpMM csr_alg2");
  return true;
}

}  // namespace sparsert::backend::cuda
