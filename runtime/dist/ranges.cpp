// runtime/dist/ranges.cpp — what goes to the owner of a range, and what comes back.
//
// To the owner, a section after the other: entries u64, index encoding u8, bytes of indices u64, indices, values of the
// wire's type. Back: the same with the sums' type, where the encoding may also be kDense: all values, no indices.
#include "runtime/dist/ranges.hpp"

#include <algorithm>

#include "runtime/gradient/wire.hpp"

namespace sparsert::dist {
namespace {

using gradient::IndexChoice;
using gradient::IndexEncoding;
using gradient::Packet;
using gradient::Reader;
using gradient::Section;
using gradient::Writer;

constexpr std::uint8_t kDense = 3;

struct Range {
  std::int64_t begin;
  std::int64_t end;
  std::int64_t size() const { return end - begin; }
};

Range range_of(std::int64_t n, int owner, int size) {
  const std::int64_t share = n / size;
  const std::int64_t rest = n % size;
  const auto start = [&](std::int64_t r) { return share * r + std::min(r, rest); };
  return {start(owner), start(owner + 1)};
}

void put_header(Writer& out, std::uint64_t entries, std::uint8_t encoding, std::uint64_t bytes) {
  out.put(entries);
  out.put(encoding);
  out.put(bytes);
}

void put_value(Writer& out, float value, DType wire) {
  switch (wire) {
    case DType::float16: return out.put(to_float16(value).bits);
    case DType::bfloat16: return out.put(to_bfloat16(value).bits);
    default: return out.put(value);
  }
}

float get_value(Reader& in, DType wire) {
  switch (wire) {
    case DType::float16: return to_float(float16{in.get<std::uint16_t>("values")});
    case DType::bfloat16: return to_float(bfloat16{in.get<std::uint16_t>("values")});
    default: return in.get<float>("values");
  }
}

struct Header {
  std::uint64_t entries;
  std::uint8_t encoding;
  std::uint64_t bytes;
};

Header get_header(Reader& in, std::int64_t n) {
  Header header{};
  header.entries = in.get<std::uint64_t>("a range");
  header.encoding = in.get<std::uint8_t>("a range");
  header.bytes = in.get<std::uint64_t>("a range");
  if (header.entries > static_cast<std::uint64_t>(n)) gradient::fail_packet(in.at(), "more entries than elements");
  return header;
}

std::vector<std::int64_t> get_indices(Reader& in, const Header& header, std::int64_t n) {
  if (header.encoding >= kDense) gradient::fail_packet(in.at(), "an unknown index encoding");
  const std::size_t at = in.at();
  return gradient::read_indices(in.take(header.bytes, "indices"), at, static_cast<IndexEncoding>(header.encoding),
                                header.entries, n);
}

/// Calls `use(pointer)` with the elements of a tensor of sums.
template <class Use>
void with_sums(Tensor& sums, const Use& use) {
  if (sums.dtype() == DType::float64) use(static_cast<double*>(sums.mutable_data()));
  else use(static_cast<float*>(sums.mutable_data()));
}

}  // namespace

Message pack_ranges(const Packet& packet, int owner, int size) {
  Writer out;
  std::vector<std::int64_t> indices;
  for (const Section& section : packet.sections()) {
    const Range range = range_of(element_count(section.shape), owner, size);
    const auto first = std::lower_bound(section.indices.begin(), section.indices.end(), range.begin);
    const auto last = std::lower_bound(first, section.indices.end(), range.end);
    indices.assign(first, last);
    for (std::int64_t& i : indices) i -= range.begin;
    const IndexChoice choice = gradient::smallest_encoding(indices, range.size());
    put_header(out, indices.size(), static_cast<std::uint8_t>(choice.encoding), choice.bytes);
    gradient::write_indices(out.bytes, indices, choice);
    const auto offset = static_cast<std::size_t>(first - section.indices.begin());
    for (std::size_t j = 0; j < indices.size(); ++j) put_value(out, section.values[offset + j], packet.wire());
  }
  return std::move(out.bytes);
}

RangeSums::RangeSums(const Packet& layout, int owner, int size) : wire_(layout.wire()) {
  for (const Section& section : layout.sections()) {
    const std::int64_t n = range_of(element_count(section.shape), owner, size).size();
    parts_.push_back({Tensor::zeros({n}, section.dtype), std::vector<bool>(static_cast<std::size_t>(n))});
  }
}

void RangeSums::add(std::span<const std::byte> message) {
  Reader in(message);
  for (Part& part : parts_) {
    const Header header = get_header(in, part.sums.numel());
    const std::vector<std::int64_t> indices = get_indices(in, header, part.sums.numel());
    with_sums(part.sums, [&]<class T>(T* sums) {
      for (const std::int64_t i : indices) {
        sums[i] += static_cast<T>(get_value(in, wire_));
        part.touched[static_cast<std::size_t>(i)] = true;
      }
    });
  }
  if (in.left() != 0) gradient::fail_packet(in.at(), "bytes that belong to nothing");
}

Message RangeSums::pack() const {
  Writer out;
  for (const Part& part : parts_) {
    std::vector<std::int64_t> indices;
    for (std::int64_t i = 0; i < part.sums.numel(); ++i) {
      if (part.touched[static_cast<std::size_t>(i)]) indices.push_back(i);
    }
    const auto width = static_cast<std::uint64_t>(size_of(part.sums.dtype()));
    const auto all = static_cast<std::uint64_t>(part.sums.nbytes());
    const IndexChoice choice = gradient::smallest_encoding(indices, part.sums.numel());
    const auto* const sums = static_cast<const std::byte*>(part.sums.data());
    if (choice.bytes + width * indices.size() >= all) {  // past break-even
      put_header(out, indices.size(), kDense, 0);
      out.put_bytes(sums, all);
      continue;
    }
    put_header(out, indices.size(), static_cast<std::uint8_t>(choice.encoding), choice.bytes);
    gradient::write_indices(out.bytes, indices, choice);
    for (const std::int64_t i : indices) out.put_bytes(sums + static_cast<std::uint64_t>(i) * width, width);
  }
  return std::move(out.bytes);
}

std::int64_t place_ranges(std::span<const std::byte> message, int owner, int size, gradient::NamedTensors& results) {
  Reader in(message);
  std::uint64_t entries = 0;
  for (auto& named : results) {
    Tensor& result = named.second;
    const Range range = range_of(result.numel(), owner, size);
    const Header header = get_header(in, range.size());
    entries += header.entries;
    const auto width = static_cast<std::size_t>(size_of(result.dtype()));
    auto* const to = static_cast<std::byte*>(result.mutable_data()) + static_cast<std::size_t>(range.begin) * width;
    if (header.encoding == kDense) {
      const auto all = in.take(static_cast<std::uint64_t>(range.size()) * width, "values");
      if (!all.empty()) std::memcpy(to, all.data(), all.size());
      continue;
    }
    const std::vector<std::int64_t> indices = get_indices(in, header, range.size());
    const auto values = in.take(indices.size() * width, "values");
    for (std::size_t j = 0; j < indices.size(); ++j) {
      std::memcpy(to + static_cast<std::size_t>(indices[j]) * width, values.data() + j * width, width);
    }
  }
  if (in.left() != 0) gradient::fail_packet(in.at(), "bytes that belong to nothing");
  return static_cast<std::int64_t>(entries);
}

}  // namespace sparsert::dist
