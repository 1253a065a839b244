// runtime/files/hdf5_index.cpp — where the chunks of a dataset are, as HDF5 1.10 and later write it.
//
// Besides a single chunk and chunks in a row there are two arrays with an entry for each chunk that the dataset may
// ever have (fixed: its size has a limit; extensible: one dimension has none), and a B-tree of version 2 where several
// dimensions have none. Every block has a checksum, and no more bytes are followed than the file has.
#include <algorithm>
#include <bit>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "runtime/files/hdf5_fields.hpp"
#include "runtime/files/hdf5_file.hpp"
#include "runtime/files/hdf5_heap.hpp"

namespace sparsert::files::hdf5 {
namespace {

enum class Index : std::uint8_t { single = 1, in_a_row, fixed_array, extensible_array, tree };

constexpr std::uint64_t kAddress = 8;
constexpr std::uint64_t kSum = 4;
constexpr std::uint64_t kMask = 4;
constexpr std::uint64_t kPrefix = 14;  // signature, version, what the entries are, address of the header

/// What both arrays share: blocks of entries, each under a checksum.
class Blocks {
 public:
  Blocks(Window& window, std::uint64_t header, bool is_filtered)
      : window_(window), header_(header), is_filtered_(is_filtered) {}

 protected:
  /// Checks the beginning of a header. Blocks name the header that they belong to.
  void check_header(std::uint32_t signature, std::uint64_t bytes) {
    check_begin(header_, signature);
    entry_bytes_ = window_.number(header_ + 6, 1);
    const std::uint64_t expected = is_filtered_ ? kAddress + kMask + 1 : kAddress;
    if (is_filtered_ ? entry_bytes_ < expected || entry_bytes_ > expected + 7 : entry_bytes_ != expected)
      window_.fail(header_, "an index has entries of " + std::to_string(entry_bytes_) + " bytes");
    proven({header_, header_ + bytes});
  }

  void check_block(std::uint64_t address, std::uint32_t signature, std::uint64_t bytes) {
    if (!proven_.contains(address)) {
      check_begin(address, signature);
      if (window_.number(address + 6, kAddress) != header_) window_.fail(address, "a block of another index");
    }
    proven({address, address + bytes});
  }

  /// Checks the sum of a block or page, once.
  void proven(Range block) {
    if (!proven_.insert(block.begin).second) return;
    // Blocks that lie over each other could have more bytes than the file.
    bytes_ += block.size();
    if (block.end < block.begin || bytes_ > window_.size())
      window_.fail(block.begin, "an index is larger than the file");
    check_sum(window_, block);
  }

  /// True where bit `number` is set, the highest of a byte first.
  bool is_set(std::uint64_t bits, std::uint64_t number) {
    return (window_.number(bits + number / 8, 1) & (0x80u >> (number % 8))) != 0;
  }

  Window& window_;
  std::uint64_t header_;
  std::uint64_t entry_bytes_ = 0;

 private:
  void check_begin(std::uint64_t address, std::uint32_t signature) {
    if (window_.number(address, 4) != signature || window_.number(address + 4, 1) != 0 ||
        window_.number(address + 5, 1) != (is_filtered_ ? 1 : 0))
      window_.fail(address, "expected a block of an index of chunks");
  }

  bool is_filtered_;
  std::uint64_t bytes_ = 0;
  std::set<std::uint64_t> proven_;
};

/// Bytes of a bit for each of `pages`.
constexpr std::uint64_t bit_bytes(std::uint64_t pages) { return (pages + 7) / 8; }

class FixedArray : Blocks {
 public:
  FixedArray(Window& window, std::uint64_t header, bool is_filtered) : Blocks(window, header, is_filtered) {
    constexpr std::uint32_t kHeader = 0x44484146;  // "FAHD"
    constexpr std::uint64_t kHeaderBytes = 24;
    check_header(kHeader, kHeaderBytes);
    const std::uint64_t bits = window.number(header + 7, 1);
    count_ = window.number(header + 8, 8);
    block_ = window.number(header + 16, kAddress);
    if (bits > 32 || count_ > window.size()) window.fail(header, "an index has impossible sizes");
    page_ = std::uint64_t{1} << bits;
    pages_ = count_ > page_ ? (count_ + page_ - 1) / page_ : 0;
  }

  /// Where the entry of chunk `number` is; none where it was never written.
  std::optional<std::uint64_t> find(std::uint64_t number) {
    constexpr std::uint32_t kBlock = 0x42444146;  // "FADB"
    if (number >= count_) window_.fail(header_, "an index has no place for chunk " + std::to_string(number));
    if (block_ == kUndefined) return std::nullopt;
    if (pages_ == 0) {
      check_block(block_, kBlock, kPrefix + count_ * entry_bytes_);
      return block_ + kPrefix + number * entry_bytes_;
    }
    const std::uint64_t prefix = kPrefix + bit_bytes(pages_);
    check_block(block_, kBlock, prefix);
    const std::uint64_t page = number / page_;
    if (!is_set(block_ + kPrefix, page)) return std::nullopt;
    const std::uint64_t begin = block_ + prefix + kSum + page * (page_ * entry_bytes_ + kSum);
    const std::uint64_t entries = std::min(page_, count_ - page * page_);
    proven({begin, begin + entries * entry_bytes_});
    return begin + number % page_ * entry_bytes_;
  }

 private:
  std::uint64_t count_ = 0;
  std::uint64_t block_ = 0;
  std::uint64_t page_ = 0;   // entries of a page
  std::uint64_t pages_ = 0;  // 0: the block is not divided
};

/// Grows by levels: level u has 2^(u / 2) blocks of 2^((u + 1) / 2) times the smallest block's entries. The first
/// entries, and the addresses of the blocks of the first levels, are in a block of their own.
class ExtensibleArray : Blocks {
 public:
  ExtensibleArray(Window& window, std::uint64_t header, bool is_filtered) : Blocks(window, header, is_filtered) {
    constexpr std::uint32_t kHeader = 0x44484145;  // "EAHD"
    constexpr std::uint64_t kHeaderBytes = 68;
    check_header(kHeader, kHeaderBytes);
    const std::uint64_t bits = window.number(header + 7, 1);
    direct_ = window.number(header + 8, 1);
    smallest_ = window.number(header + 9, 1);
    const std::uint64_t pointers = window.number(header + 10, 1);
    const std::uint64_t page_bits = window.number(header + 11, 1);
    first_ = window.number(header + 60, kAddress);
    if (!std::has_single_bit(smallest_) || !std::has_single_bit(pointers) || bits == 0 || bits > 64 || page_bits > 32)
      window.fail(header, "an index has impossible sizes");
    const auto smallest_bits = static_cast<std::uint64_t>(std::countr_zero(smallest_));
    if (bits < smallest_bits) window.fail(header, "an index has impossible sizes");
    offset_bytes_ = (bits + 7) / 8;
    page_ = std::uint64_t{1} << page_bits;
    levels_ = 1 + bits - smallest_bits;
    near_levels_ = 2 * static_cast<std::uint64_t>(std::countr_zero(pointers));
    near_blocks_ = 2 * (pointers - 1);
    if (near_levels_ > levels_) window.fail(header, "an index has impossible sizes");
  }

  /// Where the entry of chunk `number` is; none where it was never written.
  std::optional<std::uint64_t> find(std::uint64_t number) {
    constexpr std::uint32_t kFirst = 0x42494145;  // "EAIB"
    if (first_ == kUndefined) return std::nullopt;
    const std::uint64_t near = first_ + kPrefix + direct_ * entry_bytes_;
    const std::uint64_t far = near + near_blocks_ * kAddress;
    check_block(first_, kFirst, far + (levels_ - near_levels_) * kAddress - first_);
    if (number < direct_) return first_ + kPrefix + number * entry_bytes_;
    number -= direct_;
    const auto level = static_cast<std::uint64_t>(std::bit_width(number / smallest_ + 1) - 1);
    if (level >= levels_) window_.fail(header_, "an index has no place for chunk " + std::to_string(number));
    const std::uint64_t at = number - ((std::uint64_t{1} << level) - 1) * smallest_;
    const std::uint64_t entries = (std::uint64_t{1} << (level + 1) / 2) * smallest_;
    if (level >= near_levels_) {
      return in_far_level(window_.number(far + (level - near_levels_) * kAddress, kAddress), level, entries, at);
    }
    if (entries > page_) window_.fail(header_, "an index has impossible sizes");
    // The levels before have 2^(0 / 2) + 2^(1 / 2) + ... blocks.
    std::uint64_t before = 0;
    for (std::uint64_t u = 0; u < level; ++u) before += std::uint64_t{1} << u / 2;
    return in_block(window_.number(near + (before + at / entries) * kAddress, kAddress), entries, at % entries);
  }

 private:
  static constexpr std::uint32_t kBlock = 0x42444145;  // "EADB"

  std::optional<std::uint64_t> in_far_level(std::uint64_t address, std::uint64_t level, std::uint64_t entries,
                                            std::uint64_t at) {
    constexpr std::uint32_t kLevel = 0x42534145;  // "EASB"
    if (address == kUndefined) return std::nullopt;
    const std::uint64_t blocks = std::uint64_t{1} << level / 2;
    const std::uint64_t pages = entries > page_ ? entries / page_ : 0;
    if (blocks > window_.size() || entries > window_.size()) window_.fail(address, "an index is larger than the file");
    const std::uint64_t bits = address + kPrefix + offset_bytes_;
    const std::uint64_t addresses = bits + blocks * bit_bytes(pages);
    check_block(address, kLevel, addresses + blocks * kAddress - address);
    const std::uint64_t block = window_.number(addresses + at / entries * kAddress, kAddress);
    if (pages == 0) return in_block(block, entries, at % entries);
    const std::uint64_t page = at % entries / page_;
    if (block == kUndefined || !is_set(bits, at / entries * pages + page)) return std::nullopt;
    const std::uint64_t prefix = kPrefix + offset_bytes_;
    check_block(block, kBlock, prefix);
    const std::uint64_t begin = block + prefix + kSum + page * (page_ * entry_bytes_ + kSum);
    proven({begin, begin + page_ * entry_bytes_});
    return begin + at % page_ * entry_bytes_;
  }

  std::optional<std::uint64_t> in_block(std::uint64_t address, std::uint64_t entries, std::uint64_t at) {
    if (address == kUndefined) return std::nullopt;
    const std::uint64_t begin = address + kPrefix + offset_bytes_;
    check_block(address, kBlock, begin + entries * entry_bytes_ - address);
    return begin + at * entry_bytes_;
  }

  std::uint64_t direct_ = 0;  // entries in the first block
  std::uint64_t smallest_ = 0;
  std::uint64_t first_ = 0;
  std::uint64_t offset_bytes_ = 0;
  std::uint64_t page_ = 0;
  std::uint64_t levels_ = 0;
  std::uint64_t near_levels_ = 0;  // whose blocks the first block names
  std::uint64_t near_blocks_ = 0;
};

/// The chunks of a dataset, numbered as its index does.
class Finder {
 public:
  Finder(Window& window, Dataset& dataset) : window_(window), out_(dataset.layout), rank_(dataset.space.shape.size()) {
    whole_ = 1;
    for (const std::uint64_t size : out_.chunk) {
      if (size == 0) fail("a chunk has a dimension of 0");
      if (__builtin_mul_overflow(whole_, size, &whole_)) fail("a chunk overflows 2^64 bytes");
    }
    for (std::size_t d = 0; d < rank_; ++d) {
      counts_.push_back(chunks_in(static_cast<std::uint64_t>(dataset.space.shape[d]), out_.chunk[d]));
      most_.push_back(dataset.space.maximum[d]);
    }
    is_filtered_ = !out_.filters.empty();
  }

  bool is_filtered() const noexcept { return is_filtered_; }

  void add_single(Fields& fields, bool is_filtered) {
    Chunk chunk;
    chunk.offset.assign(rank_, 0);
    chunk.bytes = is_filtered ? fields.number(8) : whole_;
    if (is_filtered) chunk.skipped = static_cast<std::uint32_t>(fields.number(4));
    chunk.address = fields.number(kAddress);
    if (chunk.address != kUndefined) out_.chunks.push_back(std::move(chunk));
  }

  void add_row(std::uint64_t address) {
    if (is_filtered_) fail("chunks in a row that went through filters");
    each(none_is_first, [&](Chunk chunk, std::uint64_t number) {
      std::uint64_t offset = 0;
      if (__builtin_mul_overflow(number, whole_, &offset) || __builtin_add_overflow(offset, address, &chunk.address))
        fail("a chunk lies behind 2^64 bytes");
      chunk.bytes = whole_;
      out_.chunks.push_back(std::move(chunk));
    });
  }

  /// Of an array; the dimension without a limit is the slowest where there is one.
  template <class Array>
  void add_entries(Array array, std::uint64_t entry_sizes) {
    const auto unlimited = std::find(most_.begin(), most_.end(), kUndefined);
    const std::size_t first =
        unlimited == most_.end() ? none_is_first : static_cast<std::size_t>(unlimited - most_.begin());
    each(first, [&](Chunk chunk, std::uint64_t number) {
      if (const auto entry = array.find(number)) add(std::move(chunk), *entry, entry_sizes);
    });
  }

  void add_tree(std::uint64_t address) {
    constexpr unsigned kPlain = 10;
    constexpr unsigned kFiltered = 11;
    each_record(window_, address, is_filtered_ ? kFiltered : kPlain, [&](Range record) {
      const std::uint64_t places = rank_ * 8;
      const std::uint64_t least = kAddress + (is_filtered_ ? kMask + 1 : 0) + places;
      if (is_filtered_ ? record.size() < least || record.size() > least + 7 : record.size() != least)
        window_.fail(record.begin, "a record of " + std::to_string(record.size()) + " bytes for a chunk");
      Chunk chunk;
      for (std::size_t d = 0; d < rank_; ++d) {
        const std::uint64_t place = window_.number(record.end - places + 8 * d, 8);
        if (place >= counts_[d]) window_.fail(record.begin, "a chunk outside its dataset");
        chunk.offset.push_back(place * out_.chunk[d]);
      }
      add(std::move(chunk), record.begin, record.size() - places);
    });
  }

  [[noreturn]] void fail(const std::string& reason) const { window_.fail(0, reason); }

 private:
  static constexpr std::size_t none_is_first = ~std::size_t{0};

  static std::uint64_t chunks_in(std::uint64_t size, std::uint64_t chunk) {
    return size / chunk + (size % chunk != 0 ? 1 : 0);
  }

  void add(Chunk chunk, std::uint64_t entry, std::uint64_t entry_bytes) {
    chunk.address = window_.number(entry, kAddress);
    chunk.bytes = whole_;
    if (is_filtered_) {
      const auto width = static_cast<unsigned>(entry_bytes - kAddress - kMask);
      chunk.bytes = window_.number(entry + kAddress, width);
      chunk.skipped = static_cast<std::uint32_t>(window_.number(entry + kAddress + width, kMask));
    }
    if (chunk.address != kUndefined) out_.chunks.push_back(std::move(chunk));
  }

  /// Calls `take` with the place and the number of each chunk. Numbers count all that the dataset may grow to, row by
  /// row, with dimension `first` as the slowest.
  void each(std::size_t first, const std::function<void(Chunk, std::uint64_t)>& take) {
    std::vector<std::uint64_t> stride(rank_, 0);
    std::uint64_t product = 1;
    for (std::size_t d = rank_; d-- > 0;) {
      if (d == first) continue;
      stride[d] = product;
      if (__builtin_mul_overflow(product, chunks_in(most_[d], out_.chunk[d]), &product))
        fail("a dataset may have more than 2^64 chunks");
    }
    if (first != none_is_first) stride[first] = product;
    std::uint64_t total = 1;
    for (const std::uint64_t count : counts_) {
      // Each has an address or its bytes in the file.
      if (__builtin_mul_overflow(total, count, &total)) fail("a dataset has more than 2^64 chunks");
    }
    if (total > window_.size() / kAddress)
      fail("a dataset of " + std::to_string(total) + " chunks, more than the file has room for");
    std::vector<std::uint64_t> place(rank_, 0);
    for (std::uint64_t n = 0; n < total; ++n) {
      Chunk chunk;
      std::uint64_t number = 0;
      for (std::size_t d = 0; d < rank_; ++d) {
        chunk.offset.push_back(place[d] * out_.chunk[d]);
        std::uint64_t before = 0;
        if (__builtin_mul_overflow(place[d], stride[d], &before) || __builtin_add_overflow(number, before, &number))
          fail("a dataset may have more than 2^64 chunks");
      }
      take(std::move(chunk), number);
      for (std::size_t d = rank_; d-- > 0;) {
        if (++place[d] < counts_[d]) break;
        place[d] = 0;
      }
    }
  }

  Window& window_;
  hdf5::Layout& out_;
  std::size_t rank_;
  std::uint64_t whole_ = 0;            // bytes of a chunk before its filters
  std::vector<std::uint64_t> counts_;  // chunks in each dimension
  std::vector<std::uint64_t> most_;    // elements that each dimension may grow to
  bool is_filtered_ = false;
};

}  // namespace

void find_chunks(Window& window, Range data, Dataset& dataset) {
  Fields fields(window, data);
  const std::uint64_t flags = fields.number(1);
  const std::uint64_t rank = fields.number(1);
  const std::uint64_t bytes = fields.number(1);
  if (rank != dataset.space.shape.size() + 1 || bytes == 0 || bytes > 8)
    fields.fail("a chunk has " + std::to_string(rank) + " dimensions of " + std::to_string(bytes) + " bytes");
  for (std::uint64_t d = 0; d < rank; ++d) dataset.layout.chunk.push_back(fields.number(static_cast<unsigned>(bytes)));
  Finder finder(window, dataset);
  const bool is_filtered = finder.is_filtered();
  constexpr std::uint64_t kPartialUnfiltered = 1;
  if ((flags & kPartialUnfiltered) != 0 && is_filtered) {
    dataset.refusal = "has chunks at its edges that did not go through the filters, which is not read";
    return;
  }
  const std::uint64_t index = fields.number(1);
  // Parameters that the headers of the indices repeat.
  constexpr std::uint64_t kFixedParameters = 1;
  constexpr std::uint64_t kExtensibleParameters = 5;
  constexpr std::uint64_t kTreeParameters = 6;
  const auto address = [&](std::uint64_t parameters) {
    fields.skip(parameters);
    return fields.number(kAddress);
  };
  const auto entry_bytes = [&](std::uint64_t header) { return window.number(header + 6, 1); };
  switch (static_cast<Index>(index)) {
    case Index::single: return finder.add_single(fields, (flags & 2) != 0);
    case Index::in_a_row:
      if (const std::uint64_t at = address(0); at != kUndefined) finder.add_row(at);
      return;
    case Index::fixed_array:
      if (const std::uint64_t at = address(kFixedParameters); at != kUndefined)
        finder.add_entries(FixedArray(window, at, is_filtered), entry_bytes(at));
      return;
    case Index::extensible_array:
      if (const std::uint64_t at = address(kExtensibleParameters); at != kUndefined)
        finder.add_entries(ExtensibleArray(window, at, is_filtered), entry_bytes(at));
      return;
    case Index::tree:
      if (const std::uint64_t at = address(kTreeParameters); at != kUndefined) finder.add_tree(at);
      return;
  }
  dataset.refusal = "has its chunks in an index of type " + std::to_string(index) + ", which is not read";
}

}  // namespace sparsert::files::hdf5
