// runtime/files/flatbuffer.hpp — tables and vectors of FlatBuffers, every offset checked when it is followed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/files/utf8.hpp"
#include "runtime/files/window.hpp"

namespace sparsert::files::flatbuffer {

inline constexpr std::uint64_t kMaxText = 65'536;

/// A list of items of one size: numbers, or offsets to tables and texts.
struct Vector {
  std::uint64_t begin = 0;  ///< of the first item
  std::uint64_t size = 0;   ///< number of items
};

/// A table: fields by number, each of which may be left out.
class Table {
 public:
  Table(Window& window, std::uint64_t at) : window_(window), at_(at) {
    const std::uint64_t back = window.number(at, 4);
    // Signed: the list of fields may lie before or behind the table.
    const auto distance = static_cast<std::int32_t>(static_cast<std::uint32_t>(back));
    const std::int64_t fields = static_cast<std::int64_t>(at) - distance;
    if (fields < 0) window.fail(at, "a table's list of fields lies before the file");
    fields_ = static_cast<std::uint64_t>(fields);
    fields_bytes_ = window.number(fields_, 2);
    bytes_ = window.number(fields_ + 2, 2);
    if (fields_bytes_ < 4) window.fail(fields_, "a list of fields has " + std::to_string(fields_bytes_) + " bytes");
    window.check({at, at + bytes_});
    window.check({fields_, fields_ + fields_bytes_});
  }

  /// The table that the first four bytes of a file point to.
  static Table root(Window& window) { return Table(window, window.number(0, 4)); }

  std::uint64_t at() const noexcept { return at_; }
  Window& window() const noexcept { return window_; }
  [[noreturn]] void fail(const std::string& reason, SourceLocation where = SourceLocation::current()) const {
    window_.fail(at_, reason, where);
  }

  /// A number of 1 to 8 bytes; `otherwise` where it is left out.
  std::uint64_t number(unsigned field, unsigned bytes, std::uint64_t otherwise = 0) const {
    const auto place = place_of(field, bytes);
    return place ? window_.number(*place, bytes) : otherwise;
  }

  std::optional<Table> table(unsigned field) const {
    const auto place = place_of(field, 4);
    if (!place) return std::nullopt;
    return Table(window_, follow(*place));
  }

  /// Empty where it is left out. All its items lie in the file.
  Vector vector(unsigned field, unsigned item_bytes) const {
    const auto place = place_of(field, 4);
    if (!place) return {};
    const std::uint64_t begin = follow(*place);
    const Vector vector{begin + 4, window_.number(begin, 4)};
    window_.check({vector.begin, vector.begin + vector.size * item_bytes});  // below 2^32 · 8
    return vector;
  }

  std::string text(unsigned field) const {
    const Vector bytes = vector(field, 1);
    if (bytes.size > kMaxText) fail("a text has " + std::to_string(bytes.size) + " bytes");
    std::string text = window_.text({bytes.begin, bytes.begin + bytes.size});
    if (!is_utf8(text)) fail("a text is not UTF-8");
    return text;
  }

  /// Item `i` of a vector of tables.
  Table item(const Vector& vector, std::uint64_t i) const {
    if (i >= vector.size) fail("item " + std::to_string(i) + " of a list of " + std::to_string(vector.size));
    return Table(window_, follow(vector.begin + 4 * i));
  }

 private:
  std::uint64_t follow(std::uint64_t place) const {
    const std::uint64_t target = place + window_.number(place, 4);
    if (target == place) window_.fail(place, "an offset is 0");
    window_.check({target, target + 4});
    return target;
  }

  std::optional<std::uint64_t> place_of(unsigned field, unsigned bytes) const {
    const std::uint64_t entry = 4 + 2 * std::uint64_t{field};
    if (entry + 2 > fields_bytes_) return std::nullopt;
    const std::uint64_t offset = window_.number(fields_ + entry, 2);
    if (offset == 0) return std::nullopt;
    if (offset < 4 || offset + bytes > bytes_) {
      fail("field " + std::to_string(field) + " lies at " + std::to_string(offset) + " of a table of " +
           std::to_string(bytes_) + " bytes");
    }
    return at_ + offset;
  }

  Window& window_;
  std::uint64_t at_;
  std::uint64_t fields_ = 0;
  std::uint64_t fields_bytes_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace sparsert::files::flatbuffer
