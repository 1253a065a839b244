// runtime/files/hdf5_heap.hpp — where newer HDF5 files keep the links of large groups.
#pragma once

#include <functional>
#include <vector>

#include "runtime/files/window.hpp"

namespace sparsert::files::hdf5 {

/// Objects by an identifier: a place in an address space that blocks of growing size make up. Objects that are stored
/// elsewhere (huge), in their identifier (tiny), or in blocks that went through filters are refused.
class FractalHeap {
 public:
  FractalHeap(Window& window, std::uint64_t address);

  /// The object with the identifier that lies at `id`.
  Range find(Range id);

 private:
  struct Block {
    std::uint64_t begin;  ///< in the address space of the heap
    Range place;          ///< in the file
  };

  void add_block(std::uint64_t begin, std::uint64_t address, std::uint64_t bytes);
  void add_indirect(std::uint64_t address, std::uint64_t begin, std::uint64_t rows, int depth);
  std::uint64_t row_bytes(std::uint64_t row) const;

  Window& window_;
  std::uint64_t address_;
  std::uint64_t width_ = 0;
  std::uint64_t first_bytes_ = 0;
  std::uint64_t most_bytes_ = 0;  ///< of a direct block
  unsigned offset_bytes_ = 0;
  unsigned length_bytes_ = 0;
  bool has_sums_ = false;
  std::vector<Block> blocks_;  ///< in order
};

/// Gives each record of a B-tree of version 2 to `take`. Throws for a tree of another type.
void each_record(Window& window, std::uint64_t address, unsigned type, const std::function<void(Range)>& take);

}  // namespace sparsert::files::hdf5
