// runtime/files/zip.cpp — zip archives: directory, local headers, inflation.
#include "runtime/files/zip.hpp"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "runtime/files/bytes.hpp"
#include "runtime/files/names.hpp"

namespace sparsert::files {
namespace {

constexpr const char* kFormat = "zip";
constexpr std::string_view kLocalMagic{"PK\3\4", 4};
constexpr std::string_view kCentralMagic{"PK\1\2", 4};
constexpr std::string_view kEndMagic{"PK\5\6", 4};
constexpr std::string_view kEnd64Magic{"PK\6\6", 4};
constexpr std::string_view kLocator64Magic{"PK\6\7", 4};
constexpr std::uint64_t kEndBytes = 22;
constexpr std::uint64_t kEnd64Bytes = 56;
constexpr std::uint64_t kLocatorBytes = 20;
constexpr std::uint64_t kCentralBytes = 46;
constexpr std::uint64_t kLocalBytes = 30;
constexpr std::uint64_t kMaxComment = 0xffff;
constexpr std::uint64_t kMaxDescriptor = 24;  // of sizes and CRC, behind the data of a member
constexpr std::uint64_t kMaxDirectory = std::uint64_t{256} << 20;
constexpr std::uint16_t kStored = 0;
constexpr std::uint16_t kDeflated = 8;
constexpr std::uint16_t kEncrypted = 0x1 | 0x40 | 0x2000;  // also strong encryption and a masked directory
constexpr std::uint16_t kSizesFollow = 0x8;
constexpr std::uint16_t kZip64Field = 1;
constexpr std::uint32_t kIn64 = 0xffffffff;  // a 32-bit size or offset that says: see the 64-bit field
// Deflate reaches 1032 : 1. Up to 64 MiB a member may; above, more than 100 : 1 is taken for a bomb.
constexpr std::uint64_t kMaxRatio = 1032;
constexpr std::uint64_t kLargeMember = std::uint64_t{64} << 20;
constexpr std::uint64_t kMaxLargeRatio = 100;
constexpr std::uint64_t kPiece = std::uint64_t{1} << 20;

std::string_view text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string of(const ZipArchive::Member& member) { return "member " + in_quotes(member.name) + ": "; }

/// Sizes and offset that did not fit 32 bits stand in an extra field, in this order, each only where it is needed.
void read_zip64(std::span<const std::byte> extra, std::uint64_t place, ZipArchive::Member& member, bool needs_size,
                bool needs_compressed, bool needs_offset) {
  if (!needs_size && !needs_compressed && !needs_offset) return;
  ByteCursor fields(kFormat, extra, place);
  while (fields.remaining() >= 4) {
    const auto id = fields.read<std::uint16_t>();
    const auto length = fields.read<std::uint16_t>();
    const std::uint64_t at = fields.offset();
    const auto content = fields.take(length);
    if (id != kZip64Field) continue;
    ByteCursor values(kFormat, content, at);
    if (needs_size) member.size = values.read<std::uint64_t>();
    if (needs_compressed) member.compressed = values.read<std::uint64_t>();
    if (needs_offset) member.header = values.read<std::uint64_t>();
    return;
  }
  malformed(kFormat, place, of(member) + "its sizes need a 64-bit field, which is not there");
}

/// A raw deflate stream that is read from the file piece by piece.
class Inflater {
 public:
  Inflater(const Bytes& compressed, const ZipArchive::Member& member) : compressed_(compressed), member_(member) {
    if (inflateInit2(&stream_, -MAX_WBITS) != Z_OK) throw OutOfMemory("zip: cannot start to inflate");
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream_); }

  /// Fills `to`; less only where the stream ends.
  std::uint64_t read(std::byte* to, std::uint64_t bytes) {
    std::uint64_t done = 0;
    while (done < bytes && !finished_) {
      if (stream_.avail_in == 0) refill();
      const auto room = static_cast<uInt>(std::min<std::uint64_t>(bytes - done, std::numeric_limits<uInt>::max()));
      stream_.next_out = reinterpret_cast<Bytef*>(to + done);
      stream_.avail_out = room;
      step();
      done += room - stream_.avail_out;
    }
    return done;
  }

  /// Throws unless the stream ends here and all of the member's data was used.
  void finish() {
    std::byte extra{};
    if (!finished_ && read(&extra, 1) != 0) fail("inflates to more than " + std::to_string(member_.size) + " bytes");
    if (!finished_) fail("the deflated data does not end");
    if (stream_.avail_in != 0 || at_ != compressed_.size()) fail("the deflated data ends before the member does");
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    malformed(kFormat, compressed_.place(at_ - stream_.avail_in), of(member_) + reason);
  }

  void refill() {
    const auto count = std::min<std::uint64_t>(kPiece, compressed_.size() - at_);
    if (count == 0) fail("the deflated data ends early");
    piece_ = compressed_.read(at_, count);
    at_ += count;
    stream_.next_in = reinterpret_cast<Bytef*>(piece_.data());
    stream_.avail_in = static_cast<uInt>(count);
  }

  void step() {
    const int code = inflate(&stream_, Z_NO_FLUSH);
    if (code == Z_STREAM_END) {
      finished_ = true;
    } else if (code == Z_MEM_ERROR) {
      throw OutOfMemory("zip: no memory to inflate");
    } else if (code != Z_OK) {
      fail("the deflated data is damaged");
    }
  }

  Bytes compressed_;
  const ZipArchive::Member& member_;
  z_stream stream_{};
  std::vector<std::byte> piece_;
  std::uint64_t at_ = 0;
  bool finished_ = false;
};

std::uint32_t crc_of(std::uint32_t crc, const void* data, std::uint64_t bytes) {
  return static_cast<std::uint32_t>(crc32_z(crc, static_cast<const Bytef*>(data), static_cast<z_size_t>(bytes)));
}

void check_method(const ZipArchive::Member& member) {
  if (member.method == kStored || member.method == kDeflated) return;
  malformed(
      kFormat, member.header,
      of(member) + "compression method " + std::to_string(member.method) + ", expected 0 (stored) or 8 (deflated)");
}

}  // namespace

bool ZipArchive::sniff(const Bytes& bytes) {
  if (bytes.size() < kEndBytes) return false;
  const auto first = bytes.read(0, 4);
  return text(first) == kLocalMagic || text(first) == kEndMagic;
}

ZipArchive::ZipArchive(Bytes bytes) : bytes_(std::move(bytes)) {
  read_directory();
  read_local_headers();
  check_places();
}

void ZipArchive::read_directory() {
  const std::uint64_t tail_bytes = std::min(bytes_.size(), kEndBytes + kMaxComment + kLocatorBytes);
  const std::uint64_t tail_begin = bytes_.size() - tail_bytes;
  const auto tail = bytes_.read(tail_begin, tail_bytes);
  const std::string_view tail_text = text(tail);
  // The record is the one whose comment reaches to the end of the file; two of them would be read in two ways.
  std::optional<std::uint64_t> end;
  for (std::size_t at = 0; (at = tail_text.find(kEndMagic, at)) != tail_text.npos; ++at) {
    if (tail.size() - at < kEndBytes) break;
    const auto comment = std::to_integer<std::size_t>(tail[at + 20]) | std::to_integer<std::size_t>(tail[at + 21]) << 8;
    if (at + kEndBytes + comment != tail.size()) continue;
    if (end) malformed(kFormat, tail_begin + at, "a second end record, so that the directory is ambiguous");
    end = at;
  }
  if (!end) malformed(kFormat, bytes_.size(), "no end record: the archive is cut short or damaged");

  std::uint64_t end_place = tail_begin + *end;
  ByteCursor record(kFormat, std::span(tail).subspan(static_cast<std::size_t>(*end)), end_place);
  record.take(4);
  const auto disk = record.read<std::uint16_t>();
  const auto directory_disk = record.read<std::uint16_t>();
  const auto count_here = record.read<std::uint16_t>();
  std::uint64_t count = record.read<std::uint16_t>();
  std::uint64_t size = record.read<std::uint32_t>();
  std::uint64_t offset = record.read<std::uint32_t>();
  if (disk != 0 || directory_disk != 0 || count_here != count) malformed(kFormat, end_place, "is a part of several");

  const bool needs_64 = count == 0xffff || size == kIn64 || offset == kIn64;
  if (*end >= kLocatorBytes && tail_text.substr(*end - kLocatorBytes, 4) == kLocator64Magic) {
    const std::uint64_t locator_place = end_place - kLocatorBytes;
    ByteCursor locator(kFormat, std::span(tail).subspan(static_cast<std::size_t>(*end - kLocatorBytes)), locator_place);
    locator.take(4);
    const auto end64_disk = locator.read<std::uint32_t>();
    const auto end64 = locator.read<std::uint64_t>();
    const auto disks = locator.read<std::uint32_t>();
    if (end64_disk != 0 || disks > 1) malformed(kFormat, locator_place, "is a part of several");
    if (end64 > locator_place || locator_place - end64 != kEnd64Bytes) {
      malformed(kFormat, locator_place, "the 64-bit end record is not in front of its locator");
    }
    const auto data = bytes_.read(end64, kEnd64Bytes);
    if (!text(data).starts_with(kEnd64Magic)) malformed(kFormat, end64, "is no 64-bit end record");
    ByteCursor wide(kFormat, data, end64);
    wide.take(4);
    const auto rest = wide.read<std::uint64_t>();
    wide.take(4);  // versions
    const auto wide_disk = wide.read<std::uint32_t>();
    const auto wide_directory_disk = wide.read<std::uint32_t>();
    const auto wide_here = wide.read<std::uint64_t>();
    const auto wide_count = wide.read<std::uint64_t>();
    const auto wide_size = wide.read<std::uint64_t>();
    const auto wide_offset = wide.read<std::uint64_t>();
    if (rest != kEnd64Bytes - 12) malformed(kFormat, end64, "the 64-bit end record has a wrong size");
    if (wide_disk != 0 || wide_directory_disk != 0 || wide_here != wide_count) {
      malformed(kFormat, end64, "is a part of several");
    }
    const auto agrees = [](std::uint64_t narrow, std::uint64_t wide_value, std::uint64_t marker) {
      return narrow == marker || narrow == wide_value;
    };
    if (!agrees(count, wide_count, 0xffff) || !agrees(size, wide_size, kIn64) || !agrees(offset, wide_offset, kIn64)) {
      malformed(kFormat, end64, "the two end records contradict each other");
    }
    count = wide_count;
    size = wide_size;
    offset = wide_offset;
    end_place = end64;
  } else if (needs_64) {
    malformed(kFormat, end_place, "the 64-bit end record is missing");
  }

  if (offset > end_place || size != end_place - offset) {
    malformed(kFormat, end_place,
              "the directory has " + std::to_string(size) + " bytes from offset " + std::to_string(offset) +
                  ", expected it to end at the end record");
  }
  if (size > kMaxDirectory) malformed(kFormat, offset, "the directory has more than 256 MiB");
  if (count > size / kCentralBytes) {
    malformed(kFormat, end_place, std::to_string(count) + " members do not fit into the directory");
  }
  directory_ = offset;
  const auto data = bytes_.read(offset, size);
  ByteCursor cursor(kFormat, data, offset);
  members_.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t place = cursor.offset();
    if (text(cursor.take(4)) != kCentralMagic) malformed(kFormat, place, "no entry of the directory");
    Member member;
    cursor.take(4);  // versions
    const auto flags = cursor.read<std::uint16_t>();
    member.method = cursor.read<std::uint16_t>();
    cursor.take(4);  // time
    member.crc = cursor.read<std::uint32_t>();
    member.compressed = cursor.read<std::uint32_t>();
    member.size = cursor.read<std::uint32_t>();
    const auto name_bytes = cursor.read<std::uint16_t>();
    const auto extra_bytes = cursor.read<std::uint16_t>();
    const auto comment_bytes = cursor.read<std::uint16_t>();
    const auto member_disk = cursor.read<std::uint16_t>();
    cursor.take(6);  // attributes
    member.header = cursor.read<std::uint32_t>();
    member.name = text(cursor.take(name_bytes));
    const std::uint64_t extra_place = cursor.offset();
    const auto extra = cursor.take(extra_bytes);
    cursor.take(comment_bytes);
    if (member.name.empty() || member.name.find('\0') != member.name.npos) malformed(kFormat, place, "a bad name");
    if ((flags & kEncrypted) != 0) malformed(kFormat, place, of(member) + "is encrypted");
    if (member_disk != 0) malformed(kFormat, place, of(member) + "lies in another part");
    read_zip64(extra, extra_place, member, member.size == kIn64, member.compressed == kIn64, member.header == kIn64);
    if (member.method == kStored && member.size != member.compressed) {
      malformed(kFormat, place, of(member) + "is stored, but its two sizes differ");
    }
    members_.push_back(std::move(member));
  }
  if (cursor.remaining() != 0) malformed(kFormat, cursor.offset(), "bytes behind the last entry of the directory");
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (!positions_.emplace(members_[i].name, i).second) {
      malformed(kFormat, directory_, of(members_[i]) + "is there twice");
    }
  }
}

void ZipArchive::read_local_headers() {
  for (Member& member : members_) {
    if (member.header >= directory_ || directory_ - member.header < kLocalBytes + member.name.size()) {
      malformed(kFormat, member.header, of(member) + "its local header lies outside the data");
    }
    const auto data = bytes_.read(member.header, kLocalBytes + member.name.size());
    ByteCursor cursor(kFormat, data, member.header);
    if (text(cursor.take(4)) != kLocalMagic) malformed(kFormat, member.header, of(member) + "no local header");
    cursor.take(2);
    const auto flags = cursor.read<std::uint16_t>();
    const auto method = cursor.read<std::uint16_t>();
    cursor.take(4);
    const auto crc = cursor.read<std::uint32_t>();
    const auto compressed = cursor.read<std::uint32_t>();
    const auto size = cursor.read<std::uint32_t>();
    const auto name_bytes = cursor.read<std::uint16_t>();
    const auto extra_bytes = cursor.read<std::uint16_t>();
    const bool same_name = name_bytes == member.name.size() && text(cursor.take(name_bytes)) == member.name;
    if (!same_name || method != member.method || (flags & kEncrypted) != 0) {
      malformed(kFormat, member.header, of(member) + "the local header contradicts the directory");
    }
    const auto agrees = [&](std::uint32_t local, std::uint64_t central) {
      return local == central || local == kIn64 || ((flags & kSizesFollow) != 0 && local == 0);
    };
    if (!agrees(compressed, member.compressed) || !agrees(size, member.size) ||
        (crc != member.crc && !((flags & kSizesFollow) != 0 && crc == 0))) {
      malformed(kFormat, member.header, of(member) + "the local header contradicts the directory");
    }
    member.data = member.header + kLocalBytes + name_bytes + extra_bytes;
    if (member.data > directory_ || member.compressed > directory_ - member.data) {
      malformed(kFormat, member.header, of(member) + "its data reaches into the directory");
    }
  }
}

void ZipArchive::check_places() {
  std::vector<std::size_t> order(members_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return members_[a].header < members_[b].header; });
  std::uint64_t reached = 0;
  for (const std::size_t i : order) {
    const Member& member = members_[i];
    if (member.header < reached) malformed(kFormat, member.header, of(member) + "overlaps the member before it");
    if (member.header - reached > kMaxDescriptor) {
      malformed(kFormat, reached, "bytes in front of " + of(member) + "that belong to no member");
    }
    reached = member.data + member.compressed;
  }
  if (directory_ - reached > kMaxDescriptor) malformed(kFormat, reached, "bytes that belong to no member");
}

const ZipArchive::Member* ZipArchive::find(std::string_view name) const {
  const auto found = positions_.find(name);
  return found == positions_.end() ? nullptr : &members_[found->second];
}

std::vector<std::byte> ZipArchive::head(const Member& member, std::uint64_t count) const {
  check_method(member);
  count = std::min(count, member.size);
  if (member.method == kStored) return bytes_.read(member.data, count);
  std::vector<std::byte> data(static_cast<std::size_t>(count));
  Inflater inflater(bytes_.part(member.data, member.compressed), member);
  if (inflater.read(data.data(), count) != count) {
    malformed(kFormat, member.data, of(member) + "inflates to less than its size");
  }
  return data;
}

Bytes ZipArchive::open(const Member& member, std::uint64_t max_bytes) const {
  check_method(member);
  if (member.method == kStored) return bytes_.part(member.data, member.size);
  const std::uint64_t ratio = member.size > kLargeMember ? kMaxLargeRatio : kMaxRatio;
  if (member.size / ratio > member.compressed) {
    malformed(kFormat, member.header,
              of(member) + "inflates from " + std::to_string(member.compressed) + " to " + std::to_string(member.size) +
                  " bytes, more than " + std::to_string(ratio) + " to 1");
  }
  if (member.size > max_bytes) {
    malformed(kFormat, member.header,
              of(member) + "inflates to " + std::to_string(member.size) + " bytes, expected at most " +
                  std::to_string(max_bytes));
  }
  std::vector<std::byte> data(static_cast<std::size_t>(member.size));
  Inflater inflater(bytes_.part(member.data, member.compressed), member);
  if (inflater.read(data.data(), member.size) != member.size) {
    malformed(kFormat, member.data, of(member) + "inflates to less than its size");
  }
  inflater.finish();
  check(member, data.data(), member.size);
  return Bytes(std::move(data));
}

void ZipArchive::check(const Member& member, const void* data, std::uint64_t bytes) const {
  if (crc_of(0, data, bytes) == member.crc) return;
  malformed(kFormat, member.data, of(member) + "its checksum (CRC-32) is wrong");
}

void ZipArchive::check(const Member& member) const {
  if (member.method != kStored) return;  // verified when it was inflated
  std::uint32_t crc = 0;
  for (std::uint64_t done = 0; done < member.size;) {
    const auto piece = bytes_.read(member.data + done, std::min(kPiece, member.size - done));
    crc = crc_of(crc, piece.data(), piece.size());
    done += piece.size();
  }
  if (crc != member.crc) malformed(kFormat, member.data, of(member) + "its checksum (CRC-32) is wrong");
}

}  // namespace sparsert::files
