// sparsert/matrix_market.hpp — sparse matrices in Matrix Market files.
#pragma once

#include <filesystem>

#include "sparsert/sparse.hpp"

namespace sparsert {

/// A matrix of a Matrix Market file: `coordinate` or `array`, `real`, `integer` or `pattern` (ones), `general`,
/// `symmetric` or `skew-symmetric` (the other half is added, each entry behind its twin). Entries keep the file's
/// order; duplicates mean their sum. Values are rounded once to `dtype`, a floating type; indices are int32 where the
/// shape allows. Nothing is allocated that the file's size does not warrant. Throws `FileError` with the line for
/// anything that is not such a matrix.
Coo read_matrix_market(const std::filesystem::path& path, DType dtype = DType::float64);

/// Writes a `coordinate real general` file in the matrix's order; every value is read back with its bits.
/// Throws `FileError`, and `Error{invalid_argument}` for values that are no finite floating numbers.
void write_matrix_market(const std::filesystem::path& path, const Coo& matrix);

}  // namespace sparsert
