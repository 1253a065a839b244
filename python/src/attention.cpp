// python/src/attention.cpp — masks, and attention behind them. Their public names are in attention.py.
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <filesystem>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings.hpp"

namespace sparsert::python {
namespace {

using attention::Lengths;
using attention::Mask;
using attention::MaskOptions;
using Integers = std::vector<std::int64_t>;

/// Ids and tokens: a sequence of integers, or an array of them in one dimension.
Integers integers(const char* op, const char* argument, nb::handle object) {
  const Tensor tensor = cast(as_tensor(op, argument, object).cpu(), DType::int64);
  require(tensor.rank() == 1 || tensor.numel() == 0, [&] {
    return std::string(op) + ": " + argument + " has shape " + to_string(tensor.shape()) + ", expected one dimension";
  });
  const auto span = tensor.span<std::int64_t>();
  return {span.begin(), span.end()};
}

std::string repr(const Mask& mask) {
  const Lengths n = mask.lengths();
  return "Mask(shape=(" + std::to_string(n.query) + ", " + std::to_string(n.key) +
         "), heads=" + std::to_string(mask.heads()) + ", block_size=" + std::to_string(mask.block_size()) + ")";
}

void bind_mask(nb::module_& module) {
  nb::class_<Mask>(module, "Mask",
                   "Which keys each query sees, for all heads alike or for each its own. Immutable.\n\n"
                   "Masks are combined by `&`, `|` and `~`. A mask is kept as the expression it was made of; what is\n"
                   "computed of it (blocks, density, what kernels read) is computed when first asked for, and kept.")
      .def_prop_ro(
          "shape", [](const Mask& m) { return nb::make_tuple(m.lengths().query, m.lengths().key); },
          nb::sig("def shape(self) -> tuple[int, int]"), "(queries, keys).")
      .def_prop_ro("heads", &Mask::heads, "1: shared by all heads.")
      .def_prop_ro("block_size", &Mask::block_size, "16, 32, 64 or 128.")
      .def_prop_ro(
          "nnz", [](const Mask& m) { return unlocked([&] { return m.nnz(); }); },
          "Pairs seen, summed over the heads it holds.")
      .def_prop_ro(
          "density", [](const Mask& m) { return unlocked([&] { return m.density(); }); },
          "Pairs seen / (heads * queries * keys).")
      .def_prop_ro(
          "nbytes", [](const Mask& m) { return unlocked([&] { return m.nbytes(); }); },
          "Bytes of the expression, and of what was computed of it so far.")
      .def(
          "blocks",
          [](const Mask& m) {
            const attention::BlockCounts counts = unlocked([&] { return m.blocks(); });
            return std::tuple(counts.full, counts.partial, counts.empty);
          },
          "(full, partial, empty): blocks whose every pair is seen, some pairs, none.")
      .def("with_block_size", &Mask::with_block_size, nb::arg("block_size"),
           "The same mask in blocks of another size. The bits of attention do not depend on it.")
      .def("contains", &Mask::contains, nb::arg("query"), nb::arg("key"), nb::arg("head") = 0)
      .def(
          "to_csr",
          [](const Mask& m, const DTypeLike& dtype, std::int64_t head) {
            const DType type = as_dtype("to_csr", dtype);
            return unlocked([&] { return m.to_csr(type, head); });
          },
          nb::arg("dtype") = "float32", nb::arg("head") = 0, "One head's pairs, with values of 1.")
      .def(
          "to_bsr",
          [](const Mask& m, std::int64_t size, const DTypeLike& dtype, std::int64_t head) {
            const DType type = as_dtype("to_bsr", dtype);
            return unlocked([&] { return m.to_bsr(size, type, head); });
          },
          nb::arg("size") = 64, nb::arg("dtype") = "float32", nb::arg("head") = 0,
          "One head's pairs as blocks of `size` a side: 1 where a pair is seen, 0 where it is not.")
      .def(
          "to_dense", [](const Mask& m) { return unlocked([&] { return m.to_dense(); }); },
          "bool: (queries, keys), or (heads, queries, keys) for a mask of several heads.")
      .def(
          "to_svg",
          [](const Mask& m, std::int64_t head, std::int64_t cells) {
            return unlocked([&] { return m.to_svg(head, cells); });
          },
          nb::arg("head") = 0, nb::arg("cells") = 128, "A drawing at most `cells` cells wide and high.")
      .def(
          "to_text",
          [](const Mask& m, std::int64_t head, std::int64_t cells, bool unicode) {
            return unlocked([&] { return m.to_text(head, cells, unicode); });
          },
          nb::arg("head") = 0, nb::arg("cells") = 64, nb::arg("unicode") = true, "The drawing in characters.")
      .def("_repr_svg_", [](const Mask& m) { return unlocked([&] { return m.to_svg(); }); })
      .def(
          "save", [](const Mask& m, const std::filesystem::path& path) { unlocked([&] { m.save(path); }); },
          nb::arg("path"), "Writes safetensors: the expression. FileError.")
      .def(
          "__and__", [](const Mask& a, const Mask& b) { return a & b; }, nb::is_operator())
      .def(
          "__or__", [](const Mask& a, const Mask& b) { return a | b; }, nb::is_operator())
      .def("__invert__", [](const Mask& m) { return ~m; })
      .def("__repr__", &repr);
}

void bind_families(nb::module_& module) {
  const auto n = nb::arg("n");
  const auto options = [](std::int64_t offset, std::int64_t block_size) { return MaskOptions{offset, block_size}; };
  using Pair = std::pair<std::int64_t, std::int64_t>;
  const auto lengths = [](const Pair& pair) { return Lengths(pair.first, pair.second); };
  module.def(
      "mask_full",
      [=](const Pair& p, std::int64_t o, std::int64_t b) { return attention::full(lengths(p), options(o, b)); }, n,
      nb::arg("offset"), nb::arg("block_size"));
  module.def(
      "mask_causal",
      [=](const Pair& p, std::int64_t o, std::int64_t b) { return attention::causal(lengths(p), options(o, b)); }, n,
      nb::arg("offset"), nb::arg("block_size"));
  module.def(
      "mask_sliding_window",
      [=](const Pair& p, std::int64_t window, std::int64_t o, std::int64_t b) {
        return attention::sliding_window(lengths(p), window, options(o, b));
      },
      n, nb::arg("window"), nb::arg("offset"), nb::arg("block_size"));
  module.def(
      "mask_dilated",
      [=](const Pair& p, std::int64_t width, std::int64_t dilation, std::int64_t o, std::int64_t b) {
        return attention::dilated(lengths(p), width, dilation, options(o, b));
      },
      n, nb::arg("width"), nb::arg("dilation"), nb::arg("offset"), nb::arg("block_size"));
  module.def(
      "mask_strided",
      [=](const Pair& p, std::int64_t stride, std::int64_t o, std::int64_t b) {
        return attention::strided(lengths(p), stride, options(o, b));
      },
      n, nb::arg("stride"), nb::arg("offset"), nb::arg("block_size"));
  module.def(
      "mask_global_tokens",
      [=](const Pair& p, const ArrayLike& tokens, std::int64_t o, std::int64_t b) {
        return attention::global_tokens(lengths(p), integers("global_tokens", "tokens", tokens), options(o, b));
      },
      n, nb::arg("tokens"), nb::arg("offset"), nb::arg("block_size"));
  module.def(
      "mask_prefix_lm",
      [=](const Pair& p, std::int64_t prefix, std::int64_t o, std::int64_t b) {
        return attention::prefix_lm(lengths(p), prefix, options(o, b));
      },
      n, nb::arg("prefix"), nb::arg("offset"), nb::arg("block_size"));
  module.def(
      "mask_bigbird",
      [=](const Pair& p, std::int64_t window, std::int64_t global, std::int64_t random, std::uint64_t seed,
          std::int64_t o,
          std::int64_t b) { return attention::bigbird(lengths(p), window, global, random, seed, options(o, b)); },
      n, nb::arg("window"), nb::arg("global_"), nb::arg("random"), nb::arg("seed"), nb::arg("offset"),
      nb::arg("block_size"));
  module.def(
      "mask_longformer",
      [=](const Pair& p, std::int64_t window, const ArrayLike& tokens, std::int64_t o, std::int64_t b) {
        return attention::longformer(lengths(p), window, integers("longformer", "tokens", tokens), options(o, b));
      },
      n, nb::arg("window"), nb::arg("tokens"), nb::arg("offset"), nb::arg("block_size"));
}

void bind_arrays(nb::module_& module) {
  using Pair = std::pair<std::int64_t, std::int64_t>;
  module.def(
      "mask_block",
      [](const ArrayLike& layout, std::int64_t size, const std::optional<Pair>& n, std::int64_t block_size) {
        const Tensor tensor = as_tensor("block", "layout", layout);
        std::optional<Lengths> lengths;
        if (n) lengths.emplace(n->first, n->second);
        return unlocked([&] { return attention::block(tensor, size, lengths, {0, block_size}); });
      },
      nb::arg("layout"), nb::arg("size"), nb::arg("n"), nb::arg("block_size"));
  module.def(
      "mask_document",
      [](const ArrayLike& ids, const std::optional<ArrayLike>& key_ids, std::int64_t block_size) {
        const Integers queries = integers("document", "ids", ids);
        const Integers keys = key_ids ? integers("document", "key_ids", *key_ids) : queries;
        return unlocked([&] { return attention::document(queries, keys, {0, block_size}); });
      },
      nb::arg("ids"), nb::arg("key_ids"), nb::arg("block_size"));
  module.def(
      "mask_from_dense",
      [](const ArrayLike& dense, std::int64_t block_size) {
        const Tensor tensor = as_tensor("from_dense", "dense", dense);
        return unlocked([&] { return attention::from_dense(tensor, {0, block_size}); });
      },
      nb::arg("dense"), nb::arg("block_size"));
  module.def(
      "mask_from_csr",
      [](const Csr& csr, std::int64_t block_size) {
        return unlocked([&] { return attention::from_csr(csr, {0, block_size}); });
      },
      nb::arg("csr"), nb::arg("block_size"));
  module.def(
      "mask_topk",
      [](const ArrayLike& scores, std::int64_t k, std::int64_t block_size) {
        const Tensor tensor = as_tensor("topk", "scores", scores);
        return unlocked([&] { return attention::topk(tensor, k, {0, block_size}); });
      },
      nb::arg("scores"), nb::arg("k"), nb::arg("block_size"));
  module.def(
      "mask_per_head", [](const std::vector<Mask>& masks) { return attention::per_head(masks); }, nb::arg("masks"));
  module.def(
      "mask_load", [](const std::filesystem::path& path) { return unlocked([&] { return Mask::load(path); }); },
      nb::arg("path"));
}

/// The mask that was named, or one that hides nothing.
Mask mask_or_full(const char* op, const std::optional<Mask>& mask, const Tensor& q, const Tensor& k) {
  if (mask) return *mask;
  require(q.rank() == 4 && k.rank() == 4, [&] {
    return std::string(op) + ": q and k have shapes " + to_string(q.shape()) + " and " + to_string(k.shape()) +
           ", expected 4 dimensions";
  });
  return attention::full({q.size(2), k.size(2)});
}

nb::tuple attend_of(const ArrayLike& q, const ArrayLike& k, const ArrayLike& v, const std::optional<Mask>& mask,
                    const std::optional<double>& scale, const std::optional<ArrayLike>& bias,
                    const std::optional<Output>& out, const OrderName& order) {
  const Tensor query = as_tensor("attend", "q", q);
  const Tensor key = as_tensor("attend", "k", k);
  const Tensor value = as_tensor("attend", "v", v);
  const Mask behind = mask_or_full("attend", mask, query, key);
  std::optional<Tensor> bias_tensor;
  std::optional<Tensor> out_tensor;
  if (bias) bias_tensor = as_tensor("attend", "bias", *bias);
  if (out) out_tensor = as_output("attend", "out", *out);
  Tensor log_sum_exp;
  attention::AttendOptions options;
  options.scale = scale;
  options.bias = bias_tensor ? &*bias_tensor : nullptr;
  options.out = out_tensor ? &*out_tensor : nullptr;
  options.log_sum_exp = &log_sum_exp;
  options.order = as_order("attend", order);
  Tensor result = unlocked([&] { return attention::attend(query, key, value, behind, options); });
  return nb::make_tuple(out ? nb::object(*out) : nb::cast(std::move(result)), std::move(log_sum_exp));
}

nb::tuple attend_backward_of(const ArrayLike& grad, const ArrayLike& q, const ArrayLike& k, const ArrayLike& v,
                             const std::optional<Mask>& mask, const std::optional<double>& scale,
                             const std::optional<ArrayLike>& bias, const OrderName& order) {
  const Tensor gradient = as_tensor("attend_backward", "grad", grad);
  const Tensor query = as_tensor("attend_backward", "q", q);
  const Tensor key = as_tensor("attend_backward", "k", k);
  const Tensor value = as_tensor("attend_backward", "v", v);
  const Mask behind = mask_or_full("attend_backward", mask, query, key);
  std::optional<Tensor> bias_tensor;
  if (bias) bias_tensor = as_tensor("attend_backward", "bias", *bias);
  attention::AttendBackwardOptions options;
  options.scale = scale;
  options.bias = bias_tensor ? &*bias_tensor : nullptr;
  options.order = as_order("attend_backward", order);
  attention::AttendGradients gradients =
      unlocked([&] { return attention::attend_backward(gradient, query, key, value, behind, options); });
  return nb::make_tuple(std::move(gradients.q), std::move(gradients.k), std::move(gradients.v));
}

}  // namespace

void bind_attention(nb::module_& module) {
  bind_mask(module);
  bind_families(module);
  bind_arrays(module);
  module.def(
      "attend", &attend_of, nb::arg("q"), nb::arg("k"), nb::arg("v"), nb::arg("mask").none(), nb::arg("scale").none(),
      nb::arg("bias").none(), nb::arg("out").none(), nb::arg("order"),
      nb::sig("def attend(q: sparsert.typing.ArrayLike, k: sparsert.typing.ArrayLike, v: sparsert.typing.ArrayLike, "
              "mask: Mask | None, scale: float | None, bias: sparsert.typing.ArrayLike | None, "
              "out: sparsert.typing.Output | None, order: sparsert.typing.Order) -> tuple[typing.Any, Tensor]"));
  module.def(
      "attend_backward", &attend_backward_of, nb::arg("grad"), nb::arg("q"), nb::arg("k"), nb::arg("v"),
      nb::arg("mask").none(), nb::arg("scale").none(), nb::arg("bias").none(), nb::arg("order"),
      nb::sig(
          "def attend_backward(grad: sparsert.typing.ArrayLike, q: sparsert.typing.ArrayLike, "
          "k: sparsert.typing.ArrayLike, v: sparsert.typing.ArrayLike, mask: Mask | None, scale: float | None, "
          "bias: sparsert.typing.ArrayLike | None, order: sparsert.typing.Order) -> tuple[Tensor, Tensor, Tensor]"));
  module.def(
      "attention_weights",
      [](const ArrayLike& q, const ArrayLike& k, const Csr& pattern, const std::optional<double>& scale) {
        const Tensor query = as_tensor("weights", "q", q);
        const Tensor key = as_tensor("weights", "k", k);
        return unlocked([&] { return attention::weights(query, key, pattern, scale); });
      },
      nb::arg("q"), nb::arg("k"), nb::arg("pattern"), nb::arg("scale").none());
}

}  // namespace sparsert::python
