// runtime/state_dict.cpp — names to tensors.
#include <algorithm>
#include <numeric>

#include "runtime/files/names.hpp"
#include "sparsert/files.hpp"

namespace sparsert {

void StateDict::insert(std::string name, Tensor tensor) {
  const auto place = positions_.emplace(name, entries_.size());
  require(place.second, [&] { return "insert: the name " + files::in_quotes(name) + " is there already"; });
  try {
    entries_.emplace_back(std::move(name), std::move(tensor));
  } catch (...) {
    positions_.erase(place.first);
    throw;
  }
}

bool StateDict::contains(const std::string& name) const { return positions_.contains(name); }

const Tensor& StateDict::at(const std::string& name) const {
  const auto found = positions_.find(name);
  require(found != positions_.end(), [&] {
    std::vector<std::string_view> names;
    for (const Entry& entry : entries_) names.push_back(entry.first);
    return "state: has no tensor " + files::in_quotes(name) + files::close_names(name, names);
  });
  return entries_[found->second].second;
}

std::int64_t StateDict::nbytes() const noexcept {
  return std::accumulate(entries_.begin(), entries_.end(), std::int64_t{0},
                         [](std::int64_t sum, const Entry& entry) { return sum + entry.second.nbytes(); });
}

StateDict StateDict::to(const Device& device, const Stream& stream) const {
  StateDict moved;
  for (const auto& [name, tensor] : entries_) moved.insert(name, tensor.to(device, stream));
  moved.metadata_ = metadata_;
  return moved;
}

}  // namespace sparsert
