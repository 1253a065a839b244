// runtime/files/hdf5_chunk.cpp — chunks of HDF5 datasets, and the filters that they went through.
#include <zlib.h>

#include <algorithm>
#include <limits>

#include "runtime/files/hdf5_file.hpp"

namespace sparsert::files::hdf5 {
namespace {

constexpr unsigned kDeflate = 1;
constexpr unsigned kShuffle = 2;
constexpr unsigned kFletcher32 = 3;
constexpr std::size_t kSumBytes = 4;

using Data = std::vector<std::byte>;

/// Ends zlib's stream with its owner.
class Inflater {
 public:
  explicit Inflater(const Window& window, std::uint64_t at) {
    if (inflateInit(&stream_) != Z_OK) window.fail(at, "zlib cannot be started");
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// True where the input gives exactly the bytes of `out`.
  bool run(Data& in, Data& out) {
    stream_.next_in = reinterpret_cast<Bytef*>(in.data());
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    return inflate(&stream_, Z_FINISH) == Z_STREAM_END && stream_.avail_out == 0;
  }

 private:
  z_stream stream_{};
};

Data inflated(const Window& window, std::uint64_t at, Data data, std::uint64_t bytes) {
  if (data.size() > std::numeric_limits<uInt>::max() || bytes > std::numeric_limits<uInt>::max())
    window.fail(at, "a chunk of more than 4 GiB");
  Data out(static_cast<std::size_t>(bytes));
  if (!Inflater(window, at).run(data, out))
    window.fail(at, "a chunk does not inflate to its " + std::to_string(bytes) + " bytes");
  return out;
}

/// First all first bytes of the elements, then all second ones, ...: put together again.
Data unshuffled(const Data& data, std::size_t item) {
  if (item < 2) return data;
  const std::size_t count = data.size() / item;
  Data out(data.size());
  for (std::size_t k = 0; k < item; ++k) {
    for (std::size_t i = 0; i < count; ++i) out[i * item + k] = data[k * count + i];
  }
  std::copy(data.begin() + static_cast<std::ptrdiff_t>(count * item), data.end(),
            out.begin() + static_cast<std::ptrdiff_t>(count * item));
  return out;
}

std::uint32_t fletcher32(const std::byte* data, std::size_t bytes) {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  for (std::size_t i = 0; i < bytes; i += 2) {
    const std::uint64_t second = i + 1 < bytes ? std::to_integer<std::uint64_t>(data[i + 1]) : 0;
    low = (low + (std::to_integer<std::uint64_t>(data[i]) << 8 | second)) % 65535;
    high = (high + low) % 65535;
  }
  // The sums of the original are congruent, but where they are 0 mod 65535 they may be 65535; both mean the same.
  return static_cast<std::uint32_t>(high << 16 | low);
}

Data without_sum(const Window& window, std::uint64_t at, Data data) {
  if (data.size() < kSumBytes) window.fail(at, "a chunk is too short for its checksum");
  std::uint32_t stored = 0;
  for (std::size_t i = 0; i < kSumBytes; ++i)
    stored |= std::to_integer<std::uint32_t>(data[data.size() - kSumBytes + i]) << (8 * i);
  const auto canonical = [](std::uint32_t sum) {
    const std::uint32_t low = (sum & 0xffff) % 65535;
    return (sum >> 16) % 65535 << 16 | low;
  };
  data.resize(data.size() - kSumBytes);
  if (canonical(stored) != fletcher32(data.data(), data.size()))
    window.fail(at, "the checksum of a chunk is not that of its bytes");
  return data;
}

}  // namespace

std::vector<std::byte> read_chunk(const Window& window, const hdf5::Layout& layout, const Chunk& chunk) {
  Data data = window.source().read(chunk.address, chunk.bytes);
  // In the reverse of the order in which they were applied.
  for (std::size_t i = layout.filters.size(); i-- > 0;) {
    if ((chunk.skipped >> i & 1) != 0) continue;
    const Filter& filter = layout.filters[i];
    // What comes out of deflate is the chunk, with the sums of the filters before it.
    std::uint64_t sums = 0;
    for (std::size_t k = 0; k < i; ++k) {
      if (layout.filters[k].id == kFletcher32 && (chunk.skipped >> k & 1) == 0) sums += kSumBytes;
    }
    if (filter.id == kDeflate) data = inflated(window, chunk.address, std::move(data), layout.chunk_bytes + sums);
    if (filter.id == kShuffle) data = unshuffled(data, filter.values.empty() ? 1 : filter.values[0]);
    if (filter.id == kFletcher32) data = without_sum(window, chunk.address, std::move(data));
  }
  if (data.size() != layout.chunk_bytes) {
    window.fail(chunk.address, "a chunk has " + std::to_string(data.size()) + " bytes, expected " +
                                   std::to_string(layout.chunk_bytes));
  }
  return data;
}

}  // namespace sparsert::files::hdf5
