// runtime/dist/exchange.cpp — framing, deadlines, and an agreement in two rounds.
//
// Whoever sees something wrong sends its report, which stops all others: they send theirs. In the second round each
// sends all reports that it holds. From the same reports every rank draws the same conclusion (report.cpp).
#include "runtime/dist/exchange.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/gradient/crc32.hpp"
#include "runtime/gradient/wire.hpp"

namespace sparsert::dist {
namespace {

/// What stands before each piece of a message.
struct Envelope {
  std::uint32_t crc;  // of all that follows
  std::uint8_t kind;
  std::uint8_t zero[3];
  std::uint64_t sequence;  // of the collective
  std::uint64_t number;    // of this piece, from this rank to that one
  std::uint64_t total;     // bytes of all pieces together
};
static_assert(sizeof(Envelope) == 32);

/// How long each of the two rounds waits for a rank that says nothing: both together stay below two seconds.
constexpr std::chrono::milliseconds kRound{850};

Phase phase_of_kind(Kind kind) { return static_cast<Phase>(std::min(kind, Kind::commit)); }

}  // namespace

Exchange::Exchange(Transport& transport, const GroupOptions& options, std::uint64_t sequence, Traffic& traffic,
                   Early& early)
    : transport_(transport),
      options_(options),
      sequence_(sequence),
      traffic_(traffic),
      early_(early),
      peers_(static_cast<std::size_t>(transport.size())) {
  mine_.rank = transport.rank();
  early_.resize(peers_.size());
  Early waiting(peers_.size());
  std::swap(waiting, early_);
  for (std::size_t from = 0; from < waiting.size(); ++from) {
    for (Message& message : waiting[from]) handle(static_cast<int>(from), std::move(message));
  }
}

void Exchange::send(int to, Kind kind, std::span<const std::byte> body) {
  const auto limit = static_cast<std::size_t>(options_.max_message);
  std::size_t at = 0;
  do {
    const std::span<const std::byte> piece = body.subspan(at, std::min(limit, body.size() - at));
    Message message(sizeof(Envelope) + piece.size());
    std::uint64_t& number = peers_[static_cast<std::size_t>(to)].sent;
    Envelope envelope{0, static_cast<std::uint8_t>(kind), {}, sequence_, number++, body.size()};
    std::memcpy(message.data(), &envelope, sizeof(envelope));
    if (!piece.empty()) std::memcpy(message.data() + sizeof(envelope), piece.data(), piece.size());
    envelope.crc = gradient::crc32(std::span(message).subspan(sizeof(envelope.crc)));
    std::memcpy(message.data(), &envelope.crc, sizeof(envelope.crc));
    traffic_.bytes_sent += static_cast<std::int64_t>(message.size());
    ++traffic_.messages;
    transport_.send(to, std::move(message));
    at += piece.size();
  } while (at < body.size());
}

void Exchange::send_all(Kind kind, std::span<const std::byte> body) {
  for (int to = 0; to < transport_.size(); ++to) {
    if (to != transport_.rank()) send(to, kind, body);
  }
}

std::vector<Message> Exchange::receive_all(Kind kind) {
  const auto which = static_cast<std::size_t>(kind);
  const Clock::time_point until = start_ + options_.deadline;
  while (true) {
    tick();
    pull();
    mine_.phase = phase_of_kind(kind);
    mine_.waiting.clear();
    for (int from = 0; from < transport_.size(); ++from) {
      if (from != transport_.rank() && !peers_[static_cast<std::size_t>(from)].whole[which]) {
        mine_.waiting.push_back(from);
      }
    }
    if (stopped_) throw Stop{};
    if (mine_.waiting.empty()) break;
    if (Clock::now() >= until) {
      stop();
      throw Stop{};
    }
    wait_until(until);
  }
  std::vector<Message> bodies;
  for (Peer& peer : peers_) bodies.push_back(std::move(peer.bodies[which]));
  return bodies;
}

void Exchange::fail(int rank, Phase phase, const std::string& what) {
  blame(rank, phase, what);
  throw Stop{};
}

std::optional<Failure> Exchange::agree() {
  tick();
  const Clock::time_point deadline = start_ + options_.deadline;
  if (!stopped_) {
    mine_.phase = Phase::commit;
    mine_.well = Clock::now() <= deadline;
    if (!mine_.well) stop();
  }
  mine_.elapsed_us = elapsed_us();
  mine_.away_us = std::chrono::duration_cast<std::chrono::microseconds>(away_).count();
  reports_[mine_.rank] = mine_;
  send_all(Kind::commit, to_bytes(mine_));
  const bool too_late = Clock::now() > deadline + kRound;
  hear_reports(deadline + kRound);
  closed_ = true;
  send_all(Kind::second_commit, reports_as_bytes());
  hear_sets(Clock::now() + kRound);
  std::optional<Failure> found = resolve(reports_, transport_.size());
  if (!found && too_late) found = Failure{mine_.rank, Phase::commit, "it was away until after the deadline"};
  return found;
}

/// Notes for how long this rank did nothing.
void Exchange::tick() {
  const Clock::time_point now = Clock::now();
  away_ = std::max(away_, now - last_tick_);
  last_tick_ = now;
}

/// Takes whatever has come from any rank.
void Exchange::pull() {
  for (int from = 0; from < transport_.size(); ++from) {
    if (from == transport_.rank()) continue;
    while (std::optional<Message> message = transport_.receive(from)) {
      traffic_.bytes_received += static_cast<std::int64_t>(message->size());
      handle(from, std::move(*message));
    }
  }
}

void Exchange::handle(int from, Message message) {
  Peer& peer = peers_[static_cast<std::size_t>(from)];
  Envelope envelope{};
  const bool whole = message.size() >= sizeof(Envelope);
  if (whole) std::memcpy(&envelope, message.data(), sizeof(envelope));
  if (!whole || gradient::crc32(std::span(message).subspan(sizeof(envelope.crc))) != envelope.crc) {
    return blame(from, phase_of(peer), "a message is damaged");
  }
  if (envelope.sequence < sequence_) return;  // the end of a collective that is over
  if (envelope.sequence == sequence_ + 1) {
    early_[static_cast<std::size_t>(from)].push_back(std::move(message));
    return;
  }
  const auto kind = static_cast<Kind>(envelope.kind);
  const std::span<const std::byte> body = std::span<const std::byte>(message).subspan(sizeof(Envelope));
  if (envelope.sequence != sequence_ || kind > Kind::second_commit) {
    return blame(from, phase_of(peer), "a message of another collective");
  }
  if (envelope.number != peer.next) blame(from, phase_of(peer), "a message is missing");
  peer.next = envelope.number + 1;
  if (kind < Kind::commit) take_piece(from, kind, envelope.total, body);
  else if (kind == Kind::commit) take_report(from, body);
  else take_reports(from, body);
}

void Exchange::take_piece(int from, Kind kind, std::uint64_t total, std::span<const std::byte> piece) {
  Peer& peer = peers_[static_cast<std::size_t>(from)];
  const auto which = static_cast<std::size_t>(kind);
  Message& body = peer.bodies[which];
  if (kind < peer.at || peer.whole[which] || piece.size() > total || body.size() > total - piece.size()) {
    return blame(from, phase_of(peer), "a message of another phase");
  }
  peer.at = kind;
  body.insert(body.end(), piece.begin(), piece.end());
  peer.whole[which] = body.size() == total;
}

void Exchange::take_report(int from, std::span<const std::byte> body) {
  if (closed_ && !reports_.contains(from)) return;
  try {
    const Report report = report_from(body, transport_.size());
    if (report.rank != from) return;
    if (!report.well) stop();
    reports_.emplace(from, report);
  } catch (const Error&) {
    return;  // as if it had not come
  }
}

void Exchange::take_reports(int from, std::span<const std::byte> body) {
  peers_[static_cast<std::size_t>(from)].told_all = true;
  if (closed_ && !reports_.contains(from)) return;
  try {
    gradient::Reader in(body);
    while (in.left() != 0) {
      const Report report = report_from(in.take(in.get<std::uint32_t>("a report"), "a report"), transport_.size());
      if (report.rank != transport_.rank()) reports_.emplace(report.rank, report);
      if (!report.well) stop();
    }
  } catch (const Error&) {
    return;  // as if the rest had not come
  }
  cut_ = true;
}

/// Evidence of one's own: the first counts. What goes wrong in the commit makes up for itself, by what others tell.
void Exchange::blame(int rank, Phase phase, const std::string& what) {
  if (phase == Phase::commit) return;
  if (!mine_.evidence) mine_.evidence = Failure{rank, phase, what};
  stop();
}

void Exchange::stop() {
  if (!stopped_) stopped_ = Clock::now();
}

/// The phase of the next message from a rank.
Phase Exchange::phase_of(const Peer& peer) const {
  const auto at = static_cast<std::size_t>(peer.at);
  if (!peer.whole[at]) return phase_of_kind(peer.at);
  if (peer.at == Kind::payload && !traffic_.by_ranges) return Phase::commit;
  return static_cast<Phase>(at + 1);
}

/// The first round: until all reports are here, or its time is over, or over for a peer.
void Exchange::hear_reports(Clock::time_point until) {
  while (true) {
    pull();
    if (all_known() || cut_) return;
    if (stopped_) until = std::min(until, *stopped_ + kRound);
    if (Clock::now() >= until) return;
    wait_until(until);
  }
}

/// The second round: until all reports are here, or all whose report is here have told what they hold.
void Exchange::hear_sets(Clock::time_point until) {
  while (!all_known()) {
    pull();
    const bool heard = std::all_of(reports_.begin(), reports_.end(), [&](const auto& entry) {
      return entry.first == mine_.rank || peers_[static_cast<std::size_t>(entry.first)].told_all;
    });
    if (heard || Clock::now() >= until) return;
    wait_until(until);
  }
}

Message Exchange::reports_as_bytes() const {
  gradient::Writer out;
  for (const auto& [rank, report] : reports_) {
    const std::vector<std::byte> bytes = to_bytes(report);
    out.put(static_cast<std::uint32_t>(bytes.size()));
    out.put_bytes(bytes.data(), bytes.size());
  }
  return std::move(out.bytes);
}

std::int64_t Exchange::elapsed_us() const {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start_).count();
}

void Exchange::wait_until(Clock::time_point until) {
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(until - Clock::now());
  if (left.count() > 0) transport_.wait(left);
}

}  // namespace sparsert::dist
