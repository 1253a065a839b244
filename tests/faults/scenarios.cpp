// tests/faults/scenarios.cpp — the operations that the campaigns of faults disturb.
#include "tests/faults/scenarios.hpp"

#include <cstring>
#include <utility>

namespace sparsert::test {
namespace {

using equivalence::make_values;
using equivalence::Values;

struct Size {
  std::int64_t m;
  std::int64_t k;
  std::int64_t n;
};
constexpr Size kSizes[] = {{3, 5, 4}, {33, 70, 19}};
constexpr DType kFloats[] = {DType::float32, DType::float64, DType::float16, DType::bfloat16};
constexpr DType kIndices[] = {DType::int32, DType::int64};

Tensor dense(std::int64_t rows, std::int64_t cols, DType dtype, std::uint64_t seed, const Device& device) {
  return make_values(Values::small_integers, {rows, cols}, dtype, seed).to(device);
}

Tensor vector_of(std::int64_t n, DType dtype, const Device& device) {
  return make_values(Values::normal, {n}, dtype, 5).to(device);
}

/// A third of all places hold an entry.
Csr sparse(std::int64_t rows, std::int64_t cols, DType dtype, DType index, const Device& device) {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int64_t> columns;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = r % 3; c < cols; c += 3) columns.push_back(c);
    offsets.push_back(static_cast<std::int64_t>(columns.size()));
  }
  const auto nnz = static_cast<std::int64_t>(columns.size());
  return Csr(cast(Tensor::from(offsets, {rows + 1}), index), cast(Tensor::from(columns, {nnz}), index),
             make_values(Values::small_integers, {nnz}, dtype, 6), {rows, cols})
      .to(device);
}

std::vector<Tensor> arrays(const Csr& a) { return {a.row_offsets(), a.columns(), a.values()}; }

using Run = std::function<std::vector<Tensor>(const Tensor& x, const Tensor& y)>;

void add_dense(std::vector<Scenario>& all, Size size, DType dtype) {
  const auto add = [&](const char* op, Run run) {
    all.push_back({op, std::string(op) + " " + std::string(to_string(dtype)) + " " + std::to_string(size.m),
                   [=](const Device& device) {
                     const Tensor x = dense(size.m, size.k, dtype, 1, device);
                     const Tensor y = dense(size.m, size.k, dtype, 2, device);
                     return Prepared{{x, y}, [=] { return run(x, y); }};
                   }});
  };
  add("add", [](const Tensor& x, const Tensor& y) { return std::vector{x + y}; });
  add("multiply", [](const Tensor& x, const Tensor& y) { return std::vector{x * y}; });
  add("power", [](const Tensor& x, const Tensor&) { return std::vector{power(x, 2)}; });
  add("cast", [](const Tensor& x, const Tensor&) { return std::vector{cast(x, DType::int32)}; });
  add("equal", [](const Tensor& x, const Tensor& y) {
    return std::vector{Tensor::from(std::vector<std::uint8_t>{equal(x, y)}, {1})};
  });
  add("relu", [](const Tensor& x, const Tensor&) { return std::vector{relu(x)}; });
  add("relu_backward", [](const Tensor& x, const Tensor& y) { return std::vector{relu_backward(x, y)}; });
  add("count_nonzero", [](const Tensor& x, const Tensor&) {
    return std::vector{Tensor::from(std::vector<std::int64_t>{count_nonzero(x)}, {1})};
  });
  add("prune::magnitude", [](const Tensor& x, const Tensor&) { return std::vector{prune::magnitude(x, 0.4)}; });
  add("prune::global_magnitude", [](const Tensor& x, const Tensor& y) {
    const auto pruned = prune::global_magnitude({{"x", x}, {"y", y}}, 0.4);
    return std::vector{pruned[0].second, pruned[1].second};
  });
  add("topk", [](const Tensor& x, const Tensor&) {
    const Topk top = topk(x, 2);
    return std::vector{top.values, top.indices};
  });
  add("clone", [](const Tensor& x, const Tensor&) { return std::vector{x.clone()}; });
  all.push_back(
      {"matmul", "matmul " + std::string(to_string(dtype)) + " " + std::to_string(size.m), [=](const Device& device) {
         const Tensor x = dense(size.m, size.k, dtype, 1, device);
         const Tensor y = dense(size.k, size.n, dtype, 2, device);
         return Prepared{{x, y}, [=] { return std::vector{matmul(x, y)}; }};
       }});
  all.push_back(
      {"linear", "linear " + std::string(to_string(dtype)) + " " + std::to_string(size.m), [=](const Device& device) {
         const Tensor x = dense(size.m, size.k, dtype, 1, device);
         const Tensor w = dense(size.n, size.k, dtype, 2, device);
         const Tensor bias = vector_of(size.n, dtype, device);
         return Prepared{{x, w, bias}, [=] { return std::vector{linear(x, w, {.bias = &bias, .relu = true})}; }};
       }});
}

void add_sparse(std::vector<Scenario>& all, Size size, DType dtype, DType index) {
  const std::string suffix =
      " " + std::string(to_string(dtype)) + " " + std::string(to_string(index)) + " " + std::to_string(size.m);
  const auto add = [&](const char* op, const char* how, std::function<Prepared(const Device&)> prepare) {
    all.push_back({op, std::string(op) + suffix + how, std::move(prepare)});
  };
  const auto a = [=](const Device& device) { return sparse(size.m, size.k, dtype, index, device); };
  const auto b = [=](const Device& device) { return dense(size.k, size.n, dtype, 3, device); };
  const auto x = [=](const Device& device) { return dense(size.n, size.k, dtype, 4, device); };
  add("to_csr", "", [=](const Device& d) {
    const Tensor t = dense(size.m, size.k, dtype, 1, d);
    return Prepared{{t}, [=] { return arrays(to_csr(t, index)); }};
  });
  add("csr.to_dense", "", [=](const Device& d) {
    const Csr m = a(d);
    return Prepared{arrays(m), [=] { return std::vector{m.to_dense()}; }};
  });
  add("csr.to_coo", "", [=](const Device& d) {
    const Csr m = a(d);
    return Prepared{arrays(m), [=] { return std::vector{m.to_coo().rows()}; }};
  });
  add("coo.to_csr", "", [=](const Device& d) {
    const Coo m = a(cpu_device).to_coo().to(d);
    return Prepared{{m.rows(), m.columns(), m.values()}, [=] { return arrays(m.to_csr()); }};
  });
  add("csr", "", [=](const Device& d) {
    const Csr m = a(d);
    return Prepared{arrays(m), [=] { return arrays(Csr(m.row_offsets(), m.columns(), m.values(), m.shape())); }};
  });
  add("plan", "", [=](const Device& d) {
    const Csr m = a(d);
    return Prepared{arrays(m), [=] { return std::vector{Plan(m, size.n).matrix().values()}; }};
  });
  add("update_values", "", [=](const Device& d) {
    const Csr m = a(d);
    const auto plan = std::make_shared<Plan>(m, size.n);
    return Prepared{arrays(m), [=] {
                      plan->update_values(m.values());
                      return std::vector{plan->matrix().values()};
                    }};
  });
  add("spmm", "", [=](const Device& d) {
    const Csr m = a(d);
    const Tensor y = b(d);
    const auto out = std::make_shared<Tensor>(dense(size.m, size.n, dtype, 7, d));
    const Tensor before = out->clone();
    return Prepared{{m.row_offsets(), m.columns(), m.values(), y, *out},
                    [=] { return std::vector{spmm(m, y, {.alpha = 2, .beta = 1, .out = out.get()})}; },
                    [=] {
                      copy_bytes(out->mutable_data(), d, before.data(), d, static_cast<std::size_t>(out->nbytes()),
                                 Stream(d));
                    }};
  });
  add("spmm", " plan", [=](const Device& d) {
    const Csr m = a(d);
    const Plan plan(m, size.n);
    const Tensor y = b(d);
    const Tensor bias = vector_of(size.m, dtype, d);
    return Prepared{{m.values(), y, bias}, [=] { return std::vector{spmm(plan, y, {.bias = &bias, .relu = true})}; }};
  });
  add("linear", "", [=](const Device& d) {
    const Csr m = a(d);
    const Tensor y = x(d);
    return Prepared{{m.values(), y}, [=] { return std::vector{linear(y, m)}; }};
  });
}

}  // namespace

std::vector<Scenario> scenarios() {
  std::vector<Scenario> all;
  for (const Size size : kSizes) {
    for (const DType dtype : kFloats) {
      add_dense(all, size, dtype);
      for (const DType index : kIndices) add_sparse(all, size, dtype, index);
    }
  }
  return all;
}

std::vector<std::vector<std::byte>> contents(const std::vector<Tensor>& tensors) {
  std::vector<std::vector<std::byte>> all;
  for (const Tensor& tensor : tensors) {
    const Tensor host = tensor.cpu();
    std::vector<std::byte> bytes(static_cast<std::size_t>(host.nbytes()));
    if (!bytes.empty()) std::memcpy(bytes.data(), host.data(), bytes.size());
    all.push_back(std::move(bytes));
  }
  return all;
}

}  // namespace sparsert::test
