// tools/verify/grid.hpp — the equivalence grid: every operation × dtype × index type × shape × kind of values.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sparsert/sparsert.hpp"

namespace sparsert::verify {

/// One question: does a device give the bits that the reference gives?
struct Case {
  std::string name;  ///< "spmm float32 int32 33x65x17 special bias+relu"
  std::function<std::vector<Tensor>(const Device&)> run;
};

/// The whole grid, in a fixed order.
std::vector<Case> make_grid();

// One function a family of operations; each appends its cases.
void add_elementwise_cases(std::vector<Case>& grid);
void add_sparsify_cases(std::vector<Case>& grid);
void add_formats_cases(std::vector<Case>& grid);
void add_prune_cases(std::vector<Case>& grid);
void add_activation_cases(std::vector<Case>& grid);
void add_topk_cases(std::vector<Case>& grid);
void add_gradient_cases(std::vector<Case>& grid);
void add_product_cases(std::vector<Case>& grid);
void add_linalg_cases(std::vector<Case>& grid);
void add_attention_cases(std::vector<Case>& grid);
void add_embedding_cases(std::vector<Case>& grid);

inline constexpr DType kFloats[] = {DType::float32, DType::float64, DType::float16, DType::bfloat16};
inline constexpr DType kIndices[] = {DType::int32, DType::int64};

/// Where the entries of a sparse matrix lie.
enum class Pattern { uniform, empty_rows, one_full_row, power_law, diagonal, full };

inline constexpr Pattern kPatterns[] = {Pattern::uniform,   Pattern::empty_rows, Pattern::one_full_row,
                                        Pattern::power_law, Pattern::diagonal,   Pattern::full};

const char* to_string(Pattern pattern);

/// A host matrix with that pattern and those values, the same everywhere for one seed.
Csr make_csr(Pattern pattern, std::int64_t rows, std::int64_t cols, equivalence::Values values, DType dtype,
             DType index, std::uint64_t seed);

}  // namespace sparsert::verify
