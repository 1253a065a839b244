// tools/verify/linalg_cases.cpp — products with vectors, of transposes, on patterns and of sparse matrices; softmax,
// sums, scaling; gradients.
#include "tools/verify/grid.hpp"

namespace sparsert::verify {
namespace {

using equivalence::kAllValues;
using equivalence::make_values;
using equivalence::Values;

struct Size {
  std::int64_t m;
  std::int64_t k;
  std::int64_t n;
};
constexpr Size kSizes[] = {{0, 4, 3}, {4, 0, 3}, {1, 1, 1}, {9, 33, 16}, {33, 65, 7}, {5, 1100, 4}, {520, 9, 5}};

std::vector<Tensor> arrays(const Csr& a) { return {a.row_offsets(), a.columns(), a.values()}; }

void add_case(std::vector<Case>& grid, Size size, DType dtype, DType index, Values kind, Pattern pattern) {
  const std::string suffix = " " + std::string(to_string(dtype)) + " " + std::string(to_string(index)) + " " +
                             std::to_string(size.m) + "x" + std::to_string(size.k) + "x" + std::to_string(size.n) +
                             " " + to_string(kind) + " " + to_string(pattern);
  const auto a = [=](const Device& d) { return make_csr(pattern, size.m, size.k, kind, dtype, index, 7).to(d); };
  const auto dense = [=](const Device& d, std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
    return make_values(kind, {rows, cols}, dtype, seed).to(d);
  };
  const auto add = [&](const char* op, std::function<std::vector<Tensor>(const Device&)> run) {
    grid.push_back({op + suffix, std::move(run)});
  };
  add("spmv", [=](const Device& d) {
    const Tensor x = dense(d, size.k, 1, 8).reshape({size.k});
    return std::vector{spmv(a(d), x), spmv(Plan(a(d), 1), x)};
  });
  add("spmm_transposed", [=](const Device& d) {
    return std::vector{spmm_transposed(a(d), dense(d, size.m, size.n, 8)), matmul(dense(d, size.n, size.m, 9), a(d))};
  });
  add("sddmm", [=](const Device& d) {
    return std::vector{sddmm(a(d), dense(d, size.m, size.n, 8), dense(d, size.k, size.n, 9))};
  });
  add("softmax", [=](const Device& d) {
    const Csr y = sparse_softmax(a(d));
    return std::vector{y.values(), sparse_softmax_backward(a(d).values(), y).values()};
  });
  add("spgemm", [=](const Device& d) {
    return arrays(spgemm(a(d), make_csr(pattern, size.k, size.n, kind, dtype, index, 8).to(d)));
  });
  add("sparse_add", [=](const Device& d) {
    return arrays(sparsert::add(a(d), make_csr(Pattern::uniform, size.m, size.k, kind, dtype, index, 9).to(d)));
  });
  add("sums", [=](const Device& d) { return std::vector{row_sums(a(d)), column_sums(a(d))}; });
  add("scale", [=](const Device& d) {
    return std::vector{scale_rows(a(d), dense(d, size.m, 1, 8).reshape({size.m})).values(),
                       scale_columns(a(d), dense(d, size.k, 1, 9).reshape({size.k})).values()};
  });
  add("spmm_backward", [=](const Device& d) {
    const auto grad = spmm_backward(dense(d, size.m, size.n, 8), a(d), dense(d, size.k, size.n, 9));
    return std::vector{grad.values, grad.b};
  });
  add("linear_backward", [=](const Device& d) {
    const Tensor grad = dense(d, size.n, size.m, 8);
    const Tensor x = dense(d, size.n, size.k, 9);
    const auto sparse = linear_backward(grad, x, a(d));
    return std::vector{sparse.x, sparse.w, sparse.bias, linear_backward(grad, x, a(d).to_dense()).w};
  });
  add("sddmm_backward", [=](const Device& d) {
    const auto grad = sddmm_backward(a(d).values(), a(d), dense(d, size.m, size.n, 8), dense(d, size.k, size.n, 9));
    return std::vector{grad.x, grad.y};
  });
}

}  // namespace

void add_linalg_cases(std::vector<Case>& grid) {
  for (const Size size : kSizes) {
    for (const DType dtype : kFloats) {
      for (const DType index : kIndices) {
        // The patterns take turns with the kinds of values.
        for (const Values kind : kAllValues) {
          const auto turn = static_cast<std::size_t>(kind) % std::size(kPatterns);
          add_case(grid, size, dtype, index, kind, kPatterns[turn]);
          add_case(grid, size, dtype, index, kind, kPatterns[(turn + 2) % std::size(kPatterns)]);
        }
      }
    }
  }
}

}  // namespace sparsert::verify
