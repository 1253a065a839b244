// runtime/gradient/packet.cpp — the wire format of compressed gradients: written, and read from peers that may be
// wrong.
//
// All little-endian. Header, 56 bytes: "SPRTGRAD", version u16, wire u8, zero u8, sections u32, k i64, step i64,
// entries i64, length of all u64, CRC-32 of what follows u32, of the header before it u32. Section: length of the name
// u32, dtype u8, index encoding u8, rank u16, entries u64, bytes of indices u64, name, shape i64 each, indices, values.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "runtime/gradient/crc32.hpp"
#include "runtime/gradient/wire.hpp"
#include "runtime/ops/memory.hpp"
#include "sparsert/gradient.hpp"

namespace sparsert::gradient {
namespace {

constexpr char kMagic[] = {'S', 'P', 'R', 'T', 'G', 'R', 'A', 'D'};
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 56;
constexpr std::size_t kCheckedBytes = 52;  // of the header, by its own checksum
constexpr std::size_t kMaxRank = 64;

static_assert(std::endian::native == std::endian::little, "the wire is little-endian");

/// A section as an error names it.
struct SectionOperand {
  explicit SectionOperand(const Section& section) : section_(section) {}
  DType dtype() const { return section_.dtype; }
  const Shape& shape() const { return section_.shape; }

 private:
  const Section& section_;
};

std::size_t value_bytes(DType wire) { return wire == DType::float32 ? 4 : 2; }

void write_values(Writer& out, const std::vector<float>& values, DType wire) {
  if (wire == DType::float32) return out.put_bytes(values.data(), 4 * values.size());
  for (const float value : values) {
    out.put(wire == DType::float16 ? to_float16(value).bits : to_bfloat16(value).bits);
  }
}

std::vector<float> read_values(std::span<const std::byte> data, std::uint64_t count, DType wire) {
  std::vector<float> values(count);
  for (std::size_t j = 0; j < count; ++j) {
    if (wire == DType::float32) {
      std::memcpy(&values[j], data.data() + 4 * j, 4);
    } else {
      std::uint16_t bits = 0;
      std::memcpy(&bits, data.data() + 2 * j, 2);
      values[j] = wire == DType::float16 ? to_float(float16{bits}) : to_float(bfloat16{bits});
    }
  }
  return values;
}

void check_section(const Section& section) {
  const std::int64_t numel = element_count(section.shape);
  require(section.indices.size() == section.values.size(),
          [&] { return "gradient packet: " + section.name + " has not as many values as indices"; });
  require(section.dtype == DType::float32 || section.dtype == DType::float64,
          [&] { return "gradient packet: " + section.name + " is not float32 or float64"; });
  require(section.shape.size() <= kMaxRank,
          [&] { return "gradient packet: " + section.name + " has more than 64 dimensions"; });
  std::int64_t last = -1;
  for (const std::int64_t i : section.indices) {
    require(i > last && i < numel, [&] {
      return "gradient packet: index " + std::to_string(i) + " of " + section.name +
             " is out of range or order, expected ascending below " + std::to_string(numel);
    });
    last = i;
  }
}

void write_section(Writer& out, const Section& section, DType wire) {
  check_section(section);
  const IndexChoice choice = smallest_encoding(section.indices, element_count(section.shape));
  out.put(static_cast<std::uint32_t>(section.name.size()));
  out.put(static_cast<std::uint8_t>(section.dtype));
  out.put(static_cast<std::uint8_t>(choice.encoding));
  out.put(static_cast<std::uint16_t>(section.shape.size()));
  out.put(static_cast<std::uint64_t>(section.indices.size()));
  out.put(choice.bytes);
  out.put_bytes(section.name.data(), section.name.size());
  for (const std::int64_t size : section.shape) out.put(size);
  write_indices(out.bytes, section.indices, choice);
  write_values(out, section.values, wire);
}

Section read_section(Reader& in, DType wire) {
  Section section;
  const std::size_t start = in.at();
  const auto name_bytes = in.get<std::uint32_t>("a section");
  section.dtype = static_cast<DType>(in.get<std::uint8_t>("a section"));
  const auto encoding = in.get<std::uint8_t>("a section");
  const auto rank = in.get<std::uint16_t>("a section");
  const auto count = in.get<std::uint64_t>("a section");
  const auto index_bytes = in.get<std::uint64_t>("a section");
  if (section.dtype != DType::float32 && section.dtype != DType::float64) fail_packet(start, "an unknown dtype");
  if (encoding > static_cast<std::uint8_t>(IndexEncoding::bitmap)) fail_packet(start, "an unknown index encoding");
  if (rank > kMaxRank) fail_packet(start, "more than 64 dimensions");
  const auto name = in.take(name_bytes, "a name");
  section.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  for (std::size_t d = 0; d < rank; ++d) section.shape.push_back(in.get<std::int64_t>("a shape"));
  std::int64_t numel = 0;
  try {
    numel = element_count(section.shape, sizeof(double));
  } catch (const Error& error) {
    fail_packet(start, error.what());
  }
  if (count > static_cast<std::uint64_t>(numel)) fail_packet(start, "more entries than elements");
  const std::size_t indices_at = in.at();
  section.indices =
      read_indices(in.take(index_bytes, "indices"), indices_at, static_cast<IndexEncoding>(encoding), count, numel);
  section.values = read_values(in.take(count * value_bytes(wire), "values"), count, wire);
  return section;
}

/// On the CPU; what the section does not hold is 0.
Tensor dense_of(const Section& section) {
  Tensor dense = Tensor::zeros(section.shape, section.dtype);
  const auto scatter = [&](auto* to) {
    for (std::size_t j = 0; j < section.indices.size(); ++j) to[section.indices[j]] = section.values[j];
  };
  if (section.dtype == DType::float64) scatter(static_cast<double*>(dense.mutable_data()));
  else scatter(static_cast<float*>(dense.mutable_data()));
  return dense;
}

}  // namespace

Packet::Packet(std::vector<Section> sections, DType wire, std::int64_t k, std::int64_t step)
    : sections_(std::move(sections)), wire_(wire), k_(k), step_(step) {
  require(wire == DType::float32 || wire == DType::float16 || wire == DType::bfloat16, [&] {
    return "gradient packet: wire is " + std::string(to_string(wire)) + ", expected float32, float16 or bfloat16";
  });
  Writer out;
  out.put_bytes(kMagic, sizeof(kMagic));
  out.put(kVersion);
  out.put(static_cast<std::uint8_t>(wire));
  out.put(std::uint8_t{0});
  out.put(static_cast<std::uint32_t>(sections_.size()));
  out.put(k);
  out.put(step);
  out.put(entries());
  out.put(std::uint64_t{0});
  out.put(std::uint32_t{0});
  out.put(std::uint32_t{0});
  for (const Section& section : sections_) write_section(out, section, wire);
  const std::span<const std::byte> all(out.bytes);
  out.put_at(40, static_cast<std::uint64_t>(all.size()));
  out.put_at(48, crc32(all.subspan(kHeaderBytes)));
  out.put_at(52, crc32(all.first(kCheckedBytes)));
  bytes_ = std::move(out.bytes);
}

Packet Packet::from_bytes(std::span<const std::byte> bytes) {
  Reader in(bytes);
  const auto magic = in.take(sizeof(kMagic), "the header");
  if (std::memcmp(magic.data(), kMagic, sizeof(kMagic)) != 0) fail_packet(0, "is no gradient packet");
  const auto version = in.get<std::uint16_t>("the header");
  if (version != kVersion) {
    fail_packet(8, "version is " + std::to_string(version) + ", expected " + std::to_string(kVersion));
  }
  Packet packet;
  packet.wire_ = static_cast<DType>(in.get<std::uint8_t>("the header"));
  in.get<std::uint8_t>("the header");
  const auto sections = in.get<std::uint32_t>("the header");
  packet.k_ = in.get<std::int64_t>("the header");
  packet.step_ = in.get<std::int64_t>("the header");
  const auto entries = in.get<std::int64_t>("the header");
  const auto length = in.get<std::uint64_t>("the header");
  const auto payload_crc = in.get<std::uint32_t>("the header");
  const auto header_crc = in.get<std::uint32_t>("the header");
  if (crc32(bytes.first(kCheckedBytes)) != header_crc) fail_packet(kCheckedBytes, "the header's checksum is wrong");
  if (length != bytes.size()) {
    fail_packet(40, "length is " + std::to_string(length) + ", got " + std::to_string(bytes.size()) + " bytes");
  }
  if (crc32(bytes.subspan(kHeaderBytes)) != payload_crc) fail_packet(48, "the checksum is wrong");
  if (packet.wire_ != DType::float32 && packet.wire_ != DType::float16 && packet.wire_ != DType::bfloat16) {
    fail_packet(10, "an unknown wire type");
  }
  for (std::uint32_t i = 0; i < sections; ++i) packet.sections_.push_back(read_section(in, packet.wire_));
  if (in.left() != 0) fail_packet(in.at(), "bytes that belong to nothing");
  if (packet.entries() != entries) fail_packet(32, "entries do not add up");
  packet.bytes_.assign(bytes.begin(), bytes.end());
  return packet;
}

std::int64_t Packet::entries() const noexcept {
  std::int64_t total = 0;
  for (const Section& section : sections_) total += static_cast<std::int64_t>(section.indices.size());
  return total;
}

std::int64_t Packet::numel() const noexcept {
  std::int64_t total = 0;
  for (const Section& section : sections_) {
    std::int64_t numel = 1;
    for (const std::int64_t size : section.shape) numel *= size;
    total += numel;
  }
  return total;
}

double Packet::density() const noexcept {
  const std::int64_t all = numel();
  return all == 0 ? 0 : static_cast<double>(entries()) / static_cast<double>(all);
}

NamedTensors Packet::decompress(const Device& device) const {
  NamedTensors result;
  for (const Section& section : sections_) {
    try {
      result.emplace_back(section.name, dense_of(section).to(device));
    } catch (...) {
      const SectionOperand operand(section);
      rethrow_named("gradient.decompress", {&operand});
    }
  }
  return result;
}

}  // namespace sparsert::gradient
