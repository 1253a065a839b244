// tests/libraries/fake_cusparse.cpp — a double of cuSPARSE's SpMM on the fake runtime's memory.
#include <set>

#include "tests/libraries/fake_vendor.hpp"

using namespace fake_vendor;  // NOLINT: the functions below have cuSPARSE's own names

namespace {

constexpr int kSuccess = 0;
constexpr int kNotInitialized = 1;
constexpr int kInvalidValue = 3;
constexpr int kNotSupported = 10;
constexpr int kInt32 = 2;
constexpr int kInt64 = 3;
constexpr int kColumnMajor = 1;
constexpr int kRowMajor = 2;
constexpr int kCsrAlg1 = 4;
constexpr int kCsrAlg2 = 6;
constexpr std::size_t kBuffer = 768;  // bytes of workspace that a product wants

struct Handle {
  std::uint64_t magic = kMagic;
  cudaStream_t stream = nullptr;
  static constexpr std::uint64_t kMagic = 0xc05a25e;
};

struct Sparse {
  std::int64_t rows, cols, nnz;
  const void* offsets;
  const void* columns;
  const void* values;
  int index;
  int type;
};

struct Dense {
  std::int64_t rows, cols, ld;
  void* values;
  int type;
  int order;
};

struct State {
  Control control;
  std::set<const void*> alive;  // descriptions that have not been destroyed
};

State& state() {
  static auto* const all = new State;
  return *all;
}

std::int64_t index_at(const void* data, std::int64_t i, int type) {
  return type == kInt64 ? static_cast<const std::int64_t*>(data)[i] : static_cast<const std::int32_t*>(data)[i];
}

bool is_there(const char* what, const void* data, std::int64_t elements, std::size_t bytes) {
  if (elements == 0 || fake_cudart::is_device_memory(data, static_cast<std::size_t>(elements) * bytes)) return true;
  fake_cudart::report_misuse(std::string("cusparse: ") + what + " is not in device memory");
  return false;
}

std::int64_t place(const Dense& d, std::int64_t row, std::int64_t col) {
  return d.order == kRowMajor ? row * d.ld + col : col * d.ld + row;
}

/// The status of arguments that both SpMM functions check.
int check(const Handle* handle, int op_a, int op_b, const void* alpha, const void* a, const void* b, const void* beta,
          const void* c, int compute, int algorithm) {
  if (handle == nullptr || handle->magic != Handle::kMagic) return kNotInitialized;
  if (alpha == nullptr || beta == nullptr) return kInvalidValue;
  for (const void* const description : {a, b, c}) {
    if (!state().alive.contains(description)) return kInvalidValue;
  }
  const auto& m = *static_cast<const Sparse*>(a);
  const auto& x = *static_cast<const Dense*>(b);
  const auto& y = *static_cast<const Dense*>(c);
  if (op_a != 0 || op_b != 0) return kNotSupported;
  if (m.cols != x.rows || m.rows != y.rows || x.cols != y.cols) return kInvalidValue;
  if (m.type != x.type || m.type != y.type || (compute == kR64F) != (m.type == kR64F)) return kNotSupported;
  if (compute != kR32F && compute != kR64F) return kNotSupported;
  if (x.order != y.order) return kNotSupported;
  if (algorithm != kCsrAlg1 && algorithm != kCsrAlg2) return kNotSupported;
  if (algorithm == kCsrAlg2 && x.order != kRowMajor) return kNotSupported;
  return kSuccess;
}

}  // namespace

extern "C" {

Control* fake_cusparse() { return &state().control; }
std::size_t fake_cusparse_alive() { return state().alive.size(); }

int cusparseGetProperty(int part, int* value) {
  *value = part == 0 ? 98 : part;
  return kSuccess;
}

int cusparseCreate(Handle** handle) {
  if (const int status = state().control.enter()) return status;
  *handle = new Handle;
  return kSuccess;
}

int cusparseSetStream(Handle* handle, cudaStream_t stream) {
  if (const int status = state().control.enter()) return status;
  if (handle == nullptr || handle->magic != Handle::kMagic) return kNotInitialized;
  handle->stream = stream;
  return kSuccess;
}

int cusparseCreateConstCsr(const void** matrix, std::int64_t rows, std::int64_t cols, std::int64_t nnz,
                           const void* offsets, const void* columns, const void* values, int offsets_type,
                           int columns_type, int base, int type) {
  if (const int status = state().control.enter()) return status;
  if (rows < 0 || cols < 0 || nnz < 0 || base != 0 || !is_type(type)) return kInvalidValue;
  if (offsets_type != columns_type || (offsets_type != kInt32 && offsets_type != kInt64)) return kInvalidValue;
  const std::size_t index_bytes = offsets_type == kInt64 ? 8 : 4;
  if (!is_there("row offsets", offsets, rows + 1, index_bytes) || !is_there("columns", columns, nnz, index_bytes) ||
      !is_there("values", values, nnz, size_of(type))) {
    return kInvalidValue;
  }
  *matrix = new Sparse{rows, cols, nnz, offsets, columns, values, offsets_type, type};
  state().alive.insert(*matrix);
  return kSuccess;
}

int cusparseCreateDnMat(void** matrix, std::int64_t rows, std::int64_t cols, std::int64_t ld, void* values, int type,
                        int order) {
  if (const int status = state().control.enter()) return status;
  if (rows < 0 || cols < 0 || !is_type(type) || (order != kRowMajor && order != kColumnMajor)) return kInvalidValue;
  if (ld < (order == kRowMajor ? cols : rows)) return kInvalidValue;
  const std::int64_t lines = order == kRowMajor ? rows : cols;
  const std::int64_t width = order == kRowMajor ? cols : rows;
  if (!is_there("a dense matrix", values, lines == 0 ? 0 : (lines - 1) * ld + width, size_of(type))) {
    return kInvalidValue;
  }
  *matrix = new Dense{rows, cols, ld, values, type, order};
  state().alive.insert(*matrix);
  return kSuccess;
}

int cusparseDestroySpMat(const void* matrix) {
  if (state().alive.erase(matrix) == 0) fake_cudart::report_misuse("cusparse: a matrix destroyed twice");
  else delete static_cast<const Sparse*>(matrix);
  return kSuccess;
}

int cusparseDestroyDnMat(const void* matrix) {
  if (state().alive.erase(matrix) == 0) fake_cudart::report_misuse("cusparse: a matrix destroyed twice");
  else delete static_cast<const Dense*>(matrix);
  return kSuccess;
}

int cusparseSpMM_bufferSize(Handle* handle, int op_a, int op_b, const void* alpha, const void* a, const void* b,
                            const void* beta, void* c, int compute, int algorithm, std::size_t* bytes) {
  if (const int status = state().control.enter()) return status;
  if (const int status = check(handle, op_a, op_b, alpha, a, b, beta, c, compute, algorithm)) return status;
  if (bytes == nullptr) return kInvalidValue;
  *bytes = kBuffer;
  return kSuccess;
}

int cusparseSpMM(Handle* handle, int op_a, int op_b, const void* alpha, const void* a, const void* b, const void* beta,
                 void* c, int compute, int algorithm, void* buffer) {
  if (const int status = state().control.enter()) return status;
  if (const int status = check(handle, op_a, op_b, alpha, a, b, beta, c, compute, algorithm)) return status;
  if (!is_there("the buffer", buffer, static_cast<std::int64_t>(kBuffer), 1)) return kInvalidValue;
  ++state().control.products;
  fake_cudart::run_all();
  const auto& m = *static_cast<const Sparse*>(a);
  const auto& x = *static_cast<const Dense*>(b);
  const auto& y = *static_cast<const Dense*>(c);
  const double scale = scalar(alpha, compute);
  const double keep = scalar(beta, compute);
  for (std::int64_t i = 0; i < m.rows; ++i) {
    for (std::int64_t j = 0; j < x.cols; ++j) {
      double sum = 0;
      for (std::int64_t e = index_at(m.offsets, i + 1, m.index) - 1; e >= index_at(m.offsets, i, m.index); --e) {
        const double term =
            load(m.values, e, m.type) * load(x.values, place(x, index_at(m.columns, e, m.index), j), x.type);
        sum = compute == kR64F ? sum + term : static_cast<double>(static_cast<float>(sum + term));
      }
      const double old = keep == 0 ? 0 : keep * load(y.values, place(y, i, j), y.type);
      store(y.values, place(y, i, j), y.type, scale * sum + old);
    }
  }
  return kSuccess;
}

}  // extern "C"
