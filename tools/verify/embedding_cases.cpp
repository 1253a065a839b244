// tools/verify/embedding_cases.cpp — embedding bags, their gradients, and block-sparse products.
#include "sparsert/embedding.hpp"
#include "tools/verify/grid.hpp"

namespace sparsert::verify {
namespace {

using equivalence::kAllValues;
using equivalence::make_values;
using equivalence::Values;

constexpr std::int64_t kDims[] = {1, 7, 33, 64};
constexpr Block kBlocks[] = {{1, 4}, {4, 1}, {4, 4}, {3, 5}, {16, 16}};

/// Bags of 0 to 5 rows of a table with 20.
struct Bags {
  Tensor indices;
  Tensor offsets;
};

Bags make_bags(DType index, const Device& device) {
  std::vector<std::int64_t> indices;
  std::vector<std::int64_t> offsets;
  for (std::int64_t b = 0; b < 11; ++b) {
    offsets.push_back(static_cast<std::int64_t>(indices.size()));
    for (std::int64_t e = 0; e < b * 5 % 6; ++e) indices.push_back((b * 7 + e * e) % 20);
  }
  const auto n = static_cast<std::int64_t>(indices.size());
  return {cast(Tensor::from(indices, {n}), index).to(device), cast(Tensor::from(offsets, {11}), index).to(device)};
}

void add_bags(std::vector<Case>& grid, std::int64_t dim, DType dtype, DType index, Values kind) {
  const std::string suffix = " " + std::string(to_string(dtype)) + " " + std::string(to_string(index)) + " dim " +
                             std::to_string(dim) + " " + to_string(kind);
  const auto table = [=](const Device& d) { return make_values(kind, {20, dim}, dtype, 5).to(d); };
  for (const auto& [mode, name] : {std::pair{BagMode::sum, "sum"}, {BagMode::mean, "mean"}, {BagMode::max, "max"}}) {
    grid.push_back({std::string("embedding_bag ") + name + suffix, [=, mode = mode](const Device& d) {
                      const Bags bags = make_bags(index, d);
                      return std::vector{embedding_bag(table(d), bags.indices, bags.offsets, mode)};
                    }});
    grid.push_back({std::string("embedding_bag_backward ") + name + suffix, [=, mode = mode](const Device& d) {
                      const Bags bags = make_bags(index, d);
                      const Tensor grad = make_values(kind, {11, dim}, dtype, 6).to(d);
                      const RowGradient g = embedding_bag_backward(grad, table(d), bags.indices, bags.offsets, mode);
                      return std::vector{g.rows, g.values};
                    }});
  }
  grid.push_back({"embedding_bag weighted" + suffix, [=](const Device& d) {
                    const Bags bags = make_bags(index, d);
                    const Tensor weights = make_values(kind, {bags.indices.numel()}, dtype, 7).to(d);
                    return std::vector{embedding_bag(table(d), bags.indices, bags.offsets, BagMode::sum, &weights)};
                  }});
}

void add_blocks(std::vector<Case>& grid, Block block, DType dtype, DType index, Values kind, Pattern pattern) {
  struct Size {
    std::int64_t m;
    std::int64_t k;
    std::int64_t n;
  };
  for (const Size size : {Size{9, 33, 16}, Size{5, 1100, 4}, Size{33, 30, 1}}) {
    const std::string suffix = " " + std::string(to_string(dtype)) + " " + std::string(to_string(index)) + " " +
                               std::to_string(size.m) + "x" + std::to_string(size.k) + "x" + std::to_string(size.n) +
                               " " + to_string(kind) + " " + to_string(pattern) + " " + std::to_string(block[0]) + "x" +
                               std::to_string(block[1]);
    grid.push_back({"bsr spmm" + suffix, [=](const Device& d) {
                      const Bsr a = to_bsr(make_csr(pattern, size.m, size.k, kind, dtype, index, 7).to(d), block);
                      return std::vector{spmm(a, make_values(kind, {size.k, size.n}, dtype, 8).to(d)),
                                         linear(make_values(kind, {size.n, size.k}, dtype, 9).to(d), a)};
                    }});
  }
}

}  // namespace

void add_embedding_cases(std::vector<Case>& grid) {
  for (const DType dtype : kFloats) {
    for (const DType index : kIndices) {
      for (const Values kind : kAllValues) {
        for (const std::int64_t dim : kDims) add_bags(grid, dim, dtype, index, kind);
        for (const Block block : kBlocks) {
          const auto turn = static_cast<std::size_t>(kind) + static_cast<std::size_t>(block[0]);
          add_blocks(grid, block, dtype, index, kind, kPatterns[turn % std::size(kPatterns)]);
        }
      }
    }
  }
}

}  // namespace sparsert::verify
