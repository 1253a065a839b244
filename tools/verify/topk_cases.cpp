// tools/verify/topk_cases.cpp — top-k by magnitude, with ties, NaN and every k.
#include "tools/verify/grid.hpp"

namespace sparsert::verify {

void add_topk_cases(std::vector<Case>& grid) {
  struct Size {
    std::int64_t rows;
    std::int64_t n;
  };
  for (const Size size : {Size{0, 4}, Size{1, 1}, Size{1, 33}, Size{3, 64}, Size{2, 257}, Size{1, 2000}}) {
    for (const std::int64_t k : {std::int64_t{0}, std::int64_t{1}, size.n / 10, size.n / 2, size.n}) {
      for (const DType dtype : kFloats) {
        for (const equivalence::Values kind : equivalence::kAllValues) {
          grid.push_back({"topk " + std::string(to_string(dtype)) + " " + std::to_string(size.rows) + "x" +
                              std::to_string(size.n) + " k " + std::to_string(k) + " " + to_string(kind),
                          [=](const Device& d) {
                            const Tensor x = equivalence::make_values(kind, {size.rows, size.n}, dtype, 6).to(d);
                            const Topk top = topk(x, k);
                            return std::vector{top.values, top.indices};
                          }});
        }
      }
    }
  }
}

}  // namespace sparsert::verify
