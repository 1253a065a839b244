// sparsert/advise.hpp — does sparsity pay here? Measured on this machine, for this matrix and width.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sparsert/linalg.hpp"

namespace sparsert {

/// What a product costs with the matrix in one format.
struct AdviceCandidate {
  std::string format;      ///< "dense", "csr", "bsr", "bitmap", "nm"
  double seconds = 0;      ///< the least of several products; below 0: not measured, and `note` says why
  std::int64_t bytes = 0;  ///< of the matrix in this format
  std::string note;        ///< "with a plan", "blocks of 4x4", "2:4"
};

struct Advice {
  std::string choice;                       ///< the format of the fastest candidate
  std::vector<AdviceCandidate> candidates;  ///< fastest first, then what was not measured
  std::vector<std::string> reasons;  ///< in words: how much faster, where dense would win, what it costs in bytes
  bool densify = false;  ///< a single product, nothing prepared: is it faster made dense first? `matmul` asks this
  bool cached = false;   ///< taken from the file, not measured now
};

/// Multiplies `a` by a dense matrix with `n` columns in every format, on a's device, for about half a second, and says
/// which is fastest. All give the same bits. What was measured is kept in `advice_file()`, for this processor, number
/// of threads, shape, density and dtype; `measure_again` does not look there.
/// Throws `Error{invalid_argument}` for n < 1 or a matrix that is not floating.
Advice advise(const Csr& a, std::int64_t n, bool measure_again = false, const Stream& stream = {});

/// Where advice is kept between runs: `advice.json` in SPARSERT_CACHE_DIR, or in `sparsert` within XDG_CACHE_HOME or
/// ~/.cache. It may be deleted at any time; empty where there is no such folder. A file that is damaged counts as none.
std::string advice_file();

/// A·B: `spmm`, or, where advice for a matrix like this says so, the product of the matrix made dense; never with
/// another bit, since that is only done where B is finite.
Tensor matmul(const Csr& a, const Tensor& b, const MatmulOptions& options = {}, const Stream& stream = {});

}  // namespace sparsert
