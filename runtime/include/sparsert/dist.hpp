// sparsert/dist.hpp — ranks that exchange compressed gradients: the same bits on all of them, or the same error.
//
// A collective goes in phases: a fingerprint of 32 bytes (operation, types, sizes, k, step), the counts, the payload,
// the sums where ranks share the adding, and two rounds in which all tell each other how it went. Whatever goes wrong
// on one rank is the same error on every rank that is left, within the deadline and two seconds; the group is unusable
// from then on. A rank that is slower than that cannot be told from one that is dead, and is named as if it were.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sparsert/error.hpp"
#include "sparsert/gradient.hpp"

namespace sparsert::dist {

/// Where in a collective something went wrong.
enum class Phase : std::uint8_t { fingerprint, counts, payload, reduced, commit };

const char* to_string(Phase phase) noexcept;

/// A peer that died, stalled, disagreed or sent what cannot be read.
class GroupError : public CommError {
 public:
  GroupError(int rank, Phase phase, const std::string& what, SourceLocation where = SourceLocation::current());

  int rank() const noexcept { return rank_; }  ///< whose fault it is
  Phase phase() const noexcept { return phase_; }

 private:
  int rank_;
  Phase phase_;
};

using Message = std::vector<std::byte>;

/// How messages get from rank to rank: in order between two ranks, whole or not at all. Never waits.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual void send(int to, Message message) = 0;
  /// The next message from a rank; none if it has not come yet.
  virtual std::optional<Message> receive(int from) = 0;
  /// Sleeps until something may have come, no longer than `limit`.
  virtual void wait(std::chrono::microseconds limit);
};

/// How packets become sums. The bits are the same.
enum class Algorithm : std::uint8_t {
  automatic,  ///< the one that sends fewer bytes, whatever the overlap of the ranks' places
  packets,    ///< every packet to every rank
  ranges,     ///< each rank adds a range of indices and sends the union's sums, dense where that is smaller
};

struct GroupOptions {
  std::chrono::milliseconds deadline{30'000};        ///< of a whole collective
  std::int64_t max_message = std::int64_t{1} << 30;  ///< bytes; longer payloads are cut
  Algorithm algorithm = Algorithm::automatic;
};

/// What the last collective moved.
struct Traffic {
  std::int64_t bytes_sent = 0;  ///< to all peers
  std::int64_t bytes_received = 0;
  std::int64_t messages = 0;       ///< sent
  std::int64_t entries = 0;        ///< of this rank's packet
  std::int64_t union_entries = 0;  ///< places that any rank sent
  std::int64_t numel = 0;
  bool by_ranges = false;  ///< by Algorithm::ranges
  double seconds = 0;
};

struct Failure;

/// One rank's side of a group. Not for use by two threads at once.
class Group {
 public:
  explicit Group(std::unique_ptr<Transport> transport, const GroupOptions& options = {});
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  int rank() const { return transport_->rank(); }
  int size() const { return transport_->size(); }

  /// The sum of all ranks' packets, dense, on the CPU: entry by entry in ascending rank order, so that every rank has
  /// the bits of one process doing it. Throws `GroupError`.
  gradient::NamedTensors allreduce(const gradient::Packet& packet);

  const Traffic& traffic() const noexcept { return traffic_; }
  bool poisoned() const noexcept { return failure_ != nullptr; }

 private:
  std::unique_ptr<Transport> transport_;
  GroupOptions options_;
  Traffic traffic_;
  std::uint64_t sequence_ = 0;
  std::unique_ptr<Failure> failure_;
  std::vector<std::deque<Message>> early_;  // of the next collective, from ranks that are there already
};

/// The sum of packets in ascending rank order, as `Group::allreduce` gives it. All of one layout.
gradient::NamedTensors sum(const std::vector<gradient::Packet>& packets);

/// The ends of a group of `size` ranks inside this process, for tests and debugging.
std::vector<std::unique_ptr<Transport>> loopback(int size);

/// This process's end of MPI's world: Open MPI, opened at run time. Throws `Error{not_supported}` where there is none.
/// Initializes MPI where nobody has; call it from one thread.
std::unique_ptr<Transport> mpi();

}  // namespace sparsert::dist
