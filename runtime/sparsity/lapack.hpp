// runtime/sparsity/lapack.hpp — the few routines of LAPACK that are used, found at run time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sparsert::lapack {

/// The file it came from; empty where there is none.
const std::string& library();

/// Throws `Error{not_supported}`, with what was looked for, where there is no LAPACK.
void require_library(const char* op);

/// Column-major a (rows x cols) = u · diag(s) · vt, with k = min(rows, cols); a is overwritten.
/// u is (rows x k), vt (k x cols). Throws `Error{internal}` where the iteration does not converge.
template <class T>
void svd(const char* op, std::int64_t rows, std::int64_t cols, T* a, T* s, T* u, T* vt);

/// Column-major a (rows x cols, rows >= cols) becomes an orthonormal basis of its columns.
template <class T>
void orthonormalize(const char* op, std::int64_t rows, std::int64_t cols, T* a);

}  // namespace sparsert::lapack
