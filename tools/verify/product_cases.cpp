// tools/verify/product_cases.cpp — SpMM with and without a plan, the layer `linear`, and the dense product.
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
constexpr Size kSizes[] = {{0, 4, 3},   {4, 0, 3},   {3, 5, 0},   {1, 1, 1},    {1, 70, 1},
                           {9, 33, 16}, {33, 65, 7}, {5, 17, 65}, {3, 1100, 4}, {20, 31, 33}};

enum class Extra { plain, bias_relu, alpha_beta };

const char* to_string(Extra extra) {
  switch (extra) {
    case Extra::plain: return "plain";
    case Extra::bias_relu: return "bias+relu";
    case Extra::alpha_beta: return "alpha+beta";
  }
  return "unknown";
}

std::string label(const char* op, DType dtype, Size size, Values kind) {
  return std::string(op) + " " + std::string(to_string(dtype)) + " " + std::to_string(size.m) + "x" +
         std::to_string(size.k) + "x" + std::to_string(size.n) + " " + to_string(kind);
}

Tensor run_spmm(const Csr& a, bool with_plan, const Tensor& b, Extra extra, Values kind) {
  SpmmOptions options;
  const Tensor bias = make_values(kind, {a.rows()}, a.dtype(), 9).to(a.device());
  Tensor out = make_values(Values::normal, {a.rows(), b.size(1)}, a.dtype(), 10).to(a.device());
  if (extra == Extra::bias_relu) {
    options.bias = &bias;
    options.relu = true;
  } else if (extra == Extra::alpha_beta) {
    options.alpha = 1.5;
    options.beta = -0.5;
    options.out = &out;
  }
  return with_plan ? spmm(Plan(a, b.size(1)), b, options) : spmm(a, b, options);
}

void add_sparse(std::vector<Case>& grid, Size size, DType dtype, DType index, Values kind, Pattern pattern) {
  const auto a = [=](const Device& d) { return make_csr(pattern, size.m, size.k, kind, dtype, index, 7).to(d); };
  const auto b = [=](const Device& d) { return make_values(kind, {size.k, size.n}, dtype, 8).to(d); };
  const auto x = [=](const Device& d) { return make_values(kind, {size.n, size.k}, dtype, 8).to(d); };
  const std::string suffix = std::string(" ") + verify::to_string(pattern) + " " + std::string(to_string(index));
  for (const bool with_plan : {false, true}) {
    const std::string how = with_plan ? " plan" : "";
    for (const Extra extra : {Extra::plain, Extra::bias_relu, Extra::alpha_beta}) {
      grid.push_back({label("spmm", dtype, size, kind) + suffix + " " + to_string(extra) + how,
                      [=](const Device& d) { return std::vector{run_spmm(a(d), with_plan, b(d), extra, kind)}; }});
    }
    grid.push_back({label("linear", dtype, size, kind) + suffix + how, [=](const Device& d) {
                      const Tensor bias = make_values(kind, {size.m}, dtype, 9).to(d);
                      LinearOptions options;
                      options.bias = &bias;
                      options.relu = true;
                      return std::vector{with_plan ? linear(x(d), Plan(a(d), size.n), options)
                                                   : linear(x(d), a(d), options)};
                    }});
  }
}

}  // namespace

void add_product_cases(std::vector<Case>& grid) {
  for (const Size size : kSizes) {
    for (const DType dtype : kFloats) {
      for (const Values kind : kAllValues) {
        grid.push_back({label("matmul", dtype, size, kind), [=](const Device& d) {
                          return std::vector{matmul(make_values(kind, {size.m, size.k}, dtype, 11).to(d),
                                                    make_values(kind, {size.k, size.n}, dtype, 12).to(d))};
                        }});
        grid.push_back({label("linear dense", dtype, size, kind), [=](const Device& d) {
                          return std::vector{linear(make_values(kind, {size.n, size.k}, dtype, 13).to(d),
                                                    make_values(kind, {size.m, size.k}, dtype, 14).to(d))};
                        }});
        // Every pattern with every kind would only repeat: the patterns take turns, all of them for each size.
        for (const DType index : kIndices) {
          const auto turn = static_cast<std::size_t>(kind) % std::size(kPatterns);
          add_sparse(grid, size, dtype, index, kind, kPatterns[turn]);
          add_sparse(grid, size, dtype, index, kind, kPatterns[(turn + 3) % std::size(kPatterns)]);
        }
      }
    }
  }
}

}  // namespace sparsert::verify
