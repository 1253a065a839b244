// device/simt/shadow.cpp — the rules of the race check.
#include "device/simt/shadow.hpp"

#include <bit>

namespace sparsert::simt {
namespace {

/// True if nothing is to be said against the access at `stamp`: it was before interval `begin`, or is ordered before
/// now.
bool is_ordered(Stamp stamp, std::uint32_t begin, const Now& now) {
  if (stamp.interval() < begin) return true;
  if (stamp.interval() < now.block_begin) return false;
  if (stamp.interval() < now.stamp.interval()) return true;
  if (stamp.thread() == now.stamp.thread()) return true;
  if (stamp.warp() != now.stamp.warp()) return false;
  return stamp.epoch() <= now.known[stamp.thread() & 31u];
}

bool same_warp(Stamp a, Stamp b, const Now& now) {
  // Different blocks have different intervals; within one block an unordered pair has the same interval.
  return a.interval() == b.interval() && a.warp() == b.warp() && a.interval() >= now.block_begin;
}

}  // namespace

Shadow::Page& Shadow::page_of(std::uintptr_t address) {
  const std::uintptr_t number = address >> kPageShift;
  Recent& recent = recent_[number % kRecent];
  if (recent.page == nullptr || recent.number != number) {
    std::unique_ptr<Page>& page = pages_[number];
    if (!page) {
      page = std::make_unique<Page>();
      page->cells.resize(kPageBytes >> page->shift);
    }
    recent = {number, page.get()};
  }
  return *recent.page;
}

void Shadow::refine(Page& page, std::uint32_t shift) {
  const std::uint32_t copies = 1u << (page.shift - shift);
  std::vector<Cell> cells;
  cells.reserve(page.cells.size() * copies);
  for (const Cell& cell : page.cells) cells.insert(cells.end(), copies, cell);
  page.cells = std::move(cells);
  page.shift = shift;
}

inline Conflict Shadow::touch(Cell& cell, Access kind, bool is_shared, const Now& now) {
  const std::uint32_t begin = is_shared ? now.block_begin : now.launch_begin;
  if (is_shared && kind != Access::write && cell.write.interval() < now.block_begin &&
      cell.atomic.interval() < now.block_begin) {
    return {.found = true, .never_written = true, .access = kind, .stamp = {}};
  }
  if (!is_ordered(cell.write, begin, now))
    return {.found = true, .never_written = false, .access = Access::write, .stamp = cell.write};
  if (kind != Access::atomic && !is_ordered(cell.atomic, begin, now)) {
    return {.found = true, .never_written = false, .access = Access::atomic, .stamp = cell.atomic};
  }
  if (kind == Access::read) {
    if (is_ordered(cell.read[0], begin, now)) {
      cell.read[0] = now.stamp;
    } else if (is_ordered(cell.read[1], begin, now) || same_warp(cell.read[0], cell.read[1], now)) {
      cell.read[1] = now.stamp;
    }
    return {};
  }
  for (const Stamp read : cell.read) {
    if (!is_ordered(read, begin, now))
      return {.found = true, .never_written = false, .access = Access::read, .stamp = read};
  }
  if (kind == Access::write) {
    cell.write = now.stamp;
  } else if (is_ordered(cell.atomic, begin, now)) {
    cell.atomic = now.stamp;  // else the first of several unordered ones stays: any of them will do
  }
  return {};
}

Conflict Shadow::access(std::uintptr_t address, std::uint32_t bytes, Access kind, bool is_shared, const Now& now) {
  const std::uintptr_t end = address + bytes;
  while (address < end) {
    Page& page = page_of(address);
    const std::uintptr_t page_end = (address | (kPageBytes - 1)) + 1;
    const std::uintptr_t stop = end < page_end ? end : page_end;
    const auto shift = static_cast<std::uint32_t>(std::countr_zero(address | stop));
    if (shift < page.shift) refine(page, shift);
    for (; address < stop; address += std::uintptr_t{1} << page.shift) {
      Cell& cell = page.cells[(address & (kPageBytes - 1)) >> page.shift];
      if (const Conflict conflict = touch(cell, kind, is_shared, now); conflict.found) return conflict;
    }
  }
  return {};
}

void Shadow::trim() {
  if (pages_.size() > kMostPages) clear();
}

void Shadow::clear() {
  pages_.clear();
  recent_ = {};
}

}  // namespace sparsert::simt
