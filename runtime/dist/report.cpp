// runtime/dist/report.cpp — who is to blame: evidence, then silence, then lateness.
#include "runtime/dist/report.hpp"

#include <algorithm>
#include <tuple>

#include "runtime/gradient/wire.hpp"

namespace sparsert::dist {
namespace {

constexpr std::size_t kMaxText = 120;

bool before(const Failure& a, const Failure& b) { return std::tie(a.phase, a.rank) < std::tie(b.phase, b.rank); }

void take_first(std::optional<Failure>& best, Failure found) {
  if (!best || before(found, *best)) best = std::move(found);
}

bool waits_for(const Report& report, int rank) {
  return std::find(report.waiting.begin(), report.waiting.end(), rank) != report.waiting.end();
}

std::optional<Failure> first_evidence(const Reports& reports) {
  std::optional<Failure> best;
  for (const auto& [rank, report] : reports) {
    if (report.evidence) take_first(best, *report.evidence);
  }
  return best;
}

/// A rank of which no report came; its phase is the first of which anybody lacks its messages.
std::optional<Failure> first_silent(const Reports& reports, int size) {
  std::optional<Failure> best;
  for (int rank = 0; rank < size; ++rank) {
    if (reports.contains(rank)) continue;
    Phase phase = Phase::commit;
    for (const auto& [from, report] : reports) {
      if (waits_for(report, rank)) phase = std::min(phase, report.phase);
    }
    take_first(best, {rank, phase, "nothing was heard of it before the deadline"});
  }
  return best;
}

/// How late a rank was, by its own clock: away, or begun after the others.
std::int64_t lateness(const Reports& reports, const Report& report) {
  std::int64_t longest = 0;
  for (const auto& [rank, other] : reports) longest = std::max(longest, other.elapsed_us);
  return report.away_us + longest - report.elapsed_us;
}

/// All ranks are there. A rank that others lacked a message of is excused where it had not got that far itself; of the
/// rest it is the one that was away longest.
std::optional<Failure> most_late(const Reports& reports) {
  std::optional<Failure> best;
  std::int64_t most = -1;
  const auto consider = [&](const Report& report, Phase phase) {
    const std::int64_t late = lateness(reports, report);
    if (late < most || (late == most && best && best->rank <= report.rank && best->phase <= phase)) return;
    if (best && best->rank == report.rank) phase = std::min(phase, best->phase);
    most = late;
    best = Failure{report.rank, phase, "it was late"};
  };
  for (const auto& [from, report] : reports) {
    for (const std::int32_t rank : report.waiting) {
      const auto accused = reports.find(rank);
      if (accused != reports.end() && accused->second.phase >= report.phase) consider(accused->second, report.phase);
    }
  }
  if (best) return best;
  for (const auto& [rank, report] : reports) {
    if (!report.well) consider(report, report.phase);
  }
  return best;
}

}  // namespace

std::vector<std::byte> to_bytes(const Report& report) {
  gradient::Writer out;
  out.put(static_cast<std::int32_t>(report.rank));
  out.put(static_cast<std::uint8_t>(report.phase));
  out.put(static_cast<std::uint8_t>(report.well ? 1 : 0));
  out.put(static_cast<std::uint8_t>(report.evidence ? 1 : 0));
  out.put(report.elapsed_us);
  out.put(report.away_us);
  out.put(static_cast<std::uint32_t>(report.waiting.size()));
  out.put_bytes(report.waiting.data(), report.waiting.size() * sizeof(std::int32_t));
  if (report.evidence) {
    const std::string what = report.evidence->what.substr(0, kMaxText);
    out.put(static_cast<std::int32_t>(report.evidence->rank));
    out.put(static_cast<std::uint8_t>(report.evidence->phase));
    out.put(static_cast<std::uint32_t>(what.size()));
    out.put_bytes(what.data(), what.size());
  }
  return std::move(out.bytes);
}

Report report_from(std::span<const std::byte> bytes, int size) {
  gradient::Reader in(bytes);
  const auto check = [](bool good) { require(good, [] { return std::string("dist: a report that cannot be read"); }); };
  const auto rank_below_size = [&](std::int32_t rank) {
    check(rank >= 0 && rank < size);
    return static_cast<int>(rank);
  };
  const auto phase_of = [&](std::uint8_t code) {
    check(code <= static_cast<std::uint8_t>(Phase::commit));
    return static_cast<Phase>(code);
  };
  Report report;
  report.rank = rank_below_size(in.get<std::int32_t>("a report"));
  report.phase = phase_of(in.get<std::uint8_t>("a report"));
  report.well = in.get<std::uint8_t>("a report") != 0;
  const bool with_evidence = in.get<std::uint8_t>("a report") != 0;
  report.elapsed_us = in.get<std::int64_t>("a report");
  report.away_us = in.get<std::int64_t>("a report");
  const auto waiting = in.get<std::uint32_t>("a report");
  check(waiting <= static_cast<std::uint32_t>(size));
  for (std::uint32_t i = 0; i < waiting; ++i)
    report.waiting.push_back(rank_below_size(in.get<std::int32_t>("a report")));
  if (with_evidence) {
    Failure evidence{rank_below_size(in.get<std::int32_t>("a report")), phase_of(in.get<std::uint8_t>("a report")), {}};
    const auto text = in.take(in.get<std::uint32_t>("a report"), "a report");
    evidence.what.assign(reinterpret_cast<const char*>(text.data()), std::min(text.size(), kMaxText));
    report.evidence = std::move(evidence);
  }
  check(in.left() == 0);
  return report;
}

std::optional<Failure> resolve(const Reports& reports, int size) {
  const bool well = std::all_of(reports.begin(), reports.end(), [](const auto& entry) { return entry.second.well; });
  if (well && static_cast<int>(reports.size()) == size) return {};
  std::optional<Failure> found = first_evidence(reports);
  if (!found) found = first_silent(reports, size);
  if (!found) found = most_late(reports);
  return found;
}

}  // namespace sparsert::dist
