// tools/verify/prune_cases.cpp — pruning by pattern, norm, activation and chance; thresholds; slices taken.
#include "tools/verify/grid.hpp"

namespace sparsert::verify {
namespace {

using equivalence::kAllValues;
using equivalence::make_values;
using equivalence::Values;

struct Method {
  const char* name;
  bool ranks;  // an amount of it might reach a NaN
  std::function<Tensor(const Tensor&)> run;
};

std::vector<Method> methods() {
  const auto weights = [](const Tensor& x) {
    return make_values(Values::positive, {x.size(1)}, DType::float64, 3).to(x.device());
  };
  return {
      {"prune.random 0.5", true, [](const Tensor& x) { return prune::random(x, 0.5, 7); }},
      {"prune.n_m 2:4", false, [](const Tensor& x) { return prune::n_m(x, 2, 4); }},
      {"prune.n_m 3:7 axis 0", false, [](const Tensor& x) { return prune::n_m(x, 3, 7, 0); }},
      {"prune.block 4x4 0.3", true,
       [](const Tensor& x) {
         return prune::block(x, {4, 4}, 0.3);
       }},
      {"prune.block_norms 3x5", false,
       [](const Tensor& x) {
         return prune::block_norms(x, {3, 5}, prune::Norm::l2);
       }},
      {"prune.structured rows", true, [](const Tensor& x) { return prune::structured(x, 0.3); }},
      {"prune.structured columns", true,
       [](const Tensor& x) { return prune::structured(x, 0.3, {.axis = 1, .norm = prune::Norm::max}); }},
      {"prune.magnitude rows", true, [](const Tensor& x) { return prune::magnitude(x, 0.5, prune::Group::row); }},
      {"prune.wanda", true, [=](const Tensor& x) { return prune::wanda(x, weights(x), 0.5); }},
      {"prune.soft_threshold", false, [](const Tensor& x) { return prune::soft_threshold(x, 0.3); }},
      {"prune.hard_threshold", false, [](const Tensor& x) { return prune::hard_threshold(x, 0.3); }},
      {"prune.group_soft_threshold", false, [](const Tensor& x) { return prune::group_soft_threshold(x, 1.5); }},
      {"prune.take", false,
       [](const Tensor& x) {
         return prune::take(x, Tensor::from(std::vector<std::int64_t>{0, 0}, {2}, x.device()), 1);
       }},
  };
}

}  // namespace

void add_prune_cases(std::vector<Case>& grid) {
  struct Size {
    std::int64_t rows;
    std::int64_t cols;
  };
  for (const Size size : {Size{1, 1}, Size{1, 257}, Size{63, 2}, Size{31, 33}, Size{64, 64}}) {
    for (const DType dtype : kFloats) {
      for (const Values kind : kAllValues) {
        for (const Method& method : methods()) {
          if (kind == Values::special && method.ranks) continue;
          grid.push_back({std::string(method.name) + " " + std::string(to_string(dtype)) + " " +
                              std::to_string(size.rows) + "x" + std::to_string(size.cols) + " " + to_string(kind),
                          [=](const Device& device) {
                            const Tensor x = make_values(kind, {size.rows, size.cols}, dtype, 8);
                            return std::vector{method.run(x.to(device))};
                          }});
        }
      }
    }
  }
}

}  // namespace sparsert::verify
