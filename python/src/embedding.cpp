// python/src/embedding.cpp — embedding bags, and features from text and triples.
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <string_view>
#include <tuple>
#include <vector>

#include "sparse.hpp"

namespace sparsert::python {
namespace {

class BagModeName : public nb::object {
  NB_OBJECT_DEFAULT(BagModeName, nb::object, "sparsert.typing.BagMode", any_object)
};

BagMode as_mode(const char* op, nb::handle object) {
  const auto name =
      PyUnicode_Check(object.ptr()) ? nb::cast<std::string>(object) : nb::cast<std::string>(nb::repr(object));
  if (name == "sum") return BagMode::sum;
  if (name == "mean") return BagMode::mean;
  if (name == "max") return BagMode::max;
  throw Error(ErrorCode::invalid_argument, std::string(op) + ": mode is " + name + ", expected sum, mean or max");
}

/// What both functions are given.
struct BagArguments {
  Tensor table;
  Indices indices;
  Indices offsets;
  BagMode mode;
  std::optional<Tensor> weight;

  BagArguments(const char* op, const ArrayLike& t, const ArrayLike& i, const ArrayLike& o, const BagModeName& m,
               const std::optional<ArrayLike>& w)
      : table(as_tensor(op, "table", t)),
        indices(import_indices(op, "indices", i)),
        offsets(import_indices(op, "offsets", o)),
        mode(as_mode(op, m)) {
    if (w) weight = as_tensor(op, "weights", *w);
    settle_indices(indices, offsets, table.shape());
  }

  const Tensor* weights() const { return weight ? &*weight : nullptr; }
};

Tensor embedding_bag_of(const ArrayLike& table, const ArrayLike& indices, const ArrayLike& offsets,
                        const BagModeName& mode, const std::optional<ArrayLike>& weights) {
  const BagArguments args("embedding_bag", table, indices, offsets, mode, weights);
  return unlocked(
      [&] { return embedding_bag(args.table, args.indices.tensor, args.offsets.tensor, args.mode, args.weights()); });
}

std::tuple<Tensor, Tensor> embedding_bag_backward_of(const ArrayLike& grad, const ArrayLike& table,
                                                     const ArrayLike& indices, const ArrayLike& offsets,
                                                     const BagModeName& mode, const std::optional<ArrayLike>& weights) {
  const BagArguments args("embedding_bag_backward", table, indices, offsets, mode, weights);
  const Tensor gradient = as_tensor("embedding_bag_backward", "grad", grad);
  RowGradient result = unlocked([&] {
    return embedding_bag_backward(gradient, args.table, args.indices.tensor, args.offsets.tensor, args.mode,
                                  args.weights());
  });
  return {std::move(result.rows), std::move(result.values)};
}

std::vector<std::string_view> views_of(const std::vector<std::string>& texts) { return {texts.begin(), texts.end()}; }

std::tuple<Csr, std::vector<std::string>> bag_of_words_of(const std::vector<std::string>& texts,
                                                          const std::optional<std::vector<std::string>>& vocabulary) {
  features::BagOfWords bag = unlocked([&] {
    const auto views = views_of(texts);
    return vocabulary ? features::bag_of_words(views, *vocabulary) : features::bag_of_words(views);
  });
  return {std::move(bag.counts), std::move(bag.vocabulary)};
}

Csr from_triples_of(const ArrayLike& rows, const ArrayLike& columns, const ArrayLike& values,
                    const std::optional<ShapeLike>& shape) {
  Indices row = import_indices("from_triples", "rows", rows);
  Indices column = import_indices("from_triples", "columns", columns);
  const Tensor value = as_tensor("from_triples", "values", values);
  Shape sizes = shape ? as_shape("from_triples", *shape) : Shape{};
  settle_indices(row, column, sizes);
  return unlocked([&] { return features::from_triples(row.tensor, column.tensor, value, std::move(sizes)); });
}

}  // namespace

void bind_embedding(nb::module_& module) {
  module.def(
      "embedding_bag", &embedding_bag_of, nb::arg("table"), nb::arg("indices"), nb::arg("offsets"),
      nb::arg("mode") = "sum", nb::arg("weights") = nb::none(),
      "For each bag the sum, mean or largest (\"sum\", \"mean\", \"max\") of the table's rows that its indices "
      "name.\n\n"
      "`offsets` (bags) is where each bag begins among `indices` (n); the last ends at n. `weights` (n) multiply the\n"
      "rows of a sum. The result is (bags, dim); an empty bag gives 0. ValueError for an index outside the table.");
  module.def("embedding_bag_backward", &embedding_bag_backward_of, nb::arg("grad"), nb::arg("table"),
             nb::arg("indices"), nb::arg("offsets"), nb::arg("mode") = "sum", nb::arg("weights") = nb::none(),
             "The table's gradient from that of the result: the rows that bags named (u), ascending, and their "
             "gradients (u, dim).");
  module.def("features_bag_of_words", &bag_of_words_of, nb::arg("texts"), nb::arg("vocabulary") = nb::none());
  module.def(
      "features_hashing",
      [](const std::vector<std::string>& texts, std::int64_t size) {
        return unlocked([&] { return features::hashing(views_of(texts), size); });
      },
      nb::arg("texts"), nb::arg("size"));
  module.def("features_from_triples", &from_triples_of, nb::arg("rows"), nb::arg("columns"), nb::arg("values"),
             nb::arg("shape") = nb::none());
}

}  // namespace sparsert::python
