// runtime/dist/group.cpp — a collective: its phases, its deadline, and how ranks agree on what went wrong.
//
// The last two rounds are a flooding consensus that survives one crash: in the first every rank tells all others what
// it knows, in the second what it has heard. A rank that is missing in the second round only is not blamed: it has told
// everybody in the first.
#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <thread>

#include "runtime/gradient/crc32.hpp"
#include "sparsert/dist.hpp"

namespace sparsert::dist {
namespace {

using Clock = std::chrono::steady_clock;
using gradient::Packet;
using gradient::Section;

/// Kinds of messages; the first four are the phases.
enum class Kind : std::uint8_t { fingerprint, counts, payload, commit, second_commit };

/// What stands before each message.
struct Envelope {
  std::uint32_t crc;  // of all that follows
  std::uint8_t kind;
  std::uint8_t zero[3];
  std::uint64_t sequence;
};
static_assert(sizeof(Envelope) == 16);

struct Fingerprint {
  std::uint8_t operation;  // 1: sparse allreduce
  std::uint8_t wire;
  std::uint16_t version;
  std::uint32_t layout;  // CRC-32 of names, shapes and dtypes
  std::int64_t numel;
  std::int64_t k;
  std::int64_t step;
};
static_assert(sizeof(Fingerprint) == 32);

template <class T>
Message bytes_of(const T& value) {
  Message bytes(sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

Fingerprint fingerprint_of(const Packet& packet) {
  Message layout;
  const auto add = [&](const void* data, std::size_t n) {
    const auto* const from = static_cast<const std::byte*>(data);
    layout.insert(layout.end(), from, from + n);
  };
  for (const Section& section : packet.sections()) {
    const auto length = static_cast<std::uint64_t>(section.name.size());
    const auto rank = static_cast<std::uint64_t>(section.shape.size());
    add(&length, sizeof(length));
    add(section.name.data(), section.name.size());
    add(&section.dtype, sizeof(section.dtype));
    add(&rank, sizeof(rank));
    for (const std::int64_t size : section.shape) add(&size, sizeof(size));
  }
  return {1,
          static_cast<std::uint8_t>(packet.wire()),
          1,
          gradient::crc32(layout),
          packet.numel(),
          packet.k(),
          packet.step()};
}

const char* difference(const Fingerprint& a, const Fingerprint& b) {
  if (a.operation != b.operation || a.version != b.version) return "operation";
  if (a.wire != b.wire) return "wire type";
  if (a.numel != b.numel) return "number of elements";
  if (a.layout != b.layout) return "names, shapes or dtypes";
  if (a.k != b.k) return "k";
  return "step";
}

}  // namespace

const char* to_string(Phase phase) noexcept {
  switch (phase) {
    case Phase::fingerprint: return "fingerprint";
    case Phase::counts: return "counts";
    case Phase::payload: return "payload";
    case Phase::commit: return "commit";
  }
  return "unknown";
}

GroupError::GroupError(int rank, Phase phase, const std::string& what, SourceLocation where)
    : CommError("allreduce: rank " + std::to_string(rank) + " in phase " + to_string(phase) + ": " + what, where),
      rank_(rank),
      phase_(phase) {}

void Transport::wait(std::chrono::microseconds limit) {
  std::this_thread::sleep_for(std::min(limit, std::chrono::microseconds(50)));
}

/// How a rank says a collective went.
struct Group::Status {
  std::int32_t rank = -1;  // -1: well
  std::uint8_t phase = 0;
  char what[59] = {};

  bool is_well() const { return rank < 0; }
  /// The first thing that went wrong, of the lowest rank.
  bool before(const Status& other) const {
    if (is_well() || other.is_well()) return !is_well();
    return phase != other.phase ? phase < other.phase : rank < other.rank;
  }
};

/// The messages of one collective.
class Group::Exchange {
 public:
  Exchange(Group& group, Clock::time_point start)
      : group_(group), transport_(*group.transport_), start_(start), grace_(grace_of(group.options_.deadline)) {}

  struct Stop {};  // something is known to be wrong: on to the commit

  void send(int to, Kind kind, const std::byte* data, std::size_t n) {
    Message message(sizeof(Envelope) + n);
    Envelope envelope{0, static_cast<std::uint8_t>(kind), {}, group_.sequence_};
    std::memcpy(message.data(), &envelope, sizeof(envelope));
    if (n != 0) std::memcpy(message.data() + sizeof(Envelope), data, n);
    envelope.crc = gradient::crc32(std::span(message).subspan(sizeof(envelope.crc)));
    std::memcpy(message.data(), &envelope.crc, sizeof(envelope.crc));
    group_.traffic_.bytes_sent += static_cast<std::int64_t>(message.size());
    ++group_.traffic_.messages;
    transport_.send(to, std::move(message));
  }

  void send_all(Kind kind, const std::byte* data, std::size_t n) {
    for (int to = 0; to < transport_.size(); ++to) {
      if (to != transport_.rank()) send(to, kind, data, n);
    }
  }

  /// `counts[r]` messages of a kind from each rank r, in order. Throws Stop, with `status` set.
  std::vector<std::vector<Message>> receive_all(Kind kind, const std::vector<std::int64_t>& counts) {
    std::vector<std::vector<Message>> got(counts.size());
    const Clock::time_point until = start_ + group_.options_.deadline;
    while (true) {
      int missing = -1;
      bool progress = false;
      for (int from = transport_.size() - 1; from >= 0; --from) {
        auto& messages = got[static_cast<std::size_t>(from)];
        if (from == transport_.rank()) continue;
        while (static_cast<std::int64_t>(messages.size()) < counts[static_cast<std::size_t>(from)]) {
          std::optional<Message> body = take(from, kind);
          if (!body) break;
          messages.push_back(std::move(*body));
          progress = true;
        }
        if (static_cast<std::int64_t>(messages.size()) < counts[static_cast<std::size_t>(from)]) missing = from;
      }
      if (missing < 0) return got;
      if (progress) continue;
      const auto now = Clock::now();
      if (now >= until) fail(missing, static_cast<Phase>(kind), "nothing came before the deadline");
      transport_.wait(std::chrono::duration_cast<std::chrono::microseconds>(until - now));
    }
  }

  /// Tells all how it went, twice, and hears them. Returns what all agree on. The second round lasts longer than the
  /// first by as much as the first lasts: a peer may have spent all of that on waiting for a third.
  Status agree() {
    Clock::time_point until = start_ + group_.options_.deadline;
    for (const Kind round : {Kind::commit, Kind::second_commit}) {
      const Status mine = status;
      send_all(round, reinterpret_cast<const std::byte*>(&mine), sizeof(mine));
      until += grace_;
      hear(round, until);
    }
    return status;
  }

  [[noreturn]] void fail(int rank, Phase phase, const char* what) {
    blame(rank, phase, what);
    throw Stop{};
  }

  Status status;

 private:
  static Clock::duration grace_of(std::chrono::milliseconds deadline) {
    return std::clamp<Clock::duration>(deadline, std::chrono::milliseconds(50), std::chrono::milliseconds(900));
  }

  void blame(int rank, Phase phase, const char* what) {
    Status found;
    found.rank = rank;
    found.phase = static_cast<std::uint8_t>(phase);
    std::strncpy(found.what, what, sizeof(found.what) - 1);
    if (found.before(status)) status = found;
  }

  /// The body of the next message from a rank, if it is of `kind`. A status that comes instead says that the peer has
  /// given up: it is kept, and stops this phase.
  std::optional<Message> take(int from, Kind kind) {
    std::optional<Message> message = transport_.receive(from);
    if (!message) return {};
    group_.traffic_.bytes_received += static_cast<std::int64_t>(message->size());
    Envelope envelope{};
    const bool whole = message->size() >= sizeof(Envelope);
    if (whole) std::memcpy(&envelope, message->data(), sizeof(envelope));
    if (!whole || gradient::crc32(std::span(*message).subspan(sizeof(envelope.crc))) != envelope.crc) {
      fail(from, static_cast<Phase>(std::min(kind, Kind::commit)), "a message is damaged");
    }
    if (envelope.sequence != group_.sequence_) {
      fail(from, static_cast<Phase>(std::min(kind, Kind::commit)), "a message of another collective");
    }
    const auto got = static_cast<Kind>(envelope.kind);
    message->erase(message->begin(), message->begin() + sizeof(Envelope));
    if (got == kind) return message;
    if (got == Kind::commit || got == Kind::second_commit) {
      keep_status(from, got, *message);
      throw Stop{};
    }
    if (kind == Kind::commit || kind == Kind::second_commit) return {};  // of a phase that is over
    fail(from, static_cast<Phase>(kind), "a message of another phase");
  }

  void keep_status(int from, Kind round, const Message& body) {
    Status theirs;
    if (body.size() == sizeof(theirs)) std::memcpy(&theirs, body.data(), sizeof(theirs));
    heard_[round].insert(from);
    if (theirs.before(status)) status = theirs;
  }

  /// Takes statuses of a round until all have come, or the time is over.
  void hear(Kind round, Clock::time_point until) {
    std::set<int>& heard = heard_[round];
    while (true) {
      bool progress = false;
      for (int from = 0; from < transport_.size(); ++from) {
        if (from == transport_.rank() || heard.contains(from)) continue;
        try {
          const std::optional<Message> body = take(from, round);
          progress |= body.has_value();
          if (body) keep_status(from, round, *body);
        } catch (const Stop&) {
          progress = true;  // kept
        }
      }
      if (static_cast<int>(heard.size()) == transport_.size() - 1) return;
      if (progress) continue;
      const auto now = Clock::now();
      if (now >= until) break;
      transport_.wait(std::chrono::duration_cast<std::chrono::microseconds>(until - now));
    }
    if (round != Kind::commit) return;
    for (int from = 0; from < transport_.size(); ++from) {
      if (from != transport_.rank() && !heard.contains(from)) blame(from, Phase::commit, "nothing came in time");
    }
  }

  Group& group_;
  Transport& transport_;
  Clock::time_point start_;
  Clock::duration grace_;
  std::map<Kind, std::set<int>> heard_;
};

Group::Group(std::unique_ptr<Transport> transport, const GroupOptions& options)
    : transport_(std::move(transport)), options_(options) {
  require(transport_ != nullptr && transport_->size() >= 1 && transport_->rank() >= 0 &&
              transport_->rank() < transport_->size(),
          [] { return std::string("dist::Group: the transport's rank is not below its size"); });
  require(options.deadline.count() > 0, [] { return std::string("dist::Group: deadline is not above 0"); });
  require(options.max_message > 0, [] { return std::string("dist::Group: max_message is not above 0"); });
}

gradient::NamedTensors Group::allreduce(const Packet& packet) {
  if (failure_) throw GroupError(failure_->rank, failure_->phase, failure_->what + " (in an earlier collective)");
  const auto start = Clock::now();
  traffic_ = {};
  traffic_.entries = packet.entries();
  traffic_.numel = packet.numel();
  ++sequence_;
  const auto ranks = static_cast<std::size_t>(size());
  const auto me = static_cast<std::size_t>(rank());
  const auto max_message = static_cast<std::uint64_t>(options_.max_message);
  Exchange exchange(*this, start);
  std::vector<Packet> packets(ranks);
  packets[me] = packet;
  try {
    const Fingerprint mine = fingerprint_of(packet);
    const Message print = bytes_of(mine);
    exchange.send_all(Kind::fingerprint, print.data(), print.size());
    const auto prints = exchange.receive_all(Kind::fingerprint, std::vector<std::int64_t>(ranks, 1));
    std::vector<Fingerprint> all(ranks, mine);
    for (std::size_t r = 0; r < ranks; ++r) {
      if (r == me) continue;
      if (prints[r][0].size() != sizeof(Fingerprint)) {
        exchange.fail(static_cast<int>(r), Phase::fingerprint, "no fingerprint");
      }
      std::memcpy(&all[r], prints[r][0].data(), sizeof(Fingerprint));
    }
    // Whoever differs from what most have is wrong; every rank sees the same.
    const auto same = [](const Fingerprint& a, const Fingerprint& b) { return std::memcmp(&a, &b, sizeof(a)) == 0; };
    const auto votes = [&](const Fingerprint& one) {
      return std::count_if(all.begin(), all.end(), [&](const Fingerprint& other) { return same(one, other); });
    };
    const Fingerprint& usual = *std::max_element(
        all.begin(), all.end(), [&](const Fingerprint& a, const Fingerprint& b) { return votes(a) < votes(b); });
    for (std::size_t r = 0; r < ranks; ++r) {
      if (same(all[r], usual)) continue;
      const std::string what = std::string("its ") + difference(all[r], usual) + " differs from the others'";
      exchange.fail(static_cast<int>(r), Phase::fingerprint, what.c_str());
    }

    const auto length = static_cast<std::uint64_t>(packet.nbytes());
    const Message count = bytes_of(length);
    exchange.send_all(Kind::counts, count.data(), count.size());
    const auto counts = exchange.receive_all(Kind::counts, std::vector<std::int64_t>(ranks, 1));
    std::vector<std::int64_t> pieces(ranks);
    std::vector<std::uint64_t> lengths(ranks);
    for (std::size_t r = 0; r < ranks; ++r) {
      if (r == me) continue;
      if (counts[r][0].size() != sizeof(std::uint64_t)) exchange.fail(static_cast<int>(r), Phase::counts, "no count");
      std::memcpy(&lengths[r], counts[r][0].data(), sizeof(std::uint64_t));
      pieces[r] = static_cast<std::int64_t>(lengths[r] / max_message + (lengths[r] % max_message != 0 ? 1 : 0));
    }

    const auto bytes = packet.bytes();
    for (std::uint64_t at = 0; at < length; at += max_message) {
      exchange.send_all(Kind::payload, bytes.data() + at, std::min(max_message, length - at));
    }
    const auto payloads = exchange.receive_all(Kind::payload, pieces);
    for (std::size_t r = 0; r < ranks; ++r) {
      if (r == me) continue;
      Message whole;
      for (const Message& piece : payloads[r]) whole.insert(whole.end(), piece.begin(), piece.end());
      try {
        packets[r] = Packet::from_bytes(whole);
      } catch (const Error&) {
        exchange.fail(static_cast<int>(r), Phase::payload, "its packet cannot be read");
      }
      const Fingerprint theirs = fingerprint_of(packets[r]);
      if (!same(theirs, mine))
        exchange.fail(static_cast<int>(r), Phase::payload, "its packet is not what it announced");
    }
  } catch (const Exchange::Stop&) {
  }
  const Status status = exchange.agree();
  traffic_.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (!status.is_well()) {
    failure_ = Failure{status.rank, static_cast<Phase>(status.phase), status.what};
    throw GroupError(failure_->rank, failure_->phase, failure_->what);
  }
  for (std::size_t s = 0; s < packet.sections().size(); ++s) {
    std::vector<std::int64_t> all;
    for (const Packet& p : packets) {
      const auto& indices = p.sections()[s].indices;
      std::vector<std::int64_t> merged;
      std::set_union(all.begin(), all.end(), indices.begin(), indices.end(), std::back_inserter(merged));
      all = std::move(merged);
    }
    traffic_.union_entries += static_cast<std::int64_t>(all.size());
  }
  return sum(packets);
}

gradient::NamedTensors sum(const std::vector<Packet>& packets) {
  if (packets.empty()) return {};
  gradient::NamedTensors result;
  for (std::size_t s = 0; s < packets[0].sections().size(); ++s) {
    const Section& first = packets[0].sections()[s];
    Tensor total = Tensor::zeros(first.shape, first.dtype);
    const auto add = [&]<class T>(T* to) {
      for (const Packet& packet : packets) {
        require(packet.sections().size() == packets[0].sections().size() && packet.sections()[s].name == first.name &&
                    packet.sections()[s].shape == first.shape && packet.sections()[s].dtype == first.dtype,
                [&] { return "dist::sum: packets differ in " + first.name + ", expected one layout"; });
        const Section& section = packet.sections()[s];
        for (std::size_t j = 0; j < section.indices.size(); ++j) {
          to[section.indices[j]] += static_cast<T>(section.values[j]);
        }
      }
    };
    if (first.dtype == DType::float64) add(static_cast<double*>(total.mutable_data()));
    else add(static_cast<float*>(total.mutable_data()));
    result.emplace_back(first.name, total);
  }
  return result;
}

}  // namespace sparsert::dist
