// bench/suite.cpp — the list of cases.
#include "bench/suite.hpp"

namespace sparsert::bench {

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_relu_cases(cases);
  add_prune_cases(cases);
  add_n_m_cases(cases);
  add_topk_cases(cases);
  add_gradient_cases(cases);
  add_to_csr_cases(cases);
  add_product_cases(cases);
  add_attention_cases(cases);
  add_linalg_cases(cases);
  add_overhead_cases(cases);
  return cases;
}

}  // namespace sparsert::bench
