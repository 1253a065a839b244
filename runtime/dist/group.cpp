// runtime/dist/group.cpp — a sparse allreduce: fingerprints, counts, packets or ranges of them, and the sums.
#include <algorithm>
#include <cstring>
#include <thread>

#include "runtime/dist/exchange.hpp"
#include "runtime/dist/ranges.hpp"
#include "runtime/gradient/crc32.hpp"
#include "sparsert/dist.hpp"

namespace sparsert::dist {
namespace {

using gradient::NamedTensors;
using gradient::Packet;
using gradient::Section;

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

bool same(const Fingerprint& a, const Fingerprint& b) { return std::memcmp(&a, &b, sizeof(a)) == 0; }

template <class T>
T read_as(const Message& body, Exchange& exchange, std::size_t rank, Phase phase) {
  T value;
  if (body.size() != sizeof(T)) exchange.fail(static_cast<int>(rank), phase, "a message of another size");
  std::memcpy(&value, body.data(), sizeof(T));
  return value;
}

template <class T>
std::vector<T> everybodys(Exchange& exchange, Kind kind, const T& mine, std::size_t me) {
  const Message bytes = bytes_of(mine);
  exchange.send_all(kind, bytes);
  const std::vector<Message> bodies = exchange.receive_all(kind);
  std::vector<T> all(bodies.size(), mine);
  for (std::size_t r = 0; r < all.size(); ++r) {
    if (r != me) all[r] = read_as<T>(bodies[r], exchange, r, static_cast<Phase>(kind));
  }
  return all;
}

/// Whoever differs from what most have is wrong; every rank sees the same.
void compare(Exchange& exchange, const std::vector<Fingerprint>& all) {
  const auto votes = [&](const Fingerprint& one) {
    return std::count_if(all.begin(), all.end(), [&](const Fingerprint& other) { return same(one, other); });
  };
  const Fingerprint& usual = *std::max_element(
      all.begin(), all.end(), [&](const Fingerprint& a, const Fingerprint& b) { return votes(a) < votes(b); });
  for (std::size_t r = 0; r < all.size(); ++r) {
    if (same(all[r], usual)) continue;
    exchange.fail(static_cast<int>(r), Phase::fingerprint,
                  std::string("its ") + difference(all[r], usual) + " differs from the others'");
  }
}

struct Count {
  std::uint64_t bytes;
  std::uint64_t entries;
};

/// Whether ranges take fewer bytes than packets to all, however little the ranks' places overlap; eight bytes an entry.
bool ranges_pay(const std::vector<Count>& counts, const Packet& packet) {
  double bytes = 0;
  for (const Count& count : counts) bytes += 8 * static_cast<double>(count.entries);
  double dense = 0;
  for (const Section& section : packet.sections()) {
    dense += static_cast<double>(element_count(section.shape)) * static_cast<double>(size_of(section.dtype));
  }
  return bytes / static_cast<double>(counts.size()) + std::min(dense, bytes) < bytes;
}

std::int64_t count_union(const std::vector<Packet>& packets) {
  std::int64_t count = 0;
  for (std::size_t s = 0; s < packets[0].sections().size(); ++s) {
    std::vector<std::int64_t> all;
    for (const Packet& packet : packets) {
      const auto& indices = packet.sections()[s].indices;
      std::vector<std::int64_t> merged;
      merged.reserve(all.size() + indices.size());
      std::set_union(all.begin(), all.end(), indices.begin(), indices.end(), std::back_inserter(merged));
      all = std::move(merged);
    }
    count += static_cast<std::int64_t>(all.size());
  }
  return count;
}

/// Every rank gets every packet.
NamedTensors sum_packets(Exchange& exchange, const Packet& packet, const Fingerprint& mine, std::size_t me,
                         std::int64_t& union_entries) {
  exchange.send_all(Kind::payload, packet.bytes());
  const std::vector<Message> bodies = exchange.receive_all(Kind::payload);
  std::vector<Packet> packets(bodies.size());
  packets[me] = packet;
  for (std::size_t r = 0; r < bodies.size(); ++r) {
    if (r == me) continue;
    const int rank = static_cast<int>(r);
    try {
      packets[r] = Packet::from_bytes(bodies[r]);
    } catch (const Error&) {
      exchange.fail(rank, Phase::payload, "its packet cannot be read");
    }
    if (!same(fingerprint_of(packets[r]), mine)) {
      exchange.fail(rank, Phase::payload, "its packet is not what it announced");
    }
  }
  union_entries = count_union(packets);
  return sum(packets);
}

/// Each rank adds what all sent of its ranges, and tells all.
NamedTensors sum_ranges(Exchange& exchange, const Packet& packet, std::size_t me, std::int64_t& union_entries) {
  const auto read = [&](std::size_t rank, Phase phase, const auto& use) {
    try {
      use();
    } catch (const Error&) {
      exchange.fail(static_cast<int>(rank), phase, "its ranges cannot be read");
    }
  };
  const int size = exchange.size();
  for (int to = 0; to < size; ++to) {
    if (to != static_cast<int>(me)) exchange.send(to, Kind::payload, pack_ranges(packet, to, size));
  }
  std::vector<Message> bodies = exchange.receive_all(Kind::payload);
  bodies[me] = pack_ranges(packet, static_cast<int>(me), size);
  RangeSums sums(packet, static_cast<int>(me), size);
  for (std::size_t r = 0; r < bodies.size(); ++r) {
    read(r, Phase::payload, [&] { sums.add(bodies[r]); });
  }
  Message mine = sums.pack();
  exchange.send_all(Kind::reduced, mine);
  std::vector<Message> parts = exchange.receive_all(Kind::reduced);
  parts[me] = std::move(mine);
  NamedTensors results;
  for (const Section& section : packet.sections()) {
    results.emplace_back(section.name, Tensor::zeros(section.shape, section.dtype));
  }
  for (std::size_t r = 0; r < parts.size(); ++r) {
    read(r, Phase::reduced, [&] { union_entries += place_ranges(parts[r], static_cast<int>(r), size, results); });
  }
  return results;
}

}  // namespace

const char* to_string(Phase phase) noexcept {
  switch (phase) {
    case Phase::fingerprint: return "fingerprint";
    case Phase::counts: return "counts";
    case Phase::payload: return "payload";
    case Phase::reduced: return "reduced";
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

Group::Group(std::unique_ptr<Transport> transport, const GroupOptions& options)
    : transport_(std::move(transport)), options_(options) {
  require(transport_ != nullptr && transport_->size() >= 1 && transport_->rank() >= 0 &&
              transport_->rank() < transport_->size(),
          [] { return std::string("dist::Group: the transport's rank is not below its size"); });
  require(options.deadline.count() > 0, [] { return std::string("dist::Group: deadline is not above 0"); });
  require(options.max_message > 0, [] { return std::string("dist::Group: max_message is not above 0"); });
}

NamedTensors Group::allreduce(const Packet& packet) {
  if (failure_) throw GroupError(failure_->rank, failure_->phase, failure_->what + " (in an earlier collective)");
  const auto start = std::chrono::steady_clock::now();
  traffic_ = {};
  traffic_.entries = packet.entries();
  traffic_.numel = packet.numel();
  const auto me = static_cast<std::size_t>(rank());
  Exchange exchange(*transport_, options_, ++sequence_, traffic_, early_);
  NamedTensors result;
  try {
    const Fingerprint mine = fingerprint_of(packet);
    compare(exchange, everybodys(exchange, Kind::fingerprint, mine, me));
    const Count count{static_cast<std::uint64_t>(packet.nbytes()), static_cast<std::uint64_t>(packet.entries())};
    const std::vector<Count> counts = everybodys(exchange, Kind::counts, count, me);
    traffic_.by_ranges = options_.algorithm == Algorithm::ranges ||
                         (options_.algorithm == Algorithm::automatic && ranges_pay(counts, packet));
    result = traffic_.by_ranges ? sum_ranges(exchange, packet, me, traffic_.union_entries)
                                : sum_packets(exchange, packet, mine, me, traffic_.union_entries);
  } catch (const Stop&) {
  }
  std::optional<Failure> failure = exchange.agree();
  traffic_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (failure) {
    failure_ = std::make_unique<Failure>(std::move(*failure));
    throw GroupError(failure_->rank, failure_->phase, failure_->what);
  }
  return result;
}

Group::~Group() = default;

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
