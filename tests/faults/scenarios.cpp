// tests/faults/scenarios.cpp — the operations that the campaigns of faults disturb.
#include "tests/faults/scenarios.hpp"

#include <cstring>
#include <utility>

#include "tests/faults/scenario_support.hpp"

namespace sparsert::test {
namespace {

using equivalence::make_values;
using equivalence::Values;

constexpr Size kSizes[] = {{3, 5, 4}, {33, 70, 19}, {1, 2, 1}, {5, 130, 33}};
constexpr DType kFloats[] = {DType::float32, DType::float64, DType::float16, DType::bfloat16};
constexpr DType kIndices[] = {DType::int32, DType::int64};

void add_dense(std::vector<Scenario>& all, Size size, DType dtype) {
  const auto add = [&](const char* op, auto compute) {
    all.push_back({op, std::string(op) + " " + std::string(to_string(dtype)) + " " + std::to_string(size.m),
                   [=](const Device& device) {
                     const Tensor x = dense(size.m, size.k, dtype, 1, device);
                     const Tensor y = dense(size.m, size.k, dtype, 2, device);
                     return prepared({x, y}, [=] { return compute(x, y); });
                   }});
  };
  add("add", [](const Tensor& x, const Tensor& y) { return x + y; });
  add("multiply", [](const Tensor& x, const Tensor& y) { return x * y; });
  add("power", [](const Tensor& x, const Tensor&) { return power(x, 2); });
  add("cast", [](const Tensor& x, const Tensor&) { return cast(x, DType::int32); });
  add("equal", [](const Tensor& x, const Tensor& y) { return equal(x, y); });
  add("relu", [](const Tensor& x, const Tensor&) { return relu(x); });
  add("relu_backward", [](const Tensor& x, const Tensor& y) { return relu_backward(x, y); });
  add("count_nonzero", [](const Tensor& x, const Tensor&) { return count_nonzero(x); });
  add("prune::magnitude", [](const Tensor& x, const Tensor&) { return prune::magnitude(x, 0.4); });
  add("topk", [](const Tensor& x, const Tensor&) { return topk(x, 2); });
  add("clone", [](const Tensor& x, const Tensor&) { return x.clone(); });
  const std::string suffix = " " + std::string(to_string(dtype)) + " " + std::to_string(size.m);
  all.push_back({"prune::global_magnitude", "prune::global_magnitude" + suffix, [=](const Device& device) {
                   const Tensor x = dense(size.m, size.k, dtype, 1, device);
                   const prune::NamedTensors named{{"x", x}, {"y", dense(size.m, size.k, dtype, 2, device)}};
                   return prepared({x, named[1].second}, [=] { return prune::global_magnitude(named, 0.4); });
                 }});
  all.push_back({"matmul", "matmul" + suffix, [=](const Device& device) {
                   const Tensor x = dense(size.m, size.k, dtype, 1, device);
                   const Tensor y = dense(size.k, size.n, dtype, 2, device);
                   return prepared({x, y}, [=] { return matmul(x, y); });
                 }});
  all.push_back({"linear", "linear" + suffix, [=](const Device& device) {
                   const Tensor x = dense(size.m, size.k, dtype, 1, device);
                   const Tensor w = dense(size.n, size.k, dtype, 2, device);
                   const Tensor bias = vector_of(size.n, dtype, device);
                   return prepared({x, w, bias}, [=] { return linear(x, w, {.bias = &bias, .relu = true}); });
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
    return prepared({t}, [=] { return to_csr(t, index); });
  });
  add("csr.to_dense", "", [=](const Device& d) {
    const Csr m = a(d);
    return prepared(tensors_of(m), [=] { return m.to_dense(); });
  });
  add("csr.to_coo", "", [=](const Device& d) {
    const Csr m = a(d);
    return prepared(tensors_of(m), [=] { return m.to_coo(); });
  });
  add("coo.to_csr", "", [=](const Device& d) {
    const Coo m = a(cpu_device).to_coo().to(d);
    return prepared({m.rows(), m.columns(), m.values()}, [=] { return m.to_csr(); });
  });
  add("csr", "", [=](const Device& d) {
    const Csr m = a(d);
    const auto shape = std::make_shared<Shape>(m.shape());
    Prepared made =
        prepared(tensors_of(m), [=] { return Csr(m.row_offsets(), m.columns(), m.values(), std::move(*shape)); });
    made.reset = [=] { *shape = {m.rows(), m.cols()}; };
    return made;
  });
  add("plan", "", [=](const Device& d) {
    const Csr m = a(d);
    return prepared(tensors_of(m), [=] { return Plan(m, size.n); });
  });
  add("update_values", "", [=](const Device& d) {
    const Csr m = a(d);
    const auto plan = std::make_shared<Plan>(m, size.n);
    Prepared made = prepared(tensors_of(m), [=] {
      plan->update_values(m.values());
      return true;
    });
    made.results = [=] { return std::vector{plan->matrix().values()}; };
    return made;
  });
  add("spmm", "", [=](const Device& d) {
    const Csr m = a(d);
    const Tensor y = b(d);
    const auto out = std::make_shared<Tensor>(dense(size.m, size.n, dtype, 7, d));
    const Tensor before = out->clone();
    Prepared made = prepared({m.row_offsets(), m.columns(), m.values(), y, *out},
                             [=] { return spmm(m, y, {.alpha = 2, .beta = 1, .out = out.get()}); });
    made.reset = [=] {
      copy_bytes(out->mutable_data(), d, before.data(), d, static_cast<std::size_t>(out->nbytes()), Stream(d));
    };
    return made;
  });
  add("spmm", " plan", [=](const Device& d) {
    const Csr m = a(d);
    const Plan plan(m, size.n);
    const Tensor y = b(d);
    const Tensor bias = vector_of(size.m, dtype, d);
    return prepared({m.values(), y, bias}, [=] { return spmm(plan, y, {.bias = &bias, .relu = true}); });
  });
  add("linear", "", [=](const Device& d) {
    const Csr m = a(d);
    const Tensor y = x(d);
    return prepared({m.values(), y}, [=] { return linear(y, m); });
  });
}

}  // namespace

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

std::vector<Scenario> scenarios() {
  std::vector<Scenario> all;
  for (const Size size : kSizes) {
    for (const DType dtype : kFloats) {
      add_dense(all, size, dtype);
      for (const DType index : kIndices) add_sparse(all, size, dtype, index);
    }
  }
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    for (const DType index : kIndices) {
      add_linalg_scenarios(all, {6, 9, 4}, dtype, index);
      add_training_scenarios(all, dtype, index);
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
