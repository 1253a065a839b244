// runtime/files/hdf5_object.cpp — the superblock and object headers of HDF5.
#include <array>
#include <bit>
#include <cstring>

#include "runtime/files/hdf5_file.hpp"

namespace sparsert::files::hdf5 {
namespace {

constexpr std::uint64_t kSignatureBytes = 8;
constexpr std::size_t kMaxBlocks = 4096;  // of one header
constexpr std::size_t kMaxMessages = 65'535;
constexpr std::uint64_t kFreeBytes = std::uint64_t{1} << 20;
constexpr std::uint64_t kMaxChecked = std::uint64_t{1} << 20;  // bytes under one checksum

constexpr std::uint32_t signature(const char (&text)[5]) {
  std::uint32_t value = 0;
  for (int i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(text[i]);
  return value;
}

/// The message is somewhere else, and this is where.
bool is_shared(const hdf5::Message& message) { return (message.flags & 2) != 0; }

}  // namespace

const Message* Object::find(unsigned type) const {
  const Message* found = nullptr;
  for (const Message& one : messages) {
    if (one.type == type && found == nullptr) found = &one;
  }
  return found;
}

// Bob Jenkins' hash of 1996/2006 as the format uses it: three words are mixed, twelve bytes at a time.
std::uint32_t lookup3(std::span<const std::byte> bytes) noexcept {
  std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(bytes.size());
  std::uint32_t b = a;
  std::uint32_t c = a;
  const auto step = [](std::uint32_t& x, std::uint32_t y, std::uint32_t& z, int by) {
    x -= z;
    x ^= std::rotl(z, by);
    z += y;
  };
  const auto last = [](std::uint32_t& x, std::uint32_t y, int by) {
    x ^= y;
    x -= std::rotl(y, by);
  };
  std::size_t at = 0;
  while (bytes.size() - at > 12) {
    std::array<std::uint32_t, 3> words;
    std::memcpy(words.data(), bytes.data() + at, 12);
    a += words[0];
    b += words[1];
    c += words[2];
    step(a, b, c, 4);
    step(b, c, a, 6);
    step(c, a, b, 8);
    step(a, b, c, 16);
    step(b, c, a, 19);
    step(c, a, b, 4);
    at += 12;
  }
  if (at == bytes.size()) return c;
  std::array<std::uint32_t, 3> words{};
  std::memcpy(words.data(), bytes.data() + at, bytes.size() - at);
  a += words[0];
  b += words[1];
  c += words[2];
  last(c, b, 14);
  last(a, c, 11);
  last(b, a, 25);
  last(c, b, 16);
  last(a, c, 4);
  last(b, a, 14);
  last(c, b, 24);
  return c;
}

void check_sum(Window& window, Range range) {
  window.check({range.begin, range.end + 4});
  if (range.size() > kMaxChecked) window.fail(range.begin, "metadata of " + std::to_string(range.size()) + " bytes");
  std::vector<std::byte> bytes(static_cast<std::size_t>(range.size()));
  window.read(range.begin, bytes.data(), bytes.size());
  if (lookup3(bytes) != window.number(range.end, 4))
    window.fail(range.begin, "the checksum of metadata is not that of its bytes");
}

std::uint64_t File::root() {
  const std::uint64_t version = window_.number(kSignatureBytes, 1);
  if (version > 3) window_.fail(kSignatureBytes, "the superblock has the version " + std::to_string(version));
  const bool is_old = version < 2;
  const std::uint64_t sizes = window_.number(kSignatureBytes + (is_old ? 5 : 1), 2);
  if (sizes != 0x0808) window_.fail(kSignatureBytes, "offsets and lengths have other sizes than 8 bytes");
  // Base, free space or extension, end of file, driver or root.
  const std::uint64_t addresses = is_old ? (version == 0 ? 24 : 28) : 12;
  if (window_.number(addresses, 8) != 0) window_.fail(addresses, "the file has a user block");
  const std::uint64_t end = window_.number(addresses + 16, 8);
  if (end > window_.size()) {
    window_.fail(addresses + 16, "the file ends at " + std::to_string(window_.size()) + ", expected " +
                                     std::to_string(end) + ": it was truncated");
  }
  if (!is_old) {
    check_sum(window_, {0, addresses + 32});
    return window_.number(addresses + 24, 8);
  }
  return window_.number(addresses + 32 + 8, 8);  // of the root's symbol table entry
}

void File::count_header_bytes(Range block) {
  header_bytes_ += block.size();
  if (header_bytes_ > kFreeBytes + 4 * window_.size())
    window_.fail(block.begin, "object headers share their parts too often");
}

Object File::object(std::uint64_t address) {
  Object object;
  object.address = address;
  window_.number(address, 4) == signature("OHDR") ? object_v2(object) : object_v1(object);
  return object;
}

void File::add_message(Object& object, const Message& message, std::vector<Range>& more) {
  if (message.type == message::continuation) {
    if (message.data.size() < 16) window_.fail(message.data.begin, "a continuation is too short");
    const std::uint64_t begin = window_.number(message.data.begin, 8);
    const Range block{begin, begin + window_.number(message.data.begin + 8, 8)};
    window_.check(block);
    for (const Range& known : more) {
      if (known.begin == block.begin) window_.fail(message.data.begin, "an object header continues in a circle");
    }
    if (more.size() == kMaxBlocks) window_.fail(message.data.begin, "an object header has too many parts");
    count_header_bytes(block);
    more.push_back(block);
    return;
  }
  if (message.type == message::external_files) {
    window_.fail(message.data.begin, "a dataset has its elements in other files, which are not opened");
  }
  if (is_shared(message) && message.type != 0 && message.type <= message::attribute_info) {
    window_.fail(message.data.begin, "a message is shared between objects, which is not read");
  }
  if (object.messages.size() == kMaxMessages) window_.fail(object.address, "an object header has too many messages");
  object.messages.push_back(message);
}

void File::object_v1(Object& object) {
  constexpr std::uint64_t kPrefix = 16;
  const std::uint64_t at = object.address;
  if (window_.number(at, 1) != 1) window_.fail(at, "expected an object header");
  const std::uint64_t size = window_.number(at + 8, 4);
  std::vector<Range> blocks{{at + kPrefix, at + kPrefix + size}};
  window_.check(blocks[0]);
  count_header_bytes(blocks[0]);
  for (std::size_t i = 0; i < blocks.size(); ++i) read_block_v1(Range(blocks[i]), object, blocks);
}

void File::read_block_v1(Range block, Object& object, std::vector<Range>& more) {
  constexpr std::uint64_t kHeader = 8;
  while (block.size() >= kHeader) {
    const std::uint64_t size = window_.number(block.begin + 2, 2);
    if (size > block.size() - kHeader) window_.fail(block.begin, "a message is longer than its object header");
    const std::uint64_t begin = block.begin + kHeader;
    add_message(object,
                {static_cast<unsigned>(window_.number(block.begin, 2)),
                 static_cast<unsigned>(window_.number(block.begin + 4, 1)),
                 {begin, begin + size}},
                more);
    block.begin = begin + size;
  }
}

void File::object_v2(Object& object) {
  const std::uint64_t at = object.address;
  if (window_.number(at + 4, 1) != 2) window_.fail(at, "an object header has another version than 2");
  const auto flags = static_cast<unsigned>(window_.number(at + 5, 1));
  const unsigned size_bytes = 1u << (flags & 3);
  const std::uint64_t size_at = at + 6 + ((flags & 0x20) != 0 ? 16 : 0) + ((flags & 0x10) != 0 ? 4 : 0);
  const std::uint64_t size = window_.number(size_at, size_bytes);
  const Range first{size_at + size_bytes, size_at + size_bytes + size};
  window_.check(first);
  count_header_bytes(first);
  check_sum(window_, {at, first.end});
  std::vector<Range> blocks{first};
  read_block_v2(first, flags, object, blocks);
  for (std::size_t i = 1; i < blocks.size(); ++i) {
    const Range block = blocks[i];
    if (block.size() < 8 || window_.number(block.begin, 4) != signature("OCHK"))
      window_.fail(block.begin, "expected the continuation of an object header");
    check_sum(window_, {block.begin, block.end - 4});
    read_block_v2({block.begin + 4, block.end - 4}, flags, object, blocks);
  }
}

void File::read_block_v2(Range block, unsigned flags, Object& object, std::vector<Range>& more) {
  const std::uint64_t header = (flags & 4) != 0 ? 6 : 4;
  while (block.size() >= header) {
    const std::uint64_t size = window_.number(block.begin + 1, 2);
    if (size > block.size() - header) window_.fail(block.begin, "a message is longer than its object header");
    const std::uint64_t begin = block.begin + header;
    add_message(object,
                {static_cast<unsigned>(window_.number(block.begin, 1)),
                 static_cast<unsigned>(window_.number(block.begin + 3, 1)),
                 {begin, begin + size}},
                more);
    block.begin = begin + size;
  }
}

}  // namespace sparsert::files::hdf5
