// runtime/gradient/wire.cpp — ascending indices as bytes: plain, gaps, or a bitmap, whichever is smallest.
#include "runtime/gradient/wire.hpp"

#include <algorithm>
#include <bit>

namespace sparsert::gradient {
namespace {

std::size_t varint_bytes(std::uint64_t x) { return (static_cast<std::size_t>(std::bit_width(x | 1)) + 6) / 7; }

/// Gaps between indices, less one; the first is the index itself.
template <class Visit>
void for_each_gap(std::span<const std::int64_t> indices, const Visit& visit) {
  std::int64_t next = 0;
  for (const std::int64_t i : indices) {
    visit(static_cast<std::uint64_t>(i - next));
    next = i + 1;
  }
}

}  // namespace

void Writer::put_bytes(const void* data, std::size_t n) {
  const auto* const from = static_cast<const std::byte*>(data);
  bytes.insert(bytes.end(), from, from + n);
}

void fail_packet(std::size_t at, const std::string& what) {
  throw Error(ErrorCode::invalid_argument, "gradient packet, byte " + std::to_string(at) + ": " + what);
}

IndexChoice smallest_encoding(std::span<const std::int64_t> indices, std::int64_t numel) {
  std::uint64_t delta = 0;
  for_each_gap(indices, [&](std::uint64_t gap) { delta += varint_bytes(gap); });
  IndexChoice best{IndexEncoding::delta, delta};
  const std::uint64_t plain = 4 * indices.size();
  if (numel <= INT32_MAX && plain <= best.bytes) best = {IndexEncoding::int32, plain};
  const auto bitmap = static_cast<std::uint64_t>((numel + 7) / 8);
  if (bitmap < best.bytes) best = {IndexEncoding::bitmap, bitmap};
  return best;
}

void write_indices(std::vector<std::byte>& out, std::span<const std::int64_t> indices, const IndexChoice& choice) {
  switch (choice.encoding) {
    case IndexEncoding::int32: {
      const std::vector<std::int32_t> narrow(indices.begin(), indices.end());
      const auto bytes = std::as_bytes(std::span(narrow));
      out.insert(out.end(), bytes.begin(), bytes.end());
      return;
    }
    case IndexEncoding::delta:
      for_each_gap(indices, [&](std::uint64_t gap) {
        for (; gap >= 0x80; gap >>= 7) out.push_back(static_cast<std::byte>(gap | 0x80));
        out.push_back(static_cast<std::byte>(gap));
      });
      return;
    case IndexEncoding::bitmap: {
      const std::size_t start = out.size();
      out.resize(start + choice.bytes);
      for (const std::int64_t i : indices) {
        out[start + static_cast<std::size_t>(i / 8)] |= static_cast<std::byte>(1u << (i % 8));
      }
      return;
    }
  }
}

std::vector<std::int64_t> read_indices(std::span<const std::byte> data, std::size_t at, IndexEncoding encoding,
                                       std::uint64_t count, std::int64_t numel) {
  std::vector<std::int64_t> indices;
  // A section cannot hold more entries than its bytes can say.
  indices.reserve(std::min<std::uint64_t>(count, 8 * data.size()));
  const auto add = [&](std::int64_t i) {
    if (i < 0 || i >= numel)
      fail_packet(at, "an index is " + std::to_string(i) + ", expected 0 to " + std::to_string(numel - 1));
    if (!indices.empty() && i <= indices.back()) fail_packet(at, "indices do not ascend");
    if (indices.size() == count) fail_packet(at, "more indices than entries");
    indices.push_back(i);
  };
  switch (encoding) {
    case IndexEncoding::int32:
      if (data.size() != 4 * count) fail_packet(at, "indices take " + std::to_string(data.size()) + " bytes");
      for (std::size_t j = 0; j < count; ++j) {
        std::int32_t i = 0;
        std::memcpy(&i, data.data() + 4 * j, 4);
        add(i);
      }
      break;
    case IndexEncoding::delta: {
      std::uint64_t next = 0;
      for (std::size_t j = 0; j < data.size();) {
        std::uint64_t gap = 0;
        int shift = 0;
        for (bool more = true; more; shift += 7) {
          if (j == data.size() || shift > 56) fail_packet(at, "an index is cut or too long");
          const auto byte = static_cast<std::uint64_t>(data[j++]);
          gap |= (byte & 0x7f) << shift;
          more = (byte & 0x80) != 0;
        }
        next += gap;
        if (next >= static_cast<std::uint64_t>(numel)) fail_packet(at, "an index is beyond the tensor");
        add(static_cast<std::int64_t>(next));
        ++next;
      }
      break;
    }
    case IndexEncoding::bitmap:
      if (data.size() != static_cast<std::uint64_t>((numel + 7) / 8)) fail_packet(at, "the bitmap is of another size");
      for (std::size_t byte = 0; byte < data.size(); ++byte) {
        for (unsigned bits = static_cast<unsigned>(data[byte]); bits != 0; bits &= bits - 1) {
          add(static_cast<std::int64_t>(8 * byte) + std::countr_zero(bits));
        }
      }
      break;
  }
  if (indices.size() != count) fail_packet(at, "fewer indices than entries");
  return indices;
}

}  // namespace sparsert::gradient
