// tests/faults/training_scenarios.cpp — pruning, sparse activations, gradients, embeddings and attention.
#include <memory>
#include <vector>

#include "tests/faults/scenario_support.hpp"

namespace sparsert::test {
namespace {

using equivalence::make_values;
using equivalence::Values;

struct Adder : ScenarioAdder {
  /// An operation on one matrix; `compute` takes it.
  template <class Compute>
  void add_unary(const char* op, Compute compute, const char* how = "") const {
    add(
        op,
        [type = dtype, compute](const Device& d) {
          const Tensor x = dense(6, 8, type, 1, d);
          return prepared({x}, [=] { return compute(x); });
        },
        how);
  }
};

void add_pruning(const Adder& to) {
  to.add_unary(
      "prune::magnitude", [](const Tensor& x) { return prune::magnitude(x, 0.4, prune::Group::row); }, " row");
  to.add_unary("prune::random", [](const Tensor& x) { return prune::random(x, 0.4, 7); });
  to.add_unary("prune::n_m", [](const Tensor& x) { return prune::n_m(x, 2, 4); });
  to.add_unary("prune::block_norms", [](const Tensor& x) { return prune::block_norms(x, {2, 4}); });
  to.add_unary("prune::block", [](const Tensor& x) { return prune::block(x, {2, 4}, 0.5); });
  to.add_unary("prune::structured", [](const Tensor& x) { return prune::structured(x, 0.5); });
  to.add_unary("prune::kept_slices", [](const Tensor& x) { return prune::kept_slices(x, 0.5); });
  to.add_unary("prune::soft_threshold", [](const Tensor& x) { return prune::soft_threshold(x, 1.5); });
  to.add_unary("prune::hard_threshold", [](const Tensor& x) { return prune::hard_threshold(x, 1.5); });
  to.add_unary("prune::group_soft_threshold", [](const Tensor& x) { return prune::group_soft_threshold(x, 1.5); });
  to.add("prune::global_block", [to](const Device& d) {
    const prune::NamedTensors named{{"x", dense(6, 8, to.dtype, 1, d)}, {"y", dense(4, 4, to.dtype, 2, d)}};
    return prepared({named[0].second, named[1].second}, [=] { return prune::global_block(named, {2, 4}, 0.5); });
  });
  to.add("prune::take", [to](const Device& d) {
    const Tensor x = dense(6, 8, to.dtype, 1, d);
    const Tensor rows = Tensor::from(std::vector<std::int64_t>{4, 0, 2}, {3}, d);
    return prepared({x, rows}, [=] { return prune::take(x, rows); });
  });
  to.add("prune::wanda", [to](const Device& d) {
    const Tensor x = dense(6, 8, to.dtype, 1, d);
    const Tensor norms = Tensor::from(std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8}, {8}, d);
    return prepared({x, norms}, [=] { return prune::wanda(x, norms, 0.5); });
  });
}

void add_activations(const Adder& to) {
  const SparseReluOptions options{.index_dtype = to.index};
  to.add_unary("relu_to_csr", [options](const Tensor& x) { return relu_to_csr(x, options); });
  to.add_unary("relu_to_bitmap", [options](const Tensor& x) { return relu_to_bitmap(x, options); });
  to.add_unary("leaky_relu", [](const Tensor& x) { return leaky_relu(x); });
  to.add_unary("leaky_relu_backward", [](const Tensor& x) { return leaky_relu_backward(x, x); });
  to.add_unary("squared_relu", [](const Tensor& x) { return squared_relu(x); });
  to.add_unary("topk_activation", [](const Tensor& x) { return topk_activation(x, 2); });
  to.add(
      "relu_backward",
      [to, options](const Device& d) {
        const Tensor grad = dense(6, 8, to.dtype, 1, d);
        const Csr out = relu_to_csr(dense(6, 8, to.dtype, 2, d), options);
        return prepared({grad, out.values()}, [=] { return relu_backward(grad, out); });
      },
      " csr");
  to.add(
      "linear",
      [to, options](const Device& d) {
        const Csr x = relu_to_csr(dense(6, 8, to.dtype, 2, d), options);
        const Tensor w = dense(3, 8, to.dtype, 1, d);
        const Tensor bias = vector_of(3, to.dtype, d);
        return prepared({x.values(), w, bias}, [=] { return linear(x, w, {.bias = &bias}); });
      },
      " activation");
}

/// A compressor is made anew for every run: what it keeps of a step is part of the next one.
void add_gradients(const Adder& to) {
  using gradient::Compressor;
  using gradient::CompressorOptions;
  const auto add = [&to](const CompressorOptions& options, const char* how) {
    to.add(
        "gradient",
        [to, options](const Device& d) {
          const gradient::NamedTensors named{{"x", dense(6, 8, to.dtype, 1, d)}, {"y", dense(1, 4, to.dtype, 2, d)}};
          const auto compressor = std::make_shared<Compressor>(options);
          const auto packet = std::make_shared<std::optional<gradient::Packet>>();
          Prepared made;
          made.inputs = {named[0].second, named[1].second};
          made.run = [=] { *packet = compressor->compress(named); };
          made.results = [=] {
            std::vector<Tensor> tensors;
            if (*packet) tensors = tensors_of((*packet)->decompress());
            packet->reset();
            *compressor = Compressor(options);
            return tensors;
          };
          return made;
        },
        how);
    to.all.back().idle_kernels_fail = true;
  };
  add({.ratio = 0.25}, "");
  add({.ratio = 0.25, .momentum = 0.9}, " momentum");
  add({.ratio = 0.25, .scope = gradient::Scope::global}, " global");
  add({.ratio = 0.25, .selection = gradient::Selection::random}, " random");
  add({.selection = gradient::Selection::threshold, .threshold = 1.5}, " threshold");
}

void add_packets(const Adder& to) {
  to.add("gradient.decompress", [to](const Device& d) {
    const gradient::NamedTensors named{{"x", dense(6, 8, to.dtype, 1, cpu_device)}};
    const auto packet = std::make_shared<gradient::Packet>(gradient::Compressor({.ratio = 0.25}).compress(named));
    return prepared({}, [=] { return packet->decompress(d); });
  });
}

void add_dynamic(const Adder& to) {
  using prune::DynamicSparse;
  const prune::DynamicOptions options{.index_dtype = to.index};
  // What is made is looked at where it is: a copy would allocate too.
  to.add("prune::DynamicSparse", [=](const Device& d) {
    const Tensor w = dense(6, 8, to.dtype, 1, d);
    const auto made = std::make_shared<std::optional<DynamicSparse>>();
    return Prepared{{w},
                    [=] { made->emplace(w, 0.4, options); },
                    [=] {
                      const auto tensors = *made ? tensors_of((*made)->weight()) : std::vector<Tensor>{};
                      made->reset();
                      return tensors;
                    }};
  });
  to.add(
      "prune::DynamicSparse",
      [=](const Device& d) {
        const Tensor grad = dense(6, 8, to.dtype, 2, d);
        const auto moving = std::make_shared<DynamicSparse>(dense(6, 8, to.dtype, 1, d), 0.4, options);
        const DynamicSparse before = *moving;
        const Csr first = before.weight();
        return Prepared{{grad, first.row_offsets(), first.columns(), first.values()},
                        [=] { moving->step(grad); },
                        [=] {
                          auto tensors = tensors_of(moving->weight());
                          *moving = before;
                          return tensors;
                        }};
      },
      " step");
}

void add_low_rank(const Adder& to) {
  if (lapack_library().empty()) return;
  const LowRankOptions options{.rank = 2};
  const auto made = [to](const Device& d) { return dense(6, 8, to.dtype, 1, d); };
  to.add("lowrank", [=](const Device& d) {
    const Tensor x = made(d);
    return prepared({x}, [=] { return lowrank(x, options).v; });
  });
  to.add("lowrank_sparse", [=](const Device& d) {
    const Tensor x = made(d);
    return prepared({x}, [=] { return lowrank_sparse(x, options, 0.5, 2).sparse; });
  });
}

void add_embeddings(const Adder& to) {
  for (const BagMode mode : {BagMode::sum, BagMode::mean, BagMode::max}) {
    const char* const how = mode == BagMode::sum ? " sum" : mode == BagMode::mean ? " mean" : " max";
    const auto indices = [to](const Device& d) {
      return cast(Tensor::from(std::vector<std::int64_t>{3, 1, 4, 1, 5}, {5}), to.index).to(d);
    };
    const auto offsets = [to](const Device& d) {
      return cast(Tensor::from(std::vector<std::int64_t>{0, 2, 2}, {3}), to.index).to(d);
    };
    to.add(
        "embedding_bag",
        [=](const Device& d) {
          const Tensor table = dense(6, 4, to.dtype, 1, d);
          const Tensor which = indices(d);
          const Tensor begins = offsets(d);
          return prepared({table, which, begins}, [=] { return embedding_bag(table, which, begins, mode); });
        },
        how);
    to.add(
        "embedding_bag_backward",
        [=](const Device& d) {
          const Tensor table = dense(6, 4, to.dtype, 1, d);
          const Tensor grad = dense(3, 4, to.dtype, 2, d);
          const Tensor which = indices(d);
          const Tensor begins = offsets(d);
          return prepared({grad, table, which, begins},
                          [=] { return embedding_bag_backward(grad, table, which, begins, mode); });
        },
        how);
  }
}

Tensor heads(std::int64_t count, std::int64_t rows, DType dtype, std::uint64_t seed, const Device& d) {
  return make_values(Values::normal, {1, count, rows, 4}, dtype, seed).to(d);
}

void add_attention(const Adder& to) {
  // Without a mask one is made by the operation itself, with all that kernels read of it.
  to.add("attend", [to](const Device& d) {
    const Tensor q = heads(2, 5, to.dtype, 1, d);
    const Tensor k = heads(1, 7, to.dtype, 2, d);
    return prepared({q, k}, [=] { return attention::attend(q, k, k); });
  });
  to.add(
      "attend",
      [to](const Device& d) {
        const Tensor q = heads(2, 7, to.dtype, 1, d);
        const Tensor k = heads(1, 7, to.dtype, 2, d);
        const attention::Mask mask = attention::causal(7);
        const auto out = std::make_shared<Tensor>(heads(2, 7, to.dtype, 3, d));
        const Tensor before = out->clone();
        Prepared made = prepared({q, k, *out}, [=] { return attention::attend(q, k, k, mask, {.out = out.get()}); });
        made.reset = [=] {
          copy_bytes(out->mutable_data(), d, before.data(), d, static_cast<std::size_t>(out->nbytes()), Stream(d));
        };
        return made;
      },
      " causal");
  to.add("attend_backward", [to](const Device& d) {
    const Tensor q = heads(2, 5, to.dtype, 1, d);
    const Tensor k = heads(1, 7, to.dtype, 2, d);
    const Tensor grad = heads(2, 5, to.dtype, 3, d);
    return prepared({grad, q, k}, [=] { return attention::attend_backward(grad, q, k, k); });
  });
  to.add("weights", [to](const Device& d) {
    const Tensor q = dense(5, 4, to.dtype, 1, d);
    const Tensor k = dense(7, 4, to.dtype, 2, d);
    const Csr pattern = sparse(5, 7, to.dtype, to.index, d);
    return prepared({q, k}, [=] { return attention::weights(q, k, pattern); });
  });
}

}  // namespace

void add_training_scenarios(std::vector<Scenario>& all, DType dtype, DType index) {
  const Adder to{{all, dtype, index}};
  add_pruning(to);
  add_activations(to);
  add_gradients(to);
  add_packets(to);
  add_dynamic(to);
  add_low_rank(to);
  add_embeddings(to);
  add_attention(to);
}

}  // namespace sparsert::test
