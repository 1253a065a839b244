// bench/report.cpp — runs the cases: check, time, compare; and what comes out as JSON and text.
#include "bench/report.hpp"

#include <oneapi/tbb/global_control.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "bench/machine.hpp"
#include "sparsert/error.hpp"
#include "sparsert/version.hpp"

namespace sparsert::bench {
namespace {

constexpr const char* kOneSecond = "1 s";

std::string fixed(double value, int digits) {
  std::ostringstream text;
  text.setf(std::ios::fixed);
  text.precision(digits);
  text << value;
  return text.str();
}

const char* to_string(Role role) {
  switch (role) {
    case Role::ours: return "ours";
    case Role::peer: return "peer";
    case Role::yardstick: return "yardstick";
  }
  return "?";
}

Effort effort_of(const Options& options) {
  if (options.quick) return {.case_seconds = 0.05, .sample_seconds = 0.0005, .min_rounds = 3, .max_rounds = 50};
  return {.case_seconds = options.seconds};
}

// Runs everybody once and drops the peers that are wrong: a peer that does not do the work is no comparison.
void check_contenders(const Case& item, Trial& trial, const Progress& progress, Json& notes) {
  std::vector<Contender> right;
  for (Contender& contender : trial.contenders) {
    contender.run();
    const std::string wrong = contender.check ? contender.check() : "";
    if (wrong.empty()) {
      right.push_back(std::move(contender));
      continue;
    }
    const std::string message = item.op + " " + item.name + ": " + contender.name + ": " + wrong;
    if (contender.role == Role::ours) throw Error(ErrorCode::internal, "bench: " + message);
    notes.push_back("left out, " + message);
    progress("note: left out, " + message);
  }
  trial.contenders = std::move(right);
}

// Libraries that keep threads spinning, or start more than they were told to, are told of: by processor time alone
// nobody can say whose they are, so nobody is left out.
void note_processors(const Case& item, const Context& context, const Timing& ours, const Progress& progress,
                     Json& notes) {
  constexpr double kMargin = 1.2;
  if (ours.processors <= kMargin * context.threads) return;
  const std::string message =
      item.op + " " + item.name + ": " + fixed(ours.processors, 1) + " processors were at work during our calls";
  notes.push_back(message);
  progress("note: " + message);
}

// Before a library of a peer is opened: it starts as many threads as will be asked for, and no more. Those sleep while
// they have nothing to do: threads that spin take the processor from whoever is timed next.
void limit_threads(const std::vector<int>& threads) {
  const std::string most = std::to_string(std::ranges::max(threads));
  for (const char* const name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}) {
    setenv(name, most.c_str(), 1);
  }
  setenv("OMP_WAIT_POLICY", "PASSIVE", 1);
  setenv("KMP_BLOCKTIME", "0", 1);
}

Json timing_json(const Timing& timing) {
  return {{"min_s", timing.min},
          {"median_s", timing.median},
          {"samples", timing.samples},
          {"dropped", timing.dropped},
          {"disturbed", timing.disturbed},
          {"clock", timing.cpu_time ? "cpu" : "wall"},
          {"processors", timing.processors}};
}

// The time that a goal is measured against, and whose it is; null where that contender is not here.
Json opponent_of(const Goal& goal, const Json& contenders, const Json& best_peer) {
  if (goal.against.empty()) return {{"name", kOneSecond}, {"min_s", 1.0}};
  if (goal.against == "best peer") return best_peer;
  const auto found = std::ranges::find_if(contenders, [&](const Json& c) { return c["name"] == goal.against; });
  return found == contenders.end() ? Json() : *found;
}

Json goals_json(const Trial& trial, double ours, const Json& contenders, const Json& best_peer) {
  Json goals = Json::array();
  for (const Goal& goal : trial.goals) {
    const Json opponent = opponent_of(goal, contenders, best_peer);
    if (opponent.is_null()) continue;
    const double measured = ours / opponent["min_s"].get<double>();
    goals.push_back({{"text", goal.text},
                     {"against", opponent["name"]},
                     {"at_most", goal.factor},
                     {"measured", measured},
                     {"met", measured <= goal.factor}});
  }
  return goals;
}

Json run_case(const Case& item, const Context& context, const Ceilings& ceilings, const Options& options,
              const Progress& progress, Json& notes) {
  Trial trial = item.prepare(context);
  check_contenders(item, trial, progress, notes);
  std::vector<std::function<void()>> runs;
  for (const Contender& contender : trial.contenders) runs.push_back(contender.run);
  const std::vector<Timing> timings =
      time_interleaved(runs, effort_of(options), context.device.is_host() && context.threads == 1);

  note_processors(item, context, timings.front(), progress, notes);

  const double ours = timings.front().min;
  const Limit limit = limit_of(trial.work, ceilings);
  Json contenders = Json::array();
  Json best_peer;
  for (std::size_t i = 0; i < timings.size(); ++i) {
    const Contender& contender = trial.contenders[i];
    Json entry = {{"name", contender.name}, {"version", contender.version}, {"role", to_string(contender.role)}};
    entry.update(timing_json(timings[i]));
    entry["ratio"] = timings[i].min / ours;
    if (contender.role == Role::peer && (best_peer.is_null() || timings[i].min < best_peer["min_s"])) best_peer = entry;
    contenders.push_back(std::move(entry));
  }
  Json result = {{"op", item.op},
                 {"name", item.name},
                 {"parameters", item.parameters},
                 {"checked", true},
                 {"min_s", ours},
                 {"median_s", timings.front().median},
                 {"limit_s", limit.seconds},
                 {"limit_by", limit.by},
                 {"share_of_limit", limit.seconds / ours},
                 {"gbps", (trial.work.read + trial.work.written) / ours / 1e9},
                 {"gflops", trial.work.flops / ours / 1e9}};
  result["best_peer"] = best_peer.is_null() ? Json() : best_peer["name"];
  result["best_peer_version"] = best_peer.is_null() ? Json() : best_peer["version"];
  result["ratio"] = best_peer.is_null() ? Json() : best_peer["ratio"];
  result["goals"] = goals_json(trial, ours, contenders, best_peer);
  result["contenders"] = std::move(contenders);
  return result;
}

Json ceilings_json(const Ceilings& ceilings) {
  Json levels = Json::array();
  for (const Level& level : ceilings.levels) {
    levels.push_back({{"name", level.name},
                      {"size", level.size},
                      {"working_set", level.bytes},
                      {"read_gbps", level.read / 1e9},
                      {"copy_gbps", level.copy / 1e9},
                      {"copy_past_cache_gbps", level.copy_past_cache / 1e9}});
  }
  return {{"vector", ceilings.vector}, {"fma_gflops", ceilings.flops / 1e9}, {"levels", levels}};
}

std::string to_text(const Ceilings& ceilings, int threads) {
  std::ostringstream text;
  text.precision(4);
  text << "ceilings, " << threads << (threads == 1 ? " thread" : " threads");
  if (ceilings.flops > 0) text << ": FMA peak " << ceilings.flops / 1e9 << " GFLOP/s (" << ceilings.vector << ")";
  for (const Level& level : ceilings.levels) {
    text << "; " << level.name << " read " << level.read / 1e9 << ", copy " << level.copy / 1e9;
    if (level.copy_past_cache > 0) text << ", past the caches " << level.copy_past_cache / 1e9;
  }
  text << " GB/s";
  return text.str();
}

std::vector<std::string> search_paths(const Options& options) {
  std::vector<std::string> paths = options.peer_paths;
  const char* const from_environment = std::getenv("SPARSERT_PEER_PATH");
  std::istringstream list(from_environment == nullptr ? "" : from_environment);
  for (std::string path; std::getline(list, path, ':');) {
    if (!path.empty()) paths.push_back(path);
  }
  return paths;
}

Json peers_json(const std::vector<Peer>& peers) {
  Json list = Json::array();
  for (const Peer& peer : peers) {
    list.push_back({{"name", peer.name},
                    {"version", peer.version},
                    {"kind", peer.kind == PeerKind::sparse ? "sparse" : "dense"},
                    {"library", std::filesystem::path(peer.path).filename().string()}});
  }
  return list;
}

Json run_at(int threads, const Device& device, const std::vector<Peer>& peers, const Options& options,
            const Progress& progress, Json& notes) {
  set_num_threads(threads);
  // Peers that share this process's TBB have no other way to be told.
  const oneapi::tbb::global_control limit(oneapi::tbb::global_control::max_allowed_parallelism,
                                          static_cast<std::size_t>(threads));
  Team team(threads);
  const Ceilings ceilings = measure_ceilings(device, threads, options.quick);
  progress(to_text(ceilings, threads));
  const Context context{device, threads, options.quick, peers, team};
  Json cases = Json::array();
  for (const Case& item : all_cases()) {
    if (item.op.find(options.op) == std::string::npos || (options.quick && !item.quick)) continue;
    cases.push_back(run_case(item, context, ceilings, options, progress, notes));
    progress(to_line(cases.back()));
  }
  return {{"threads", threads}, {"ceilings", ceilings_json(ceilings)}, {"cases", std::move(cases)}};
}

std::string time_text(double seconds) {
  std::ostringstream text;
  text.precision(4);
  if (seconds < 1e-6) text << seconds * 1e9 << " ns";
  else if (seconds < 1e-3) text << seconds * 1e6 << " us";
  else text << seconds * 1e3 << " ms";
  return text.str();
}

std::string padded(const std::string& text, std::size_t width, bool left = false) {
  if (text.size() >= width) return text;
  const std::string space(width - text.size(), ' ');
  return left ? text + space : space + text;
}

}  // namespace

Json run_bench(const Options& options, const Progress& progress) {
  const Device device = Device::parse(options.device);
  require_usable(device);
  const int threads_before = num_threads();
  Json notes = Json::array();
  for (const std::string& note : environment_notes()) {
    notes.push_back(note);
    progress("note: " + note);
  }
  limit_threads(options.threads);
  // Other libraries are compared with the CPU backend only.
  const std::vector<Peer> peers = device == cpu_device ? find_peers(search_paths(options)) : std::vector<Peer>();
  Json report = {{"schema", 1},
                 {"version", kVersion},
                 {"commit", commit()},
                 {"date", date()},
                 {"quick", options.quick},
                 {"device", sparsert::to_string(device)},
                 {"machine", machine_json(device)},
                 {"peers", peers_json(peers)}};
  Json runs = Json::array();
  for (const int threads : options.threads) runs.push_back(run_at(threads, device, peers, options, progress, notes));
  set_num_threads(threads_before);
  report["notes"] = std::move(notes);
  report["runs"] = std::move(runs);
  return report;
}

std::string header() {
  return padded("case", 44, true) + padded("time", 11) + padded("limit by", 9) + padded("share", 7) +
         padded("GB/s", 8) + padded("GFLOP/s", 9) + "  ratio to the best peer, goals";
}

std::string to_line(const Json& result) {
  std::string line = padded(result["op"].get<std::string>() + " " + result["name"].get<std::string>(), 44, true) +
                     padded(time_text(result["min_s"]), 11) + padded(result["limit_by"], 9) +
                     padded(fixed(100 * result["share_of_limit"].get<double>(), 0) + "%", 7) +
                     padded(fixed(result["gbps"], 1), 8) + padded(fixed(result["gflops"], 1), 9) + "  ";
  if (!result["best_peer"].is_null()) {
    line += fixed(result["ratio"], 2) + "x " + result["best_peer"].get<std::string>() + " " +
            result["best_peer_version"].get<std::string>();
  }
  for (const Json& goal : result["goals"]) {
    line += std::string(goal["met"] ? "; met: " : "; MISSED: ") + goal["text"].get<std::string>() + " (" +
            (goal["against"] == kOneSecond ? time_text(goal["measured"]) : fixed(goal["measured"], 3) + "x") + ")";
  }
  return line;
}

}  // namespace sparsert::bench
