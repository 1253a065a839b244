// runtime/files/npz_write.cpp — writing .npz: stored members, with 64-bit sizes where 32 bits do not hold them.
#include <zlib.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/files/bytes.hpp"
#include "runtime/files/names.hpp"
#include "runtime/files/write.hpp"

namespace sparsert::files {
namespace {

constexpr std::uint64_t kMax32 = 0xffffffff;
constexpr std::uint64_t kMax16 = 0xffff;
constexpr std::size_t kAlignment = 64;  // of the data behind the header of an array
constexpr std::uint16_t kUtf8 = 0x800;
constexpr std::uint16_t kVersion = 45;       // of the format, with 64-bit sizes
constexpr std::uint32_t kDate = 0x00210000;  // 1980-01-01, as everything else here the same on every run

/// Little-endian values one after the other.
class Record {
 public:
  template <class T>
  Record& add(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      bytes_ += static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff);
    }
    return *this;
  }
  Record& add(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

struct Member {
  std::string name;
  std::uint32_t crc = 0;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;
};

const char* descr_of(DType dtype) {
  switch (dtype) {
    case DType::boolean: return "|b1";
    case DType::uint8: return "|u1";
    case DType::int32: return "<i4";
    case DType::int64: return "<i8";
    case DType::float16: return "<f2";
    case DType::bfloat16: return "|V2";  // as ml_dtypes writes it
    case DType::float32: return "<f4";
    case DType::float64: return "<f8";
  }
  return "";
}

std::string header_of(const Tensor& tensor) {
  std::string shape = "(";
  for (const std::int64_t size : tensor.shape()) shape += std::to_string(size) + ", ";
  if (tensor.rank() > 1) shape.resize(shape.size() - 2);
  if (tensor.rank() == 1) shape.resize(shape.size() - 1);
  std::string text =
      "{'descr': '" + std::string(descr_of(tensor.dtype())) + "', 'fortran_order': False, 'shape': " + shape + "), }";
  constexpr std::size_t kPrefix = 10;
  text.resize((kPrefix + text.size() + 1 + kAlignment - 1) / kAlignment * kAlignment - kPrefix - 1, ' ');
  text += '\n';
  return Record()
      .add(std::string_view("\x93NUMPY\x01\x00", 8))
      .add(static_cast<std::uint16_t>(text.size()))
      .add(std::string_view(text))
      .bytes();
}

std::string local_header(const Member& member) {
  const bool wide = member.size >= kMax32;
  const auto size = static_cast<std::uint32_t>(wide ? kMax32 : member.size);
  Record record;
  record.add(std::string_view("PK\3\4")).add(kVersion).add(kUtf8).add(std::uint16_t{0}).add(kDate);
  record.add(member.crc).add(size).add(size);
  record.add(static_cast<std::uint16_t>(member.name.size())).add(static_cast<std::uint16_t>(wide ? 20 : 0));
  record.add(std::string_view(member.name));
  if (wide) record.add(std::uint16_t{1}).add(std::uint16_t{16}).add(member.size).add(member.size);
  return record.bytes();
}

std::string central_header(const Member& member) {
  const bool wide = member.size >= kMax32;
  const bool far = member.offset >= kMax32;
  const auto size = static_cast<std::uint32_t>(wide ? kMax32 : member.size);
  const std::uint16_t extra = static_cast<std::uint16_t>((wide ? 16 : 0) + (far ? 8 : 0));
  Record record;
  record.add(std::string_view("PK\1\2")).add(kVersion).add(kVersion).add(kUtf8).add(std::uint16_t{0}).add(kDate);
  record.add(member.crc).add(size).add(size);
  record.add(static_cast<std::uint16_t>(member.name.size()))
      .add(static_cast<std::uint16_t>(extra == 0 ? 0 : extra + 4));
  record.add(std::uint16_t{0}).add(std::uint16_t{0}).add(std::uint16_t{0}).add(std::uint32_t{0});
  record.add(static_cast<std::uint32_t>(far ? kMax32 : member.offset)).add(std::string_view(member.name));
  if (extra != 0) record.add(std::uint16_t{1}).add(extra);
  if (wide) record.add(member.size).add(member.size);
  if (far) record.add(member.offset);
  return record.bytes();
}

std::string end_records(std::uint64_t count, std::uint64_t begin, std::uint64_t bytes) {
  Record record;
  if (count >= kMax16 || begin >= kMax32 || bytes >= kMax32) {
    record.add(std::string_view("PK\6\6")).add(std::uint64_t{44}).add(kVersion).add(kVersion).add(std::uint64_t{0});
    record.add(count).add(count).add(bytes).add(begin);
    record.add(std::string_view("PK\6\7")).add(std::uint32_t{0}).add(begin + bytes).add(std::uint32_t{1});
  }
  const auto short_count = static_cast<std::uint16_t>(std::min(count, kMax16));
  record.add(std::string_view("PK\5\6")).add(std::uint32_t{0}).add(short_count).add(short_count);
  record.add(static_cast<std::uint32_t>(std::min(bytes, kMax32)))
      .add(static_cast<std::uint32_t>(std::min(begin, kMax32)));
  return record.add(std::uint16_t{0}).bytes();
}

void check(const StateDict& state) {
  require(state.sparse_entries().empty(), [&] {
    return "save: " + in_quotes(state.sparse_entries().front().first) +
           " is sparse, which the format cannot hold; make it dense first";
  });
  for (const auto& [name, tensor] : state.entries()) {
    require(is_utf8(name) && name.size() < kMax16 - 4, [&name = name] {
      return "save: the name " + in_quotes(name) + " is not valid UTF-8, or too long for the format";
    });
    require(tensor.shape().size() <= kMaxRank,
            [&name = name] { return "save: " + in_quotes(name) + " has more dimensions than the format can hold"; });
  }
}

}  // namespace

void write_npz(OutputFile& file, const StateDict& state) {
  check(state);
  std::vector<Member> members;
  std::uint64_t at = 0;
  const auto put = [&](const void* data, std::uint64_t bytes) {
    file.write(data, bytes);
    at += bytes;
  };
  for (const auto& [name, tensor] : state.entries()) {
    const Tensor host = tensor.cpu();
    const std::string header = header_of(host);
    Member member{name + ".npy", 0, header.size() + static_cast<std::uint64_t>(host.nbytes()), at};
    uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(header.data()), header.size());
    if (host.nbytes() != 0) {
      crc = crc32_z(crc, static_cast<const Bytef*>(host.data()), static_cast<z_size_t>(host.nbytes()));
    }
    member.crc = static_cast<std::uint32_t>(crc);
    const std::string local = local_header(member);
    put(local.data(), local.size());
    put(header.data(), header.size());
    put(host.data(), static_cast<std::uint64_t>(host.nbytes()));
    members.push_back(std::move(member));
  }
  const std::uint64_t begin = at;
  for (const Member& member : members) {
    const std::string central = central_header(member);
    put(central.data(), central.size());
  }
  const std::string end = end_records(members.size(), begin, at - begin);
  put(end.data(), end.size());
}

}  // namespace sparsert::files
