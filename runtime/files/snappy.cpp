// runtime/files/snappy.cpp — blocks compressed by snappy: a length, then literals and copies of what was written.
#include "runtime/files/snappy.hpp"

#include <string>

#include "runtime/files/bytes.hpp"

namespace sparsert::files {
namespace {

// Three bytes copy at most 64: no block grows by more.
constexpr std::uint64_t kMaxRatio = 22;

class Decoder {
 public:
  Decoder(const char* format, std::span<const std::byte> block, std::uint64_t offset)
      : format_(format), offset_(offset), cursor_(format, block, offset) {}

  std::vector<std::byte> run(std::size_t block_bytes) {
    const std::uint64_t size = read_size();
    if (size > kMaxRatio * block_bytes) {
      fail("a block of " + std::to_string(block_bytes) + " bytes says that it has " + std::to_string(size));
    }
    out_.reserve(static_cast<std::size_t>(size));
    limit_ = size;
    while (cursor_.remaining() != 0) step();
    if (out_.size() != size) {
      fail("a block gave " + std::to_string(out_.size()) + " bytes, expected " + std::to_string(size));
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const { malformed(format_, offset_, "snappy: " + reason); }

  std::uint64_t number(unsigned bytes) {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < bytes; ++i) value |= std::uint64_t{cursor_.read<std::uint8_t>()} << (8 * i);
    return value;
  }

  std::uint64_t read_size() {
    std::uint64_t size = 0;
    for (int shift = 0; shift < 35; shift += 7) {
      const std::uint64_t byte = cursor_.read<std::uint8_t>();
      size |= (byte & 0x7f) << shift;
      if (byte < 0x80) return size;
    }
    fail("the length of a block has more than 32 bits");
  }

  void step() {
    const std::uint64_t tag = cursor_.read<std::uint8_t>();
    const std::uint64_t upper = tag >> 2;
    switch (tag & 3) {
      case 0: return literal(upper < 60 ? upper + 1 : number(static_cast<unsigned>(upper - 59)) + 1);
      case 1: {
        const std::uint64_t low = number(1);
        return copy((upper & 7) + 4, (tag >> 5) << 8 | low);
      }
      case 2: return copy(upper + 1, number(2));
      default: return copy(upper + 1, number(4));
    }
  }

  void check_room(std::uint64_t bytes) const {
    if (bytes > limit_ - out_.size()) fail("a block gives more than its " + std::to_string(limit_) + " bytes");
  }

  void literal(std::uint64_t bytes) {
    check_room(bytes);
    const auto taken = cursor_.take(bytes);
    out_.insert(out_.end(), taken.begin(), taken.end());
  }

  // The source may run into what is being written: a copy of one byte back repeats that byte.
  void copy(std::uint64_t bytes, std::uint64_t back) {
    check_room(bytes);
    if (back == 0 || back > out_.size()) fail("a copy from " + std::to_string(back) + " bytes back");
    for (std::uint64_t i = 0; i < bytes; ++i) out_.push_back(out_[out_.size() - static_cast<std::size_t>(back)]);
  }

  const char* format_;
  std::uint64_t offset_;
  ByteCursor cursor_;
  std::vector<std::byte> out_;
  std::uint64_t limit_ = 0;
};

}  // namespace

std::vector<std::byte> snappy_uncompress(const char* format, std::span<const std::byte> block, std::uint64_t offset) {
  return Decoder(format, block, offset).run(block.size());
}

}  // namespace sparsert::files
