// device/simt/shadow.hpp — who last touched each word of memory, and whether that is ordered before the one who touches
// it now.
//
// A launch's time is cut into intervals: a new one begins with every block and at every __syncthreads. Blocks run one
// after the other, so an interval belongs to one block, and two accesses of a block in different intervals are ordered
// by the barrier between them. Within an interval only __syncwarp orders, and only lanes of one warp: each lane counts
// its __syncwarps (its epoch) and knows up to which epoch it has met each other lane.
// Accesses by different blocks are never ordered. Shuffles and ballots order nothing.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace sparsert::simt {

/// When, and by which thread of the block: interval, epoch and thread in one word. 0 is never.
class Stamp {
 public:
  constexpr Stamp() = default;
  constexpr Stamp(std::uint32_t interval, std::uint32_t epoch, std::uint32_t thread)
      : bits_(std::uint64_t{interval} << 32 | epoch << 10 | thread) {}

  constexpr std::uint32_t interval() const { return static_cast<std::uint32_t>(bits_ >> 32); }
  constexpr std::uint32_t epoch() const { return static_cast<std::uint32_t>(bits_) >> 10; }
  constexpr std::uint32_t thread() const { return static_cast<std::uint32_t>(bits_) & 1023u; }
  constexpr std::uint32_t warp() const { return thread() >> 5; }

  friend constexpr bool operator==(Stamp, Stamp) = default;

 private:
  std::uint64_t bits_ = 0;
};

inline constexpr std::uint32_t kMaxEpoch = (1u << 22) - 1;

/// The present: who runs, and what it knows.
struct Now {
  Stamp stamp;
  std::uint32_t launch_begin = 1;        // first interval of the launch
  std::uint32_t block_begin = 1;         // first interval of the block
  const std::uint32_t* known = nullptr;  // by lane of the warp: the epochs of it that lie behind a __syncwarp with it
};

enum class Access : std::uint8_t { read, write, atomic };

/// A conflict: an earlier access that nothing orders before this one.
struct Conflict {
  bool found = false;
  bool never_written = false;
  Access access = Access::read;
  Stamp stamp;
};

/// Shadow of all memory that kernels touch.
class Shadow {
 public:
  /// Records an access and returns what it conflicts with. Memory that is fresh in every block (`is_shared`) does not
  /// remember the blocks before, and must be written before it is read.
  Conflict access(std::uintptr_t address, std::uint32_t bytes, Access kind, bool is_shared, const Now& now);

  /// Drops the shadow where it has become large. Not within a launch.
  void trim();

  /// Forgets everything: intervals start again.
  void clear();

 private:
  // Two readers are enough to find any later conflict between warps: they are kept in different warps if they can.
  struct Cell {
    Stamp write;
    Stamp read[2];
    Stamp atomic;
  };

  struct Page {
    std::uint32_t shift = 2;  // bytes of a cell, as a power of two
    std::vector<Cell> cells;
  };

  static constexpr std::uint32_t kPageShift = 12;
  static constexpr std::uintptr_t kPageBytes = std::uintptr_t{1} << kPageShift;
  static constexpr std::size_t kRecent = 1024;
  static constexpr std::size_t kMostPages = 4096;  // 128 MiB of cells of four bytes

  struct Recent {
    std::uintptr_t number = 0;
    Page* page = nullptr;
  };

  Page& page_of(std::uintptr_t address);
  static void refine(Page& page, std::uint32_t shift);
  static Conflict touch(Cell& cell, Access kind, bool is_shared, const Now& now);

  std::unordered_map<std::uintptr_t, std::unique_ptr<Page>> pages_;
  std::array<Recent, kRecent> recent_{};
};

}  // namespace sparsert::simt
