// runtime/files/hdf5_heap.cpp — fractal heaps and B-trees of version 2.
#include "runtime/files/hdf5_heap.hpp"

#include <algorithm>
#include <bit>
#include <set>
#include <string>

#include "runtime/files/hdf5_file.hpp"

namespace sparsert::files::hdf5 {
namespace {

constexpr std::uint32_t kHeapHeader = 0x50485246;     // "FRHP"
constexpr std::uint32_t kDirectBlock = 0x42444846;    // "FHDB"
constexpr std::uint32_t kIndirectBlock = 0x42494846;  // "FHIB"
constexpr std::uint32_t kTreeHeader = 0x44485442;     // "BTHD"
constexpr std::uint32_t kLeaf = 0x464c5442;           // "BTLF"
constexpr std::uint32_t kInternal = 0x4e495442;       // "BTIN"
constexpr std::uint64_t kMaxBlocks = 100'000;
constexpr int kMaxDepth = 16;

unsigned bytes_for(std::uint64_t value) { return static_cast<unsigned>((std::bit_width(value) + 7) / 8); }

}  // namespace

FractalHeap::FractalHeap(Window& window, std::uint64_t address) : window_(window), address_(address) {
  if (window.number(address, 4) != kHeapHeader || window.number(address + 4, 1) != 0)
    window.fail(address, "expected a fractal heap");
  const std::uint64_t filters = window.number(address + 7, 2);
  if (filters != 0) window.fail(address, "a heap went through filters, which is not read");
  has_sums_ = (window.number(address + 9, 1) & 2) != 0;
  const std::uint64_t most_object = window.number(address + 10, 4);
  width_ = window.number(address + 110, 2);
  first_bytes_ = window.number(address + 112, 8);
  most_bytes_ = window.number(address + 120, 8);
  const std::uint64_t bits = window.number(address + 128, 2);
  const std::uint64_t root = window.number(address + 132, 8);
  const std::uint64_t rows = window.number(address + 140, 2);
  check_sum(window, {address, address + 142});
  if (width_ == 0 || bits == 0 || bits > 64 || !std::has_single_bit(first_bytes_) ||
      !std::has_single_bit(most_bytes_) || most_bytes_ < first_bytes_) {
    window.fail(address, "a heap's blocks have impossible sizes");
  }
  offset_bytes_ = static_cast<unsigned>((bits + 7) / 8);
  length_bytes_ = std::min(bytes_for(most_bytes_), bytes_for(most_object));
  if (root == kUndefined) return;
  if (rows == 0) {
    add_block(0, root, first_bytes_);
  } else {
    add_indirect(root, 0, rows, 0);
  }
}

void FractalHeap::add_block(std::uint64_t begin, std::uint64_t address, std::uint64_t bytes) {
  if (window_.number(address, 4) != kDirectBlock || window_.number(address + 4, 1) != 0 ||
      window_.number(address + 5, 8) != address_)
    window_.fail(address, "expected a block of a heap");
  if (blocks_.size() == kMaxBlocks) window_.fail(address, "a heap has too many blocks");
  const Range place{address, address + bytes};
  window_.check(place);
  blocks_.push_back({begin, place});
}

std::uint64_t FractalHeap::row_bytes(std::uint64_t row) const {
  return row < 2                                                                 ? first_bytes_
         : row - 1 >= static_cast<std::uint64_t>(std::countl_zero(first_bytes_)) ? 0
                                                                                 : first_bytes_ << (row - 1);
}

void FractalHeap::add_indirect(std::uint64_t address, std::uint64_t begin, std::uint64_t rows, int depth) {
  if (window_.number(address, 4) != kIndirectBlock || window_.number(address + 4, 1) != 0 ||
      window_.number(address + 5, 8) != address_)
    window_.fail(address, "expected a block of blocks of a heap");
  if (depth == kMaxDepth || rows > 64) window_.fail(address, "a heap is too deep");
  const std::uint64_t entries = address + 13 + offset_bytes_;
  check_sum(window_, {address, entries + rows * width_ * 8});
  std::uint64_t at = begin;
  for (std::uint64_t row = 0; row < rows; ++row) {
    const std::uint64_t bytes = row_bytes(row);
    if (bytes == 0) window_.fail(address, "a heap is larger than 2^64 bytes");
    for (std::uint64_t column = 0; column < width_; ++column) {
      const std::uint64_t child = window_.number(entries + (row * width_ + column) * 8, 8);
      if (child != kUndefined && bytes <= most_bytes_) {
        add_block(at, child, bytes);
      } else if (child != kUndefined) {
        window_.fail(child, "a heap of more than one level, which is not read");
      }
      if (__builtin_add_overflow(at, bytes, &at)) window_.fail(address, "a heap is larger than 2^64 bytes");
    }
  }
}

Range FractalHeap::find(Range id) {
  if (id.size() < 1 + offset_bytes_ + std::uint64_t{length_bytes_})
    window_.fail(id.begin, "an identifier is too short");
  if (window_.number(id.begin, 1) != 0)
    window_.fail(id.begin, "an object outside the blocks of its heap, which is not read");
  const std::uint64_t offset = window_.number(id.begin + 1, offset_bytes_);
  const std::uint64_t length = window_.number(id.begin + 1 + offset_bytes_, length_bytes_);
  auto block = std::upper_bound(blocks_.begin(), blocks_.end(), offset,
                                [](std::uint64_t value, const Block& one) { return value < one.begin; });
  if (block == blocks_.begin()) window_.fail(id.begin, "an object lies outside its heap");
  --block;
  const std::uint64_t into = offset - block->begin;
  if (into > block->place.size() || length > block->place.size() - into)
    window_.fail(id.begin, "an object lies outside its heap");
  return {block->place.begin + into, block->place.begin + into + length};
}

void each_record(Window& window, std::uint64_t address, unsigned type, const std::function<void(Range)>& take) {
  if (window.number(address, 4) != kTreeHeader || window.number(address + 4, 1) != 0 ||
      window.number(address + 5, 1) != type)
    window.fail(address, "expected a B-tree of version 2 and type " + std::to_string(type));
  check_sum(window, {address, address + 34});
  const std::uint64_t node_bytes = window.number(address + 6, 4);
  const std::uint64_t record_bytes = window.number(address + 10, 2);
  const std::uint64_t depth = window.number(address + 12, 2);
  if (record_bytes == 0 || node_bytes < 10 + record_bytes || depth > 8)
    window.fail(address, "a B-tree has impossible sizes");
  // How many records a node of each level holds, with all below it: their sizes say how wide the counts are stored.
  constexpr std::uint64_t kOverhead = 10;
  const std::uint64_t leaf_most = (node_bytes - kOverhead) / record_bytes;
  const unsigned count_bytes = bytes_for(leaf_most);
  std::vector<unsigned> total_bytes{0};
  std::uint64_t below = leaf_most;
  for (std::uint64_t level = 1; level <= depth; ++level) {
    const std::uint64_t pointer = 8 + count_bytes + total_bytes.back();
    const std::uint64_t most =
        (node_bytes - kOverhead - std::min(node_bytes - kOverhead, pointer)) / (record_bytes + pointer);
    total_bytes.push_back(0);
    if (__builtin_mul_overflow(below, most + 1, &below) || __builtin_add_overflow(below, most, &below))
      window.fail(address, "a B-tree has impossible sizes");
    total_bytes.back() = bytes_for(below);
  }
  struct Step {
    std::uint64_t address;
    std::uint64_t records;
    std::uint64_t level;
  };
  std::set<std::uint64_t> visited;
  std::uint64_t bytes = 0;
  std::vector<Step> steps;
  const std::uint64_t root = window.number(address + 16, 8);
  if (root != kUndefined) steps.push_back({root, window.number(address + 24, 2), depth});
  while (!steps.empty()) {
    const Step step = steps.back();
    steps.pop_back();
    if (!visited.insert(step.address).second) window.fail(step.address, "a node of a B-tree is there twice");
    if (window.number(step.address, 4) != (step.level == 0 ? kLeaf : kInternal) ||
        window.number(step.address + 5, 1) != type)
      window.fail(step.address, "expected a node of a B-tree of version 2");
    const std::uint64_t begin = step.address + 6;
    const std::uint64_t records_end = begin + step.records * record_bytes;
    const std::uint64_t pointer =
        step.level == 0 ? 0 : 8 + count_bytes + (step.level > 1 ? total_bytes[step.level - 1] : 0);
    const std::uint64_t end = records_end + (step.level == 0 ? 0 : (step.records + 1) * pointer);
    if (end - step.address + 4 > node_bytes) window.fail(step.address, "a node of a B-tree is too full");
    bytes += end - step.address;
    if (bytes > window.size()) window.fail(step.address, "a B-tree is larger than the file");
    check_sum(window, {step.address, end});
    for (std::uint64_t i = 0; i < step.records; ++i) take({begin + i * record_bytes, begin + (i + 1) * record_bytes});
    for (std::uint64_t i = 0; step.level > 0 && i <= step.records; ++i) {
      const std::uint64_t at = records_end + i * pointer;
      steps.push_back({window.number(at, 8), window.number(at + 8, count_bytes), step.level - 1});
    }
  }
}

}  // namespace sparsert::files::hdf5
