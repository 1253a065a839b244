// tools/verify/grid.cpp — the grid put together, and the sparse matrices that its cases use.
#include "tools/verify/grid.hpp"

#include <random>

namespace sparsert::verify {
namespace {

bool is_entry(Pattern pattern, std::int64_t row, std::int64_t col, std::int64_t rows, std::mt19937_64& random) {
  const std::uint64_t draw = random() % 1024;
  switch (pattern) {
    case Pattern::uniform: return draw < 300;
    case Pattern::empty_rows: return row % 3 == 1 && draw < 500;
    case Pattern::one_full_row: return row == rows / 2 || draw < 30;
    case Pattern::power_law: return draw * static_cast<std::uint64_t>(row + 1) < 1024;
    case Pattern::diagonal: return row == col;
    case Pattern::full: return true;
  }
  return false;
}

template <class I>
Csr build(Pattern pattern, std::int64_t rows, std::int64_t cols, equivalence::Values values, DType dtype,
          std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<I> offsets{0};
  std::vector<I> columns;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      if (is_entry(pattern, r, c, rows, random)) columns.push_back(static_cast<I>(c));
    }
    offsets.push_back(static_cast<I>(columns.size()));
  }
  const auto nnz = static_cast<std::int64_t>(columns.size());
  return Csr(Tensor::from(offsets, {rows + 1}), Tensor::from(columns, {nnz}),
             equivalence::make_values(values, {nnz}, dtype, seed + 1), {rows, cols});
}

}  // namespace

const char* to_string(Pattern pattern) {
  switch (pattern) {
    case Pattern::uniform: return "uniform";
    case Pattern::empty_rows: return "empty_rows";
    case Pattern::one_full_row: return "one_full_row";
    case Pattern::power_law: return "power_law";
    case Pattern::diagonal: return "diagonal";
    case Pattern::full: return "full";
  }
  return "unknown";
}

Csr make_csr(Pattern pattern, std::int64_t rows, std::int64_t cols, equivalence::Values values, DType dtype,
             DType index, std::uint64_t seed) {
  return index == DType::int32 ? build<std::int32_t>(pattern, rows, cols, values, dtype, seed)
                               : build<std::int64_t>(pattern, rows, cols, values, dtype, seed);
}

std::vector<Case> make_grid() {
  std::vector<Case> grid;
  add_elementwise_cases(grid);
  add_sparsify_cases(grid);
  add_formats_cases(grid);
  add_prune_cases(grid);
  add_activation_cases(grid);
  add_topk_cases(grid);
  add_gradient_cases(grid);
  add_product_cases(grid);
  add_linalg_cases(grid);
  add_attention_cases(grid);
  add_embedding_cases(grid);
  return grid;
}

}  // namespace sparsert::verify
