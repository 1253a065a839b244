// tools/verify/activation_cases.cpp — sparse, leaky, squared and top-k activations, and the layer that reads them.
#include "tools/verify/grid.hpp"

namespace sparsert::verify {
namespace {

using equivalence::kAllValues;
using equivalence::make_values;
using equivalence::Values;

std::vector<Tensor> run(const Tensor& x, const Tensor& grad, const Tensor& w) {
  const Csr csr = relu_to_csr(x);
  const Bitmap bitmap = relu_to_bitmap(x);
  return {csr.row_offsets(),  csr.columns(),
          csr.values(),       bitmap.bits(),
          bitmap.values(),    relu_backward(grad, csr).values(),
          leaky_relu(x, 0.1), leaky_relu_backward(grad, x, 0.1),
          squared_relu(x),    squared_relu_backward(grad, x),
          linear(csr, w)};
}

}  // namespace

void add_activation_cases(std::vector<Case>& grid) {
  struct Size {
    std::int64_t rows;
    std::int64_t cols;
  };
  for (const Size size : {Size{0, 5}, Size{1, 1}, Size{1, 257}, Size{31, 33}, Size{64, 65}}) {
    for (const DType dtype : kFloats) {
      for (const Values kind : kAllValues) {
        grid.push_back({"activation " + std::string(to_string(dtype)) + " " + std::to_string(size.rows) + "x" +
                            std::to_string(size.cols) + " " + to_string(kind),
                        [=](const Device& device) {
                          const auto values = [&](Values which, Shape shape, std::uint64_t seed) {
                            return make_values(which, std::move(shape), dtype, seed).to(device);
                          };
                          return run(values(kind, {size.rows, size.cols}, 1),
                                     values(Values::normal, {size.rows, size.cols}, 2),
                                     values(Values::normal, {9, size.cols}, 3));
                        }});
      }
    }
  }
}

}  // namespace sparsert::verify
