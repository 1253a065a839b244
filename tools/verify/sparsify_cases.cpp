// tools/verify/sparsify_cases.cpp — pruning, counting zeros, and conversions between dense, CSR and COO.
#include "tools/verify/grid.hpp"

namespace sparsert::verify {
namespace {

using equivalence::kAllValues;
using equivalence::make_values;
using equivalence::Values;

struct Size {
  std::int64_t rows;
  std::int64_t cols;
};
constexpr Size kSizes[] = {{0, 5}, {5, 0}, {1, 1}, {1, 257}, {63, 1}, {31, 33}, {64, 65}, {17, 300}};
constexpr double kAmounts[] = {0.0, 0.1, 0.5, 0.93, 1.0};

std::string label(const char* op, DType dtype, Size size, const char* kind) {
  return std::string(op) + " " + std::string(to_string(dtype)) + " " + std::to_string(size.rows) + "x" +
         std::to_string(size.cols) + " " + kind;
}

std::vector<Tensor> arrays(const Csr& a) { return {a.row_offsets(), a.columns(), a.values()}; }

void add_pruning(std::vector<Case>& grid, DType dtype, Size size, Values kind) {
  const auto x = [=](const Device& device) { return make_values(kind, {size.rows, size.cols}, dtype, 3).to(device); };
  for (const double amount : kAmounts) {
    const std::string suffix = " amount " + std::to_string(amount);
    grid.push_back({label("prune.magnitude", dtype, size, to_string(kind)) + suffix,
                    [=](const Device& d) { return std::vector{prune::magnitude(x(d), amount)}; }});
    grid.push_back({label("prune.global_magnitude", dtype, size, to_string(kind)) + suffix, [=](const Device& d) {
                      const Tensor other = make_values(Values::normal, {40}, dtype, 4).to(d);
                      std::vector<Tensor> results;
                      for (auto& [name, tensor] : prune::global_magnitude({{"a", x(d)}, {"b", other}}, amount)) {
                        results.push_back(tensor);
                      }
                      return results;
                    }});
  }
  grid.push_back({label("count_nonzero", dtype, size, to_string(kind)), [=](const Device& d) {
                    return std::vector{Tensor::from(std::vector<std::int64_t>{count_nonzero(x(d))}, {1})};
                  }});
  for (const DType index : kIndices) {
    grid.push_back({label("to_csr", dtype, size, to_string(kind)) + " " + std::string(to_string(index)),
                    [=](const Device& d) { return arrays(to_csr(x(d), index)); }});
    grid.push_back(
        {label("to_coo", dtype, size, to_string(kind)) + " " + std::string(to_string(index)), [=](const Device& d) {
           const Coo a = to_coo(x(d), index);
           return std::vector{a.rows(), a.columns(), a.values()};
         }});
  }
}

// Every entry twice, in an order that is not sorted: coalescing must sum in input order.
Coo with_duplicates(const Csr& a, const Stream& stream) {
  const Coo once = a.to_coo(stream);
  const auto twice = [&](const Tensor& array) {
    Tensor out = Tensor::empty({2 * array.numel()}, array.dtype());
    const auto bytes = static_cast<std::size_t>(array.nbytes());
    auto* to = static_cast<std::byte*>(out.mutable_data());
    copy_bytes(to, cpu_device, array.data(), cpu_device, bytes, stream);
    copy_bytes(to + bytes, cpu_device, array.data(), cpu_device, bytes, stream);
    return out;
  };
  return Coo(twice(once.rows()), twice(once.columns()), twice(once.values()), once.shape());
}

void add_conversions(std::vector<Case>& grid, DType dtype, Size size, Values kind, Pattern pattern, DType index) {
  const auto a = [=] { return make_csr(pattern, size.rows, size.cols, kind, dtype, index, 5); };
  const std::string suffix = std::string(" ") + to_string(pattern) + " " + std::string(to_string(index));
  grid.push_back({label("csr.to_dense", dtype, size, to_string(kind)) + suffix,
                  [=](const Device& d) { return std::vector{a().to(d).to_dense()}; }});
  grid.push_back({label("csr.to_coo", dtype, size, to_string(kind)) + suffix,
                  [=](const Device& d) { return std::vector{a().to(d).to_coo().rows()}; }});
  grid.push_back({label("coo.to_csr", dtype, size, to_string(kind)) + suffix,
                  [=](const Device& d) { return arrays(with_duplicates(a(), Stream(cpu_device)).to(d).to_csr()); }});
}

}  // namespace

void add_sparsify_cases(std::vector<Case>& grid) {
  for (const Size size : kSizes) {
    for (const DType dtype : kFloats) {
      for (const Values kind : kAllValues) {
        add_pruning(grid, dtype, size, kind);
        for (const Pattern pattern : kPatterns) {
          for (const DType index : kIndices) add_conversions(grid, dtype, size, kind, pattern, index);
        }
      }
    }
  }
}

}  // namespace sparsert::verify
