// kernels/cuda/cublas.cpp — the dense product through cuBLAS: cublasGemmEx, in the precision that the bound needs.
//
// cuBLAS is column-major: C = A·B there is Cᵀ = Bᵀ·Aᵀ here, so the operands change places. Pedantic compute types keep
// tensor cores out, which drop bits of a partial sum that the bound of sums counts on.
#include <limits>
#include <mutex>

#include "device/libraries.hpp"
#include "kernels/cuda/vendor.hpp"
#include "kernels/cuda/vendor_status.hpp"
#include "sparsert/buffer.hpp"

namespace sparsert::backend::cuda {
namespace {

// cublas_api.h's values.
enum class Status : int { success = 0, alloc_failed = 3, arch_mismatch = 8, not_supported = 15 };
enum class Operation : int { none = 0, transpose = 1 };
enum class ComputeType : int { r32f_pedantic = 69, r64f_pedantic = 71 };
enum class Algorithm : int { standard = -1 };

constexpr std::size_t kWorkspace = std::size_t{4} << 20;

struct Table {
  Status (*create)(void** handle) = nullptr;
  Status (*set_stream)(void* handle, void* stream) = nullptr;
  Status (*set_workspace)(void* handle, void* data, std::size_t bytes) = nullptr;
  Status (*gemm)(void* handle, Operation a, Operation b, int m, int n, int k, const void* alpha, const void* a_data,
                 DataType a_type, int lda, const void* b_data, DataType b_type, int ldb, const void* beta, void* c,
                 DataType c_type, int ldc, ComputeType compute, Algorithm algorithm) = nullptr;

  bool usable() const {
    return create != nullptr && set_stream != nullptr && set_workspace != nullptr && gemm != nullptr;
  }
};

template <class Function>
void find(Function*& function, const char* name) {
  function = libraries::cublas().get<Function>(name);
}

const Table& table() {
  static const Table functions = [] {
    Table found;
    find(found.create, "cublasCreate_v2");
    find(found.set_stream, "cublasSetStream_v2");
    find(found.set_workspace, "cublasSetWorkspace_v2");
    find(found.gemm, "cublasGemmEx");
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
  throw_refusal(call, static_cast<int>(status), status == Status::alloc_failed, stream);
}

}  // namespace

bool cublas_matmul(const MatmulArgs& args, const Stream& stream) {
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  if (args.m == 0 || args.k == 0 || args.n == 0 || args.m > kMost || args.k > kMost || args.n > kMost) return false;
  const Table& cublas = table();
  if (!cublas.usable()) return false;
  Handles::Entry& entry = handles().of(stream.device().index);
  const std::lock_guard lock(entry.mutex);
  if (entry.handle == nullptr) check(cublas.create(&entry.handle), "cublasCreate", stream);
  const Buffer workspace(kWorkspace, stream);
  check(cublas.set_stream(entry.handle, stream.native_handle()), "cublasSetStream", stream);
  // Behind the stream: setting that takes the workspace away.
  check(cublas.set_workspace(entry.handle, workspace.data(), workspace.bytes()), "cublasSetWorkspace", stream);
  const int m = static_cast<int>(args.m);
  const int k = static_cast<int>(args.k);
  const int n = static_cast<int>(args.n);
  const DataType type = data_type_of(args.dtype);
  const bool wide = args.dtype == DType::float64;
  const float ones[] = {1, 0};
  const double wide_ones[] = {1, 0};
  const void* const alpha = wide ? static_cast<const void*>(&wide_ones[0]) : &ones[0];
  const void* const beta = wide ? static_cast<const void*>(&wide_ones[1]) : &ones[1];
  const Status status =
      cublas.gemm(entry.handle, args.b_transposed ? Operation::transpose : Operation::none, Operation::none, n, m, k,
                  alpha, args.b, type, args.b_transposed ? k : n, args.a, type, k, beta, args.c, type, n,
                  wide ? ComputeType::r64f_pedantic : ComputeType::r32f_pedantic, Algorithm::standard);
  if (status == Status::not_supported || status == Status::arch_mismatch) return false;
  check(status, "cublasGemmEx", stream);
  return true;
}

}  // namespace sparsert::backend::cuda
