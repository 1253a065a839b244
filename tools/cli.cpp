// tools/cli.cpp — what the subcommands of `sparsert` share.
#include "tools/cli.hpp"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <utility>

namespace sparsert::tools {

CLI::Validator safetensors_name() {
  return CLI::Validator(
      [](const std::string& text) {
        constexpr std::string_view kEnding = ".safetensors";
        return text.ends_with(kEnding) ? std::string()
                                       : "got \"" + text + "\", expected a name that ends in .safetensors";
      },
      "FILE.safetensors");
}

CLI::Validator model_name() {
  return CLI::Validator(
      [](const std::string& text) {
        const bool is_known = text.ends_with(".safetensors") || text.ends_with(".npz");
        return is_known ? std::string() : "got \"" + text + "\", expected a name that ends in .safetensors or .npz";
      },
      "FILE");
}

CLI::Validator share() {
  return CLI::Validator(
      [](const std::string& text) {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        const bool valid = !text.empty() && *end == '\0' && value >= 0 && value <= 1;  // NaN fails both
        return valid ? std::string() : "got \"" + text + "\", expected a number from 0 to 1";
      },
      "0..1");
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (out.size() >= limit) return out + "...";
    const auto byte = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are control characters as well: a terminal may take one for the start of a command.
    const bool wide_control = byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (byte < 0x20 || byte == 0x7f || wide_control) {
      std::array<char, 8> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\x%02x", byte);
      out += escaped.data();
      if (wide_control) {
        std::snprintf(escaped.data(), escaped.size(), "\\x%02x", static_cast<unsigned char>(text[++i]));
        out += escaped.data();
      }
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

std::string counted(std::uint64_t number, const std::string& what) {
  return grouped(number) + " " + what + (number == 1 ? "" : "s");
}

std::string percent(double share) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f %%", 100 * share);
  return text.data();
}

std::string bold(const std::string& text) {
  static const bool colored = [] {
    const char* const refused = std::getenv("NO_COLOR");
    return (refused == nullptr || *refused == '\0') && isatty(STDOUT_FILENO) != 0;
  }();
  return colored ? "\033[1m" + text + "\033[0m" : text;
}

Progress::Progress(std::string what, std::size_t total)
    : what_(std::move(what)), total_(total), shown_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (shown_) std::cerr << "\r\033[K" << std::flush;
}

void Progress::advance() {
  ++done_;
  if (shown_) std::cerr << '\r' << what_ << ' ' << done_ << " of " << total_ << std::flush;
}

}  // namespace sparsert::tools
