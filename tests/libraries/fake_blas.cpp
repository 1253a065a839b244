// tests/libraries/fake_blas.cpp — a double of CBLAS: what its documentation says, slowly, and a refusal of misuse.
//
// Parameter numbers are those that cblas_xerbla reports. A refused call leaves C as it was.
#include <algorithm>

namespace {

constexpr int kRowMajor = 101;
constexpr int kColumnMajor = 102;
constexpr int kNoTranspose = 111;
constexpr int kConjugate = 113;

int calls = 0;
int refused_parameter = 0;
int threads = 0;

/// 0, or the number of the first parameter that is wrong.
int wrong_parameter(int layout, int trans_a, int trans_b, int m, int n, int k, int lda, int ldb, int ldc) {
  if (layout != kRowMajor && layout != kColumnMajor) return 1;
  if (trans_a < kNoTranspose || trans_a > kConjugate) return 2;
  if (trans_b < kNoTranspose || trans_b > kConjugate) return 3;
  if (m < 0) return 4;
  if (n < 0) return 5;
  if (k < 0) return 6;
  const bool rows = layout == kRowMajor;
  if (lda < std::max(1, rows == (trans_a == kNoTranspose) ? k : m)) return 9;
  if (ldb < std::max(1, rows == (trans_b == kNoTranspose) ? n : k)) return 11;
  if (ldc < std::max(1, rows ? n : m)) return 14;
  return 0;
}

template <class T>
void gemm(int layout, int trans_a, int trans_b, int m, int n, int k, T alpha, const T* a, int lda, const T* b, int ldb,
          T beta, T* c, int ldc) {
  ++calls;
  if (const int wrong = wrong_parameter(layout, trans_a, trans_b, m, n, k, lda, ldb, ldc)) {
    refused_parameter = wrong;
    return;
  }
  const bool rows = layout == kRowMajor;
  const auto at = [](bool adjacent_columns, int row, int column, int ld) {
    return adjacent_columns ? static_cast<long>(row) * ld + column : static_cast<long>(column) * ld + row;
  };
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int p = 0; p < k; ++p) {
        sum += static_cast<double>(a[at(rows == (trans_a == kNoTranspose), i, p, lda)]) *
               static_cast<double>(b[at(rows == (trans_b == kNoTranspose), p, j, ldb)]);
      }
      T& out = c[at(rows, i, j, ldc)];
      const double old = beta == 0 ? 0 : static_cast<double>(beta) * static_cast<double>(out);  // 0: C is not read
      out = static_cast<T>((alpha == 0 ? 0 : static_cast<double>(alpha) * sum) + old);
    }
  }
}

}  // namespace

extern "C" {

void cblas_sgemm(int layout, int trans_a, int trans_b, int m, int n, int k, float alpha, const float* a, int lda,
                 const float* b, int ldb, float beta, float* c, int ldc) {
  gemm(layout, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void cblas_dgemm(int layout, int trans_a, int trans_b, int m, int n, int k, double alpha, const double* a, int lda,
                 const double* b, int ldb, double beta, double* c, int ldc) {
  gemm(layout, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void openblas_set_num_threads(int count) { threads = count; }
const char* openblas_get_config() { return "OpenBLAS double for tests"; }

int fake_blas_calls() { return calls; }
int fake_blas_threads() { return threads; }

/// The parameter that a call was refused for since the last time this was asked; 0: none.
int fake_blas_refused() {
  const int parameter = refused_parameter;
  refused_parameter = 0;
  return parameter;
}

}  // extern "C"
