// runtime/files/json.cpp — the strings of a small JSON file.
#include "runtime/files/json.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "runtime/files/bytes.hpp"
#include "runtime/files/names.hpp"

namespace sparsert::files {
namespace {

constexpr const char* kFormat = "json";
constexpr std::uint64_t kMaxBytes = std::uint64_t{64} << 20;
constexpr std::size_t kMaxDepth = 8;
constexpr std::size_t kMaxStrings = 2'000'000;

class Handler : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<JsonString> strings;

  bool null() override { return next(); }
  bool boolean(bool) override { return next(); }
  bool number_integer(std::int64_t) override { return next(); }
  bool number_unsigned(std::uint64_t) override { return next(); }
  bool number_float(double, const std::string&) override { return next(); }
  bool binary(nlohmann::json::binary_t&) override { return next(); }

  bool string(std::string& text) override {
    if (strings.size() == kMaxStrings) malformed(kFormat, 0, "more than 2,000,000 strings");
    JsonString one;
    for (const Level& level : levels_) one.path.push_back(level.is_list ? std::to_string(level.position) : level.key);
    one.value = std::move(text);
    strings.push_back(std::move(one));
    return next();
  }

  bool start_object(std::size_t) override { return open(false); }
  bool start_array(std::size_t) override { return open(true); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    Level& level = levels_.back();
    if (!level.keys.insert(name).second) malformed(kFormat, 0, "the key " + in_quotes(name) + " is there twice");
    level.key = std::move(name);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    malformed(kFormat, position, "is no valid JSON");
  }

 private:
  struct Level {
    bool is_list = false;
    std::size_t position = 0;
    std::string key;
    std::set<std::string> keys;
  };

  bool next() {
    if (!levels_.empty()) ++levels_.back().position;
    return true;
  }

  bool open(bool is_list) {
    if (levels_.size() == kMaxDepth) malformed(kFormat, 0, "nests deeper than 8");
    levels_.push_back({});
    levels_.back().is_list = is_list;
    return true;
  }

  bool close() {
    levels_.pop_back();
    return next();
  }

  std::vector<Level> levels_;
};

}  // namespace

std::vector<JsonString> json_strings(const Bytes& bytes) {
  if (bytes.size() > kMaxBytes) malformed(kFormat, 0, "has more than 64 MiB");
  const auto data = bytes.read(0, bytes.size());
  const auto* const begin = reinterpret_cast<const char*>(data.data());
  Handler handler;
  nlohmann::json::sax_parse(begin, begin + data.size(), &handler);
  return std::move(handler.strings);
}

}  // namespace sparsert::files
