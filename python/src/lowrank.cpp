// python/src/lowrank.cpp — a matrix as the product of two thin ones.
#include "bindings.hpp"

namespace sparsert::python {
namespace {

LowRankOptions options_of(const std::optional<std::int64_t>& rank, const std::optional<double>& energy,
                          const std::string& method, std::uint64_t seed) {
  require(method == "full" || method == "randomized",
          [&] { return "lowrank: method is " + method + ", expected full or randomized"; });
  return {rank, energy, method == "full" ? SvdMethod::full : SvdMethod::randomized, seed};
}

}  // namespace

void bind_lowrank(nb::module_& module) {
  nb::class_<LowRank>(module, "LowRank", "x as u @ v: u (m, rank) and v (rank, n).")
      .def_prop_ro("u", [](const LowRank& f) { return f.u; })
      .def_prop_ro("v", [](const LowRank& f) { return f.v; })
      .def_prop_ro(
          "singular_values", [](const LowRank& f) { return f.singular_values; }, "(rank), descending, float64.")
      .def_ro("error", &LowRank::error, "|x - u @ v| / |x|, Frobenius, of the factors as they are stored.")
      .def_prop_ro("rank", &LowRank::rank)
      .def_prop_ro("nbytes", &LowRank::nbytes, "Bytes of both factors.")
      .def_prop_ro("break_even_rank", &LowRank::break_even_rank,
                   "The highest rank at which the factors take less memory and less work than x.")
      .def("__repr__", [](const LowRank& f) {
        return "LowRank(rank=" + std::to_string(f.rank()) + ", error=" + std::to_string(f.error) + ")";
      });
  nb::class_<LowRankSparse>(module, "LowRankSparse", "x as u @ v + sparse.")
      .def_prop_ro("low_rank", [](const LowRankSparse& f) { return f.low_rank; })
      .def_prop_ro("sparse", [](const LowRankSparse& f) { return f.sparse; })
      .def_ro("error", &LowRankSparse::error, "|x - u @ v - sparse| / |x|.")
      .def_prop_ro("nbytes", &LowRankSparse::nbytes);
  module.def(
      "lowrank",
      [](const ArrayLike& x, std::optional<std::int64_t> rank, std::optional<double> energy, const std::string& method,
         std::uint64_t seed) {
        const Tensor tensor = as_tensor("lowrank", "x", x);
        const LowRankOptions options = options_of(rank, energy, method, seed);
        return unlocked([&] { return lowrank(tensor, options); });
      },
      nb::arg("x"), nb::arg("rank") = nb::none(), nb::arg("energy") = nb::none(), nb::kw_only(),
      nb::arg("method") = "full", nb::arg("seed") = 0,
      "The best approximation of a matrix by a rank, or by the smallest rank with a share of the sum of squared "
      "singular values.\n\n"
      "`method` is full (LAPACK's gesdd) or randomized (a sketch and two power iterations, for small ranks). Tensors "
      "on other\ndevices are brought to the CPU, and the factors sent back. ValueError for NaN or Inf; "
      "NotImplementedError where no\nLAPACK is found (OpenBLAS, MKL, or the file that SPARSERT_LAPACK names).");
  module.def(
      "lowrank_sparse",
      [](const ArrayLike& x, double amount, std::optional<std::int64_t> rank, std::optional<double> energy,
         int iterations, const std::string& method, std::uint64_t seed) {
        const Tensor tensor = as_tensor("lowrank_sparse", "x", x);
        const LowRankOptions options = options_of(rank, energy, method, seed);
        return unlocked([&] { return lowrank_sparse(tensor, options, amount, iterations); });
      },
      nb::arg("x"), nb::arg("amount"), nb::arg("rank") = nb::none(), nb::arg("energy") = nb::none(), nb::kw_only(),
      nb::arg("iterations") = 1, nb::arg("method") = "full", nb::arg("seed") = 0,
      "The same beside a sparse remainder, pruned to `amount` zeros by magnitude. More iterations fit each to what the "
      "other leaves.");
  module.def("lapack_library", &lapack_library, "The LAPACK that is used; empty where none is found.");
}

}  // namespace sparsert::python
