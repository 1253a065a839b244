// tools/verify/elementwise_cases.cpp — ReLU, arithmetic, powers, casts and comparison.
#include "tools/verify/grid.hpp"

namespace sparsert::verify {
namespace {

using equivalence::kAllValues;
using equivalence::make_values;
using equivalence::Values;

constexpr DType kAllDTypes[] = {DType::boolean, DType::uint8,    DType::int32,   DType::int64,
                                DType::float16, DType::bfloat16, DType::float32, DType::float64};
constexpr std::int64_t kSizes[] = {0, 1, 31, 33, 64, 255, 257, 1000};

std::string label(const char* op, DType dtype, std::int64_t n, Values kind) {
  return std::string(op) + " " + std::string(to_string(dtype)) + " " + std::to_string(n) + " " + to_string(kind);
}

}  // namespace

void add_elementwise_cases(std::vector<Case>& grid) {
  for (const std::int64_t n : kSizes) {
    for (const Values kind : kAllValues) {
      for (const DType dtype : kAllDTypes) {
        const auto x = [=](const Device& device) { return make_values(kind, {n}, dtype, 1).to(device); };
        const auto y = [=](const Device& device) { return make_values(kind, {n}, dtype, 2).to(device); };
        if (dtype != DType::boolean) {
          grid.push_back({label("add", dtype, n, kind), [=](const Device& d) { return std::vector{x(d) + y(d)}; }});
          grid.push_back(
              {label("subtract", dtype, n, kind), [=](const Device& d) { return std::vector{x(d) - y(d)}; }});
          grid.push_back(
              {label("multiply", dtype, n, kind), [=](const Device& d) { return std::vector{x(d) * y(d)}; }});
          grid.push_back(
              {label("power", dtype, n, kind), [=](const Device& d) { return std::vector{power(x(d), 3)}; }});
        }
        grid.push_back({label("equal", dtype, n, kind), [=](const Device& d) {
                          const std::vector<std::uint8_t> answers{equal(x(d), x(d)), equal(x(d), y(d))};
                          return std::vector{Tensor::from(answers, {2})};
                        }});
        if (is_floating(dtype)) {
          grid.push_back({label("relu", dtype, n, kind), [=](const Device& d) { return std::vector{relu(x(d))}; }});
          grid.push_back({label("relu_", dtype, n, kind), [=](const Device& d) {
                            Tensor z = x(d).clone();
                            relu_(z);
                            return std::vector{z};
                          }});
          grid.push_back({label("relu_backward", dtype, n, kind),
                          [=](const Device& d) { return std::vector{relu_backward(y(d), x(d))}; }});
        }
        if (n > 300) continue;
        for (const DType to : kAllDTypes) {
          grid.push_back({label("cast", dtype, n, kind) + " to " + std::string(to_string(to)),
                          [=](const Device& d) { return std::vector{cast(x(d), to)}; }});
        }
      }
    }
  }
}

}  // namespace sparsert::verify
