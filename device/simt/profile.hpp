// device/simt/profile.hpp — puts the accesses of a warp's lanes together again, as the requests that a GPU would make.
//
// The lanes of a warp run one after the other. Two accesses belong to one request where they come from the same place
// in the program and each is its lane's n-th from there since the warp's last common point: a barrier, or the end.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "device/simt/engine.hpp"
#include "device/simt/simt.hpp"

namespace sparsert::simt {

class Profile {
 public:
  /// Forgets everything, for a launch with blocks of that many warps.
  void start(std::size_t warps);

  void note(std::uint32_t thread, const void* site, Space space, std::uintptr_t address, std::uint32_t bytes);

  /// The lanes of the warp are at one point: counts what they did so far. `lanes`: how many the warp has.
  void flush(std::size_t warp, std::uint32_t lanes, Counters& counters);

 private:
  struct Entry {
    std::uint32_t site;
    std::uint32_t ordinal;
    std::uintptr_t address;
    std::uint16_t bytes;
    std::uint8_t lane;
    Space space;
  };

  struct WarpLog {
    std::vector<Entry> entries;
    std::array<std::vector<std::uint32_t>, 32> seen;  // [lane][site]: accesses so far
  };

  static void count_global(const Entry* first, const Entry* last, Counters& counters);
  static void count_shared(const Entry* first, const Entry* last, Counters& counters);

  std::unordered_map<const void*, std::uint32_t> sites_;
  std::vector<WarpLog> warps_;
};

}  // namespace sparsert::simt
