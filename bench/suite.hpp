// bench/suite.hpp — what a case is: its data, who competes, what is right, what is wanted.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/ceilings.hpp"
#include "bench/measure.hpp"
#include "bench/peers/peer.hpp"
#include "bench/team.hpp"
#include "sparsert/device.hpp"
#include "sparsert/stream.hpp"

namespace sparsert::bench {

using Json = nlohmann::ordered_json;

/// What a case may use while it runs.
struct Context {
  Device device;
  int threads;
  bool quick;
  const std::vector<Peer>& peers;
  Team& team;
};

/// `ours` is the project (the first is what the case reports); a `peer` another library or the standard library; a
/// `yardstick` is the machine itself doing the part of the work that cannot be avoided.
enum class Role : std::uint8_t { ours, peer, yardstick };

/// Somebody who does the work of a case.
struct Contender {
  std::string name;
  std::string version;
  Role role;
  std::function<void()> run;
  std::function<std::string()> check;  ///< after a run: what is wrong, or ""; may be empty for a yardstick
};

/// ours <= factor x the time of the contender `against`; of the fastest peer for "best peer"; of one second for "".
struct Goal {
  std::string text;
  std::string against;
  double factor;
};

/// A case made ready: its data lives in what the functions hold.
struct Trial {
  Work work;
  std::vector<Contender> contenders;  ///< ours first
  std::vector<Goal> goals;
};

/// One line of the report.
struct Case {
  std::string op;
  std::string name;  ///< unique with the op
  Json parameters;
  bool quick;  ///< also part of a quick run
  std::function<Trial(const Context&)> prepare;
};

/// Every case, family after family.
std::vector<Case> all_cases();

// One function per family of operations, in bench/cases/<family>.cpp.
void add_relu_cases(std::vector<Case>& cases);
void add_prune_cases(std::vector<Case>& cases);
void add_n_m_cases(std::vector<Case>& cases);
void add_gradient_cases(std::vector<Case>& cases);
void add_topk_cases(std::vector<Case>& cases);
void add_to_csr_cases(std::vector<Case>& cases);
void add_product_cases(std::vector<Case>& cases);
void add_attention_cases(std::vector<Case>& cases);
void add_linalg_cases(std::vector<Case>& cases);
void add_overhead_cases(std::vector<Case>& cases);

}  // namespace sparsert::bench
