// device/simt/profile.cpp — sectors of global requests, bank conflicts of shared ones.
#include "device/simt/profile.hpp"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace sparsert::simt {
namespace {

constexpr std::uintptr_t kSector = 32;
constexpr std::uintptr_t kBankBytes = 4;
constexpr std::uintptr_t kBanks = 32;
constexpr std::uint32_t kPassBytes = 128;  // of one pass over all banks

}  // namespace

void Profile::start(std::size_t warps) {
  sites_.clear();
  warps_.assign(warps, {});
}

void Profile::note(std::uint32_t thread, const void* site, Space space, std::uintptr_t address, std::uint32_t bytes) {
  const std::uint32_t id = sites_.try_emplace(site, static_cast<std::uint32_t>(sites_.size())).first->second;
  WarpLog& log = warps_[thread / 32];
  std::vector<std::uint32_t>& seen = log.seen[thread % 32];
  if (seen.size() <= id) seen.resize(id + 1);
  log.entries.push_back(
      {id, seen[id]++, address, static_cast<std::uint16_t>(bytes), static_cast<std::uint8_t>(thread % 32), space});
}

void Profile::count_global(const Entry* first, const Entry* last, Counters& counters) {
  std::set<std::uintptr_t> sectors;
  std::uintptr_t distinct = 0;
  std::uintptr_t end = 0;  // of the bytes counted so far; entries come by address
  for (const Entry* e = first; e != last; ++e) {
    for (std::uintptr_t s = e->address / kSector; s <= (e->address + e->bytes - 1) / kSector; ++s) sectors.insert(s);
    const std::uintptr_t stop = e->address + e->bytes;
    if (stop > end) distinct += stop - std::max(end, e->address);
    end = std::max(end, stop);
  }
  ++counters.global_requests;
  counters.global_sectors += static_cast<std::int64_t>(sectors.size());
  counters.ideal_sectors += static_cast<std::int64_t>((distinct + kSector - 1) / kSector);
}

void Profile::count_shared(const Entry* first, const Entry* last, Counters& counters) {
  // Wide accesses go in several passes, each of as many lanes as fill the banks once.
  const std::uint32_t lanes_of_pass =
      std::min<std::uint32_t>(32, kPassBytes / std::max<std::uint32_t>(4, first->bytes));
  std::int64_t conflicts = 0;
  for (std::uint32_t begin = 0; begin < 32; begin += lanes_of_pass) {
    std::array<std::set<std::uintptr_t>, kBanks> words;
    for (const Entry* e = first; e != last; ++e) {
      if (e->lane < begin || e->lane >= begin + lanes_of_pass) continue;
      for (std::uintptr_t w = e->address / kBankBytes; w <= (e->address + e->bytes - 1) / kBankBytes; ++w) {
        words[w % kBanks].insert(w);
      }
    }
    std::size_t passes = 0;
    for (const auto& of_bank : words) passes = std::max(passes, of_bank.size());
    if (passes > 1) conflicts += static_cast<std::int64_t>(passes) - 1;
  }
  ++counters.shared_requests;
  counters.bank_conflicts += conflicts;
}

void Profile::flush(std::size_t warp, std::uint32_t lanes, Counters& counters) {
  WarpLog& log = warps_[warp];
  std::sort(log.entries.begin(), log.entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.site, a.ordinal, a.address) < std::tie(b.site, b.ordinal, b.address);
  });
  const Entry* const end = log.entries.data() + log.entries.size();
  for (const Entry* first = log.entries.data(); first != end;) {
    const Entry* const last =
        std::find_if(first, end, [&](const Entry& e) { return e.site != first->site || e.ordinal != first->ordinal; });
    if (first->space == Space::global) {
      count_global(first, last, counters);
    } else {
      count_shared(first, last, counters);
    }
    counters.active_lanes += last - first;
    counters.warp_lanes += lanes;
    first = last;
  }
  log.entries.clear();
  for (auto& seen : log.seen) seen.clear();
}

}  // namespace sparsert::simt
