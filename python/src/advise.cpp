// python/src/advise.cpp — does sparsity pay here?
#include <nanobind/stl/vector.h>

#include "sparse.hpp"

namespace sparsert::python {
namespace {

/// {format: value} in the order of the candidates; `value` gives an object, or nothing for those left out.
template <class Value>
nb::dict by_format(const Advice& advice, Value value) {
  nb::dict dict;
  for (const AdviceCandidate& c : advice.candidates) {
    if (const nb::object object = value(c); object.is_valid()) dict[c.format.c_str()] = object;
  }
  return dict;
}

Advice advise_of(const Convertible& a, std::int64_t n, bool measure_again) {
  std::optional<Csr> csr = csr_of(a);
  if (!csr) {
    const Tensor dense = as_tensor("advise", "a", a);
    csr = unlocked([&] { return to_csr(dense); });
  }
  return unlocked([&] { return advise(*csr, n, measure_again); });
}

}  // namespace

void bind_advise(nb::module_& module) {
  nb::class_<Advice>(module, "Advice", "What a product costs in each format on this machine, and which to choose.")
      .def_ro("choice", &Advice::choice, "\"dense\", \"csr\", \"bsr\", \"bitmap\" or \"nm\": the fastest.")
      .def_ro("reasons", &Advice::reasons, "In words.")
      .def_ro("cached", &Advice::cached, "Taken from the file, not measured now.")
      .def_ro("densify", &Advice::densify,
              "A single product, nothing prepared: is it faster made dense first? `matmul` asks this.")
      .def_prop_ro(
          "seconds",
          [](const Advice& a) {
            return by_format(a, [](const AdviceCandidate& c) {
              return c.seconds < 0 ? nb::object() : nb::object(nb::float_(c.seconds));
            });
          },
          nb::sig("def seconds(self) -> dict[str, float]"), "Of each format measured: the least of several products.")
      .def_prop_ro(
          "nbytes",
          [](const Advice& a) {
            return by_format(a, [](const AdviceCandidate& c) {
              return c.seconds < 0 ? nb::object() : nb::object(nb::int_(c.bytes));
            });
          },
          nb::sig("def nbytes(self) -> dict[str, int]"), "Of the matrix in each format, its plan included.")
      .def("__repr__", [](const Advice& a) {
        return "Advice(choice='" + a.choice + "', " + (a.reasons.empty() ? "" : a.reasons.front()) + ")";
      });
  module.def(
      "advise", &advise_of, nb::arg("a"), nb::arg("n") = 64, nb::arg("measure_again") = false,
      "Multiplies `a` by a dense matrix with `n` columns in every format for about half a second, and says which\n"
      "is fastest and why. All give the same bits. Kept in `advice_file()` for this processor, shape and density.");
  module.def("advice_file", &advice_file,
             "Where advice is kept between runs; it may be deleted at any time. SPARSERT_CACHE_DIR moves it.");
}

}  // namespace sparsert::python
