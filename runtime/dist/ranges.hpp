// runtime/dist/ranges.hpp — sums by index ranges: each rank owns a part of every tensor and adds what all sent of it.
//
// It is where recursive halving ends, reached in one step: an entry goes straight to the owner of its range, not by way
// of ranks that would add on the way, in another order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sparsert/dist.hpp"

namespace sparsert::dist {

/// The entries of a packet in a rank's ranges.
Message pack_ranges(const gradient::Packet& packet, int owner, int size);

/// One rank's part of the sums.
class RangeSums {
 public:
  RangeSums(const gradient::Packet& layout, int owner, int size);

  /// Adds what `pack_ranges` made, in ascending order of ranks. Throws `Error{invalid_argument}`.
  void add(std::span<const std::byte> message);

  /// The union's sums; all of a range where that takes fewer bytes.
  Message pack() const;

 private:
  struct Part {
    Tensor sums;
    std::vector<bool> touched;
  };
  DType wire_;
  std::vector<Part> parts_;
};

/// Writes an owner's sums into dense results. Returns how many entries the union has. Throws
/// `Error{invalid_argument}`.
std::int64_t place_ranges(std::span<const std::byte> message, int owner, int size, gradient::NamedTensors& results);

}  // namespace sparsert::dist
