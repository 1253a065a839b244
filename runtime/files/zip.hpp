// runtime/files/zip.hpp — zip archives: the container of PyTorch, npz and Keras files.
//
// The central directory is the only truth; the local headers have to agree with it, members may not overlap, and
// nothing is inflated past the size that the directory declares. Names of members are never used as paths.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/files/source.hpp"

namespace sparsert::files {

class ZipArchive {
 public:
  struct Member {
    std::string name;
    std::uint16_t method = 0;  // 0 stored, 8 deflated
    std::uint32_t crc = 0;
    std::uint64_t compressed = 0;
    std::uint64_t size = 0;
    std::uint64_t header = 0;  // of the local header
    std::uint64_t data = 0;    // of the first byte of data
  };

  /// True where the content begins with a local header or the end record of an empty archive.
  static bool sniff(const Bytes& bytes);

  /// Reads and checks the directory and all local headers. Throws `FileError`.
  explicit ZipArchive(Bytes bytes);
  ZipArchive(ZipArchive&&) = default;  // not copied: the positions name the members' own strings

  const std::vector<Member>& members() const noexcept { return members_; }
  /// Null where there is none.
  const Member* find(std::string_view name) const;

  /// The first `count` bytes of a member, or all where it has fewer; without its checksum.
  std::vector<std::byte> head(const Member& member, std::uint64_t count) const;

  /// A member's bytes: a part of the file where it is stored, else inflated, at most `max_bytes`. A stored member's
  /// checksum is for the caller, who reads the data (`check`); an inflated one's is verified.
  Bytes open(const Member& member, std::uint64_t max_bytes) const;

  /// Throws `FileError` where the CRC-32 of a whole member is not the one of the directory.
  void check(const Member& member, const void* data, std::uint64_t bytes) const;

  /// The same, reading the member piece by piece.
  void check(const Member& member) const;

 private:
  void read_directory();
  void read_local_headers();
  void check_places();

  Bytes bytes_;
  std::uint64_t directory_ = 0;
  std::vector<Member> members_;
  std::map<std::string_view, std::size_t> positions_;
};

}  // namespace sparsert::files
