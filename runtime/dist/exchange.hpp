// runtime/dist/exchange.hpp — the messages of one collective, and how ranks agree on how it went.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "runtime/dist/report.hpp"
#include "sparsert/dist.hpp"

namespace sparsert::dist {

/// Kinds of messages; the first five are the phases.
enum class Kind : std::uint8_t { fingerprint, counts, payload, reduced, commit, second_commit };

inline constexpr std::size_t kBodies = static_cast<std::size_t>(Kind::commit);  ///< kinds that come before it

/// Something is known to be wrong: on to the agreement.
struct Stop {};

/// Messages of the collective after this one, from ranks that were done earlier.
using Early = std::vector<std::deque<Message>>;

/// One collective's messages. After the phases, well or by `Stop`, comes `agree`.
class Exchange {
 public:
  Exchange(Transport& transport, const GroupOptions& options, std::uint64_t sequence, Traffic& traffic, Early& early);

  int size() const { return transport_.size(); }

  void send(int to, Kind kind, std::span<const std::byte> body);
  void send_all(Kind kind, std::span<const std::byte> body);

  /// Each other rank's body of a kind; the own one is empty. Throws Stop.
  std::vector<Message> receive_all(Kind kind);

  /// Evidence against a rank. Throws Stop.
  [[noreturn]] void fail(int rank, Phase phase, const std::string& what);

  /// Tells all how it went and hears them, then tells all what was heard. What all agree on; none: all is well.
  std::optional<Failure> agree();

 private:
  using Clock = std::chrono::steady_clock;

  struct Peer {
    std::uint64_t next = 0;  // number of its next message
    Kind at = Kind::fingerprint;
    std::vector<Message> bodies = std::vector<Message>(kBodies);
    std::vector<bool> whole = std::vector<bool>(kBodies);
    std::uint64_t sent = 0;
    bool told_all = false;  // its second commit is here
  };

  void tick();
  void pull();
  void handle(int from, Message message);
  void take_piece(int from, Kind kind, std::uint64_t total, std::span<const std::byte> piece);
  void take_report(int from, std::span<const std::byte> body);
  void take_reports(int from, std::span<const std::byte> body);
  void blame(int rank, Phase phase, const std::string& what);
  void stop();
  bool all_known() const { return static_cast<int>(reports_.size()) == transport_.size(); }
  Phase phase_of(const Peer& peer) const;
  void hear_reports(Clock::time_point until);
  void hear_sets(Clock::time_point until);
  Message reports_as_bytes() const;
  std::int64_t elapsed_us() const;
  void wait_until(Clock::time_point until);

  Transport& transport_;
  const GroupOptions& options_;
  std::uint64_t sequence_;
  Traffic& traffic_;
  Early& early_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_tick_ = start_;
  Clock::duration away_{0};
  std::vector<Peer> peers_;
  Report mine_;
  Reports reports_;
  std::optional<Clock::time_point> stopped_;  // when something was first known to be wrong
  bool closed_ = false;                       // to reports of ranks that are not known yet
  bool cut_ = false;                          // a peer has ended the first round
};

}  // namespace sparsert::dist
