// tests/libraries/fake_cublas.cpp — a double of cuBLAS on the fake runtime's memory: what the documentation says.
#include <algorithm>

#include "tests/libraries/fake_vendor.hpp"

using namespace fake_vendor;  // NOLINT: the functions below have cuBLAS's own names

namespace {

constexpr int kSuccess = 0;
constexpr int kNotInitialized = 1;
constexpr int kInvalidValue = 7;
constexpr int kNotSupported = 15;
constexpr int kTranspose = 1;
constexpr int kCompute32 = 68;
constexpr int kCompute32Pedantic = 69;
constexpr int kCompute64 = 70;
constexpr int kCompute64Pedantic = 71;

struct Handle {
  std::uint64_t magic = kMagic;
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;

  static constexpr std::uint64_t kMagic = 0xc0b1a5;
};

Control& state() {
  static Control control;
  return control;
}

bool is_handle(const Handle* handle) { return handle != nullptr && handle->magic == Handle::kMagic; }

/// A column-major matrix of `rows` x `cols` with a leading dimension lies in device memory.
bool is_there(const void* data, std::int64_t rows, std::int64_t cols, std::int64_t ld, int type) {
  if (rows == 0 || cols == 0) return true;
  const auto elements = static_cast<std::size_t>((cols - 1) * ld + rows);
  if (fake_cudart::is_device_memory(data, elements * size_of(type))) return true;
  fake_cudart::report_misuse("cublasGemmEx: a matrix is not in device memory");
  return false;
}

}  // namespace

extern "C" {

Control* fake_cublas() { return &state(); }

int cublasGetProperty(int part, int* value) {
  *value = part == 0 ? 99 : part;
  return kSuccess;
}

int cublasCreate_v2(Handle** handle) {
  if (const int status = state().enter()) return status;
  *handle = new Handle;
  return kSuccess;
}

int cublasSetStream_v2(Handle* handle, cudaStream_t stream) {
  if (const int status = state().enter()) return status;
  if (!is_handle(handle)) return kNotInitialized;
  handle->stream = stream;
  handle->workspace = nullptr;  // as documented: back to the library's own
  return kSuccess;
}

int cublasSetWorkspace_v2(Handle* handle, void* data, std::size_t bytes) {
  if (const int status = state().enter()) return status;
  if (!is_handle(handle)) return kNotInitialized;
  if (reinterpret_cast<std::uintptr_t>(data) % 256 != 0) return kInvalidValue;
  if (!fake_cudart::is_device_memory(data, bytes)) fake_cudart::report_misuse("cublasSetWorkspace: not device memory");
  handle->workspace = data;
  handle->workspace_bytes = bytes;
  return kSuccess;
}

int cublasGemmEx(Handle* handle, int trans_a, int trans_b, int m, int n, int k, const void* alpha, const void* a,
                 int a_type, int lda, const void* b, int b_type, int ldb, const void* beta, void* c, int c_type,
                 int ldc, int compute, int algorithm) {
  if (const int status = state().enter()) return status;
  if (!is_handle(handle)) return kNotInitialized;
  if (m < 0 || n < 0 || k < 0 || trans_a < 0 || trans_a > 2 || trans_b < 0 || trans_b > 2) return kInvalidValue;
  if (lda < std::max(1, trans_a == 0 ? m : k) || ldb < std::max(1, trans_b == 0 ? k : n) || ldc < std::max(1, m)) {
    return kInvalidValue;
  }
  if (alpha == nullptr || beta == nullptr) return kInvalidValue;
  const bool wide = compute == kCompute64 || compute == kCompute64Pedantic;
  const bool narrow = compute == kCompute32 || compute == kCompute32Pedantic;
  const bool types_fit = is_type(a_type) && a_type == b_type && a_type == c_type && (a_type == kR64F) == wide;
  if ((!wide && !narrow) || !types_fit || algorithm != -1) return kNotSupported;
  if (handle->workspace != nullptr && !fake_cudart::is_device_memory(handle->workspace, handle->workspace_bytes)) {
    fake_cudart::report_misuse("cublasGemmEx: the workspace is gone");
  }
  if (!is_there(a, trans_a == 0 ? m : k, trans_a == 0 ? k : m, lda, a_type) ||
      !is_there(b, trans_b == 0 ? k : n, trans_b == 0 ? n : k, ldb, b_type) || !is_there(c, m, n, ldc, c_type)) {
    return kInvalidValue;
  }
  ++state().products;
  fake_cudart::run_all();
  const double scale = scalar(alpha, wide ? kR64F : kR32F);
  const double keep = scalar(beta, wide ? kR64F : kR32F);
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t i = 0; i < m; ++i) {
      double sum = 0;
      for (std::int64_t p = k - 1; p >= 0; --p) {  // from the other end: an order of its own
        const double term = load(a, trans_a == 0 ? p * lda + i : i * lda + p, a_type) *
                            load(b, trans_b == 0 ? j * ldb + p : p * ldb + j, b_type);
        sum = wide ? sum + term : static_cast<double>(static_cast<float>(sum + term));
      }
      const double old = keep == 0 ? 0 : keep * load(c, j * ldc + i, c_type);
      store(c, j * ldc + i, c_type, (scale == 0 ? 0 : scale * sum) + old);
    }
  }
  return kSuccess;
}

}  // extern "C"
