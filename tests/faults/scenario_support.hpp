// tests/faults/scenario_support.hpp — operands of scenarios, and how a result is kept until it is looked at.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include "tests/faults/scenarios.hpp"

namespace sparsert::test {

struct Size {
  std::int64_t m;
  std::int64_t k;
  std::int64_t n;
};

inline Tensor dense(std::int64_t rows, std::int64_t cols, DType dtype, std::uint64_t seed, const Device& device) {
  return equivalence::make_values(equivalence::Values::small_integers, {rows, cols}, dtype, seed).to(device);
}

inline Tensor vector_of(std::int64_t n, DType dtype, const Device& device) {
  return equivalence::make_values(equivalence::Values::normal, {n}, dtype, 5).to(device);
}

/// A third of all places hold an entry.
Csr sparse(std::int64_t rows, std::int64_t cols, DType dtype, DType index, const Device& device);

template <class T>
Tensor scalar(T value) {
  return Tensor::from(std::vector<T>{value}, {1});
}

inline std::vector<Tensor> tensors_of(const Tensor& x) { return {x}; }
inline std::vector<Tensor> tensors_of(const Csr& a) { return {a.row_offsets(), a.columns(), a.values()}; }
inline std::vector<Tensor> tensors_of(const Coo& a) { return {a.rows(), a.columns(), a.values()}; }
inline std::vector<Tensor> tensors_of(const Csc& a) { return {a.col_offsets(), a.rows(), a.values()}; }
inline std::vector<Tensor> tensors_of(const Bsr& a) { return {a.row_offsets(), a.columns(), a.values()}; }
inline std::vector<Tensor> tensors_of(const Nm& a) { return {a.positions(), a.values()}; }
inline std::vector<Tensor> tensors_of(const Bitmap& a) { return {a.bits(), a.row_offsets(), a.values()}; }
inline std::vector<Tensor> tensors_of(const Topk& top) { return {top.values, top.indices}; }
inline std::vector<Tensor> tensors_of(const Plan& plan) { return {plan.matrix().values()}; }
inline std::vector<Tensor> tensors_of(const SpmmGradients& grads) { return {grads.values, grads.b}; }
inline std::vector<Tensor> tensors_of(const LinearGradients& grads) { return {grads.x, grads.w, grads.bias}; }
inline std::vector<Tensor> tensors_of(const SddmmGradients& grads) { return {grads.x, grads.y}; }
inline std::vector<Tensor> tensors_of(const RowGradient& grad) { return {grad.rows, grad.values}; }
inline std::vector<Tensor> tensors_of(const attention::AttendGradients& grads) { return {grads.q, grads.k, grads.v}; }
inline std::vector<Tensor> tensors_of(bool value) { return {scalar<std::uint8_t>(value)}; }
inline std::vector<Tensor> tensors_of(std::int64_t value) { return {scalar(value)}; }
inline std::vector<Tensor> tensors_of(const prune::NamedTensors& named) {
  std::vector<Tensor> all;
  for (const auto& [name, tensor] : named) all.push_back(tensor);
  return all;
}

/// What `compute` returns is kept without an allocation, and looked at later.
template <class Compute>
Prepared prepared(std::vector<Tensor> inputs, Compute compute) {
  const auto result = std::make_shared<std::optional<std::invoke_result_t<Compute>>>();
  return {std::move(inputs), [=] { *result = compute(); },
          [=] {
            std::vector<Tensor> tensors;
            if (*result) tensors = tensors_of(**result);
            result->reset();
            return tensors;
          }};
}

/// Adds scenarios of one dtype and index type.
struct ScenarioAdder {
  std::vector<Scenario>& all;
  DType dtype;
  DType index;

  void add(const char* op, std::function<Prepared(const Device&)> prepare, const char* how = "") const {
    const std::string suffix = " " + std::string(to_string(dtype)) + " " + std::string(to_string(index));
    all.push_back({op, std::string(op) + suffix + how, std::move(prepare)});
  }
};

/// Formats, linear algebra and reductions.
void add_linalg_scenarios(std::vector<Scenario>& all, Size size, DType dtype, DType index);

/// Pruning, activations, gradients, embeddings and attention.
void add_training_scenarios(std::vector<Scenario>& all, DType dtype, DType index);

}  // namespace sparsert::test
