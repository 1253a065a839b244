// runtime/files/matrix_market.cpp — sparse matrices in Matrix Market files, read and written.
#include "sparsert/matrix_market.hpp"

#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/check_sparse.hpp"
#include "runtime/files/io.hpp"
#include "runtime/files/names.hpp"
#include "sparsert/ops.hpp"

namespace sparsert {
namespace {

constexpr std::string_view kBanner = "%%MatrixMarket";
constexpr std::size_t kMostText = 64 << 10;  // written at a time

enum class Symmetry : std::uint8_t { general, symmetric, skew };

struct Header {
  bool coordinate = false;
  bool pattern = false;
  bool integer = false;
  Symmetry symmetry = Symmetry::general;
};

/// The file's text, a line at a time, and words of the line.
class Lines {
 public:
  Lines(std::string name, std::string text) : name_(std::move(name)), text_(std::move(text)) {}

  std::size_t bytes() const { return text_.size(); }

  /// The next line; false at the end.
  bool next() {
    if (at_ >= text_.size()) return false;
    const std::size_t end = std::min(text_.find('\n', at_), text_.size());
    line_ = std::string_view(text_).substr(at_, end - at_);
    at_ = end + 1;
    ++number_;
    return true;
  }
  /// The next line with a word in it that is no comment; false at the end.
  bool next_data() {
    while (next()) {
      const std::size_t first = line_.find_first_not_of(" \t\r");
      if (first != std::string_view::npos && line_[first] != '%') return true;
    }
    return false;
  }
  std::string_view word() {
    const std::size_t first = line_.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) return {};
    const std::size_t end = std::min(line_.find_first_of(" \t\r", first), line_.size());
    const std::string_view found = line_.substr(first, end - first);
    line_.remove_prefix(end);
    return found;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw FileError(name_ + ": matrix market, line " + std::to_string(number_) + ": " + what);
  }

  std::int64_t count(const char* what, std::int64_t least, std::int64_t most) {
    const std::string_view text = word();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
      fail(std::string(what) + " is " + files::in_quotes(text) + ", expected " + std::to_string(least) + " to " +
           std::to_string(most));
    }
    return value;
  }
  double value() {
    std::string_view text = word();
    if (text.starts_with('+')) text.remove_prefix(1);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    // Out of range is a number all the same: too large is Inf, too small is 0.
    if (text.empty() || end != text.data() + text.size() || error == std::errc::invalid_argument) {
      fail("value is " + files::in_quotes(text) + ", expected a number");
    }
    if (error == std::errc::result_out_of_range) value = std::strtod(std::string(text).c_str(), nullptr);
    return value;
  }
  void end_of_line() {
    const std::string_view rest = word();
    if (!rest.empty()) fail("unexpected " + files::in_quotes(rest) + " at the end of the line");
  }

 private:
  std::string name_;
  std::string text_;
  std::string_view line_;
  std::size_t at_ = 0;
  std::int64_t number_ = 0;
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

Header read_header(Lines& lines) {
  if (!lines.next() || lower(lines.word()) != lower(kBanner)) lines.fail("no %%MatrixMarket in front");
  if (const std::string object = lower(lines.word()); object != "matrix") {
    lines.fail("object is " + files::in_quotes(object) + ", expected matrix");
  }
  Header header;
  const std::string format = lower(lines.word());
  if (format != "coordinate" && format != "array") {
    lines.fail("format is " + files::in_quotes(format) + ", expected coordinate or array");
  }
  header.coordinate = format == "coordinate";
  const std::string field = lower(lines.word());
  if (field != "real" && field != "double" && field != "integer" && field != "pattern") {
    lines.fail("field is " + files::in_quotes(field) + ", expected real, integer or pattern");
  }
  header.pattern = field == "pattern";
  if (header.pattern && !header.coordinate) lines.fail("a pattern without coordinates");
  const std::string symmetry = lower(lines.word());
  if (symmetry == "symmetric") header.symmetry = Symmetry::symmetric;
  else if (symmetry == "skew-symmetric") header.symmetry = Symmetry::skew;
  else if (symmetry != "general") {
    lines.fail("symmetry is " + files::in_quotes(symmetry) + ", expected general, symmetric or skew-symmetric");
  }
  lines.end_of_line();
  return header;
}

/// Entries as they are read.
struct Entries {
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> columns;
  std::vector<double> values;

  void add(std::int64_t row, std::int64_t column, double value, Symmetry symmetry) {
    rows.push_back(row);
    columns.push_back(column);
    values.push_back(value);
    if (symmetry == Symmetry::general || row == column) return;
    rows.push_back(column);
    columns.push_back(row);
    values.push_back(symmetry == Symmetry::skew ? -value : value);
  }
};

void read_coordinates(Lines& lines, const Header& header, const Shape& shape, std::int64_t count, Entries& entries) {
  // The shortest entry is "1 1" and an end of line.
  if (static_cast<std::uint64_t>(count) > lines.bytes() / 4 + 1) {
    lines.fail(std::to_string(count) + " entries cannot be in a file of " + std::to_string(lines.bytes()) + " bytes");
  }
  for (std::int64_t e = 0; e < count; ++e) {
    if (!lines.next_data())
      lines.fail("entry " + std::to_string(e + 1) + " of " + std::to_string(count) + " is missing");
    const std::int64_t row = lines.count("row", 1, shape[0]);
    const std::int64_t column = lines.count("column", 1, shape[1]);
    const double value = header.pattern ? 1.0 : lines.value();
    lines.end_of_line();
    if (header.symmetry != Symmetry::general && row < column) lines.fail("an entry above the diagonal");
    if (header.symmetry == Symmetry::skew && row == column) lines.fail("an entry on the diagonal");
    entries.add(row - 1, column - 1, value, header.symmetry);
  }
}

/// Values column by column; of a symmetric matrix the lower half.
void read_array(Lines& lines, const Header& header, const Shape& shape, Entries& entries) {
  const double stored = static_cast<double>(shape[0]) * static_cast<double>(shape[1]);
  if (stored / 2 > static_cast<double>(lines.bytes())) {
    lines.fail("an array of " + to_string(shape) + " cannot be in a file of " + std::to_string(lines.bytes()) +
               " bytes");
  }
  for (std::int64_t column = 0; column < shape[1]; ++column) {
    const std::int64_t first = header.symmetry == Symmetry::general ? 0
                               : header.symmetry == Symmetry::skew  ? column + 1
                                                                    : column;
    for (std::int64_t row = first; row < shape[0]; ++row) {
      if (!lines.next_data()) lines.fail("the array ends early");
      const double value = lines.value();
      lines.end_of_line();
      if (value != 0) entries.add(row, column, value, header.symmetry);
    }
  }
}

std::string whole_file(const std::filesystem::path& path) {
  const files::InputFile file(path);
  if (file.size() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / 8) {
    throw FileError(path.string() + ": matrix market: too large");
  }
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  file.read(0, text.data(), file.size());
  file.check_unchanged();
  return text;
}

void append(std::string& text, std::int64_t value) { text += std::to_string(value); }

/// The shortest text that is read back as the same double.
void append(std::string& text, double value) {
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value);
  text.append(digits, end);
}

}  // namespace

Coo read_matrix_market(const std::filesystem::path& path, DType dtype) {
  check_floating("read_matrix_market", "dtype", dtype);
  Lines lines(path.string(), whole_file(path));
  const Header header = read_header(lines);
  if (!lines.next_data()) lines.fail("no sizes");
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() - 1;
  const std::int64_t rows = lines.count("rows", 0, kMost);
  const Shape shape{rows, lines.count("columns", 0, kMost)};
  if (header.symmetry != Symmetry::general && shape[0] != shape[1]) {
    lines.fail("a symmetric matrix of shape " + to_string(shape));
  }
  Entries entries;
  if (header.coordinate) {
    const std::int64_t count = lines.count("entries", 0, kMost);
    lines.end_of_line();
    read_coordinates(lines, header, shape, count, entries);
  } else {
    lines.end_of_line();
    read_array(lines, header, shape, entries);
  }
  if (lines.next_data()) lines.fail("more entries than were announced");
  const auto nnz = static_cast<std::int64_t>(entries.values.size());
  const bool narrow = shape[0] <= index_limit(DType::int32) && shape[1] <= index_limit(DType::int32);
  const DType index = narrow ? DType::int32 : DType::int64;
  return Coo::unchecked(cast(Tensor::from(entries.rows, {nnz}), index),
                        cast(Tensor::from(entries.columns, {nnz}), index),
                        cast(Tensor::from(entries.values, {nnz}), dtype), shape[0], shape[1]);
}

void write_matrix_market(const std::filesystem::path& path, const Coo& matrix) {
  check_floating("write_matrix_market", "matrix", matrix.dtype());
  const Tensor rows = cast(matrix.rows().cpu(), DType::int64);
  const Tensor columns = cast(matrix.columns().cpu(), DType::int64);
  const Tensor values = cast(matrix.values().cpu(), DType::float64);
  const auto row = rows.span<std::int64_t>();
  const auto column = columns.span<std::int64_t>();
  const auto value = values.span<double>();
  for (std::size_t e = 0; e < value.size(); ++e) {
    require(std::isfinite(value[e]), [&] {
      return "write_matrix_market: value " + std::to_string(e) + " is " + std::to_string(value[e]) +
             ", expected a finite number: the format has no others";
    });
  }
  files::OutputFile file(path);
  std::string text(kBanner);
  text += " matrix coordinate real general\n";
  append(text, matrix.shape()[0]);
  text += ' ';
  append(text, matrix.shape()[1]);
  text += ' ';
  append(text, matrix.nnz());
  text += '\n';
  for (std::size_t e = 0; e < value.size(); ++e) {
    append(text, row[e] + 1);
    text += ' ';
    append(text, column[e] + 1);
    text += ' ';
    append(text, value[e]);
    text += '\n';
    if (text.size() < kMostText) continue;
    file.write(text.data(), text.size());
    text.clear();
  }
  file.write(text.data(), text.size());
  file.commit();
}

}  // namespace sparsert
