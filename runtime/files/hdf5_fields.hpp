// runtime/files/hdf5_fields.hpp — the fields of a message of an HDF5 object, from front to back.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/files/window.hpp"

namespace sparsert::files::hdf5 {

/// Reads fields one after the other, and never past the end of a message.
class Fields {
 public:
  Fields(Window& window, Range range) : window_(window), at_(range.begin), end_(range.end) { window.check(range); }

  std::uint64_t at() const noexcept { return at_; }
  std::uint64_t left() const noexcept { return end_ - at_; }
  [[noreturn]] void fail(const std::string& reason, SourceLocation where = SourceLocation::current()) const {
    window_.fail(at_, reason, where);
  }

  Range take(std::uint64_t bytes) {
    if (bytes > left())
      fail("a message ends after " + std::to_string(left()) + " bytes, expected " + std::to_string(bytes));
    const Range range{at_, at_ + bytes};
    at_ = range.end;
    return range;
  }
  std::uint64_t number(unsigned bytes) { return window_.number(take(bytes).begin, bytes); }
  void skip(std::uint64_t bytes) { take(bytes); }

 private:
  Window& window_;
  std::uint64_t at_;
  std::uint64_t end_;
};

}  // namespace sparsert::files::hdf5
