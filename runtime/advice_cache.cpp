// runtime/advice_cache.cpp — advice that outlives the process: one JSON file, read once, written whole.
#include "runtime/advice_cache.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

namespace sparsert {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int kFormat = 1;                  // of the file
constexpr std::size_t kMostEntries = 4096;  // then it is begun anew
constexpr std::uintmax_t kMostBytes = 16 << 20;

json to_json(const Advice& advice) {
  json candidates = json::array();
  for (const AdviceCandidate& c : advice.candidates) {
    candidates.push_back({{"format", c.format}, {"seconds", c.seconds}, {"bytes", c.bytes}, {"note", c.note}});
  }
  return {
      {"choice", advice.choice}, {"candidates", candidates}, {"reasons", advice.reasons}, {"densify", advice.densify}};
}

Advice from_json(const json& entry) {
  Advice advice;
  advice.choice = entry.at("choice").get<std::string>();
  for (const json& c : entry.at("candidates")) {
    advice.candidates.push_back({c.at("format").get<std::string>(), c.at("seconds").get<double>(),
                                 c.at("bytes").get<std::int64_t>(), c.at("note").get<std::string>()});
  }
  advice.reasons = entry.at("reasons").get<std::vector<std::string>>();
  advice.densify = entry.at("densify").get<bool>();
  advice.cached = true;
  return advice;
}

/// The entries of the file and of this process.
struct Cache {
  std::mutex mutex;
  std::string read_from;  // the file that `entries` came from
  bool is_read = false;
  std::map<std::string, Advice> entries;
};

Cache& cache() {
  static Cache instance;
  return instance;
}

std::map<std::string, Advice> read_entries(const std::string& path) {
  std::map<std::string, Advice> entries;
  try {
    if (path.empty() || fs::file_size(path) > kMostBytes) return entries;
    std::ifstream file(path);
    const json content = json::parse(file);
    if (content.at("format").get<int>() != kFormat) return entries;
    for (const auto& [key, entry] : content.at("entries").items()) entries[key] = from_json(entry);
  } catch (const std::exception&) {
    entries.clear();  // damaged or not there: as if there was none
  }
  return entries;
}

void write_entries(const std::string& path, const std::map<std::string, Advice>& entries) {
  if (path.empty()) return;
  try {
    fs::create_directories(fs::path(path).parent_path());
    const std::string temporary = path + "." + std::to_string(::getpid());
    json content{{"format", kFormat}, {"entries", json::object()}};
    for (const auto& [key, advice] : entries) content["entries"][key] = to_json(advice);
    {
      std::ofstream file(temporary);
      file << content.dump(1) << '\n';
      if (!file.flush()) throw std::ios_base::failure("advice");
    }
    fs::rename(temporary, path);
  } catch (const std::exception&) {
    // A read-only home is no reason to fail: the process still knows.
  }
}

/// The cache with the entries of today's file. The lock is held.
Cache& loaded() {
  Cache& c = cache();
  const std::string path = advice_file();
  if (!c.is_read || c.read_from != path) {
    c.entries = read_entries(path);
    c.read_from = path;
    c.is_read = true;
  }
  return c;
}

}  // namespace

std::string advice_file() {
  const auto folder = [](const char* variable) -> std::string {
    const char* const value = std::getenv(variable);
    return value != nullptr ? value : "";
  };
  if (const std::string own = folder("SPARSERT_CACHE_DIR"); !own.empty()) return own + "/advice.json";
  if (const std::string xdg = folder("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/sparsert/advice.json";
  if (const std::string home = folder("HOME"); !home.empty()) return home + "/.cache/sparsert/advice.json";
  return "";
}

std::optional<Advice> cached_advice(const std::string& key) {
  const std::lock_guard lock(cache().mutex);
  const auto& entries = loaded().entries;
  const auto at = entries.find(key);
  if (at == entries.end()) return std::nullopt;
  return at->second;
}

void cache_advice(const std::string& key, const Advice& advice) {
  const std::lock_guard lock(cache().mutex);
  auto& entries = loaded().entries;
  // What other processes have learned meanwhile stays.
  for (auto& [other, entry] : read_entries(advice_file())) entries.emplace(other, std::move(entry));
  if (entries.size() > kMostEntries) entries.clear();
  entries[key] = advice;
  entries[key].cached = true;
  write_entries(advice_file(), entries);
}

}  // namespace sparsert
