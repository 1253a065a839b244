// tools/verify/gradient_cases.cpp — compressed gradients: what is sent, what is kept, over a few steps.
#include "tools/verify/grid.hpp"

namespace sparsert::verify {
namespace {

using gradient::CompressorOptions;
using gradient::Selection;

const char* name_of(Selection selection) {
  switch (selection) {
    case Selection::topk: return "gradient.TopK ";
    case Selection::threshold: return "gradient.threshold ";
    case Selection::random: return "gradient.random ";
  }
  return "gradient ";
}

void add_case(std::vector<Case>& grid, std::int64_t n, DType dtype, equivalence::Values kind,
              CompressorOptions options) {
  options.non_finite = gradient::NonFinite::skip;
  grid.push_back({name_of(options.selection) + std::string(to_string(dtype)) + " n " + std::to_string(n) + " wire " +
                      std::string(to_string(options.wire)) + (options.momentum > 0 ? " momentum " : " ") +
                      to_string(kind),
                  [=](const Device& device) {
                    gradient::Compressor compressor(options);
                    std::vector<Tensor> results;
                    for (std::uint64_t step = 0; step < 2; ++step) {
                      const Tensor grad = equivalence::make_values(kind, {n}, dtype, step).to(device);
                      const gradient::Packet packet = compressor.compress({{"w", grad}});
                      results.push_back(packet.decompress()[0].second);
                    }
                    results.push_back(compressor.state().residuals[0].second);
                    return results;
                  }});
}

}  // namespace

void add_gradient_cases(std::vector<Case>& grid) {
  for (const std::int64_t n : {1, 33, 700}) {
    for (const DType dtype : kFloats) {
      for (const equivalence::Values kind : equivalence::kAllValues) {
        for (const DType wire : {DType::float32, DType::float16, DType::bfloat16}) {
          for (const double momentum : {0.0, 0.9}) {
            add_case(grid, n, dtype, kind, {.ratio = 0.1, .momentum = momentum, .wire = wire});
          }
        }
        add_case(grid, n, dtype, kind, {.ratio = 0.1, .selection = Selection::random});
        add_case(grid, n, dtype, kind, {.selection = Selection::threshold, .threshold = 0.5});
      }
    }
  }
}

}  // namespace sparsert::verify
