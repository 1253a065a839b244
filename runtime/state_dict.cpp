// runtime/state_dict.cpp — names to tensors.
#include <algorithm>
#include <numeric>

#include "runtime/files/names.hpp"
#include "sparsert/files.hpp"

namespace sparsert {

std::int64_t SparseTensor::nnz() const noexcept {
  return std::visit([](const auto& m) { return m.nnz(); }, matrix);
}

std::int64_t SparseTensor::nbytes() const noexcept {
  return std::visit([](const auto& m) { return m.nbytes(); }, matrix);
}

DType SparseTensor::dtype() const noexcept {
  return std::visit([](const auto& m) { return m.dtype(); }, matrix);
}

SparseTensor SparseTensor::to(const Device& device, const Stream& stream) const {
  return std::visit([&](const auto& m) { return SparseTensor{m.to(device, stream), shape}; }, matrix);
}

Tensor SparseTensor::to_dense(const Stream& stream) const {
  return std::visit([&](const auto& m) { return m.to_dense(stream).reshape(shape); }, matrix);
}

void StateDict::insert(std::string name, Tensor tensor) {
  const auto place = positions_.emplace(name, Position{false, entries_.size()});
  require(place.second, [&] { return "insert: the name " + files::in_quotes(name) + " is there already"; });
  try {
    entries_.emplace_back(std::move(name), std::move(tensor));
  } catch (...) {
    positions_.erase(place.first);
    throw;
  }
}

void StateDict::insert(std::string name, SparseTensor tensor) {
  const auto place = positions_.emplace(name, Position{true, sparse_entries_.size()});
  require(place.second, [&] { return "insert: the name " + files::in_quotes(name) + " is there already"; });
  try {
    sparse_entries_.emplace_back(std::move(name), std::move(tensor));
  } catch (...) {
    positions_.erase(place.first);
    throw;
  }
}

bool StateDict::contains(const std::string& name) const { return positions_.contains(name); }

bool StateDict::is_sparse(const std::string& name) const {
  const auto found = positions_.find(name);
  return found != positions_.end() && found->second.sparse;
}

StateDict::Position StateDict::find(const std::string& name) const {
  const auto found = positions_.find(name);
  require(found != positions_.end(), [&] {
    std::vector<std::string_view> names;
    for (const Entry& entry : entries_) names.push_back(entry.first);
    for (const SparseEntry& entry : sparse_entries_) names.push_back(entry.first);
    return "state: has no tensor " + files::in_quotes(name) + files::close_names(name, names);
  });
  return found->second;
}

const Tensor& StateDict::at(const std::string& name) const {
  const Position position = find(name);
  require(!position.sparse,
          [&] { return "state: " + files::in_quotes(name) + " is sparse, expected a dense tensor; see sparse_at"; });
  return entries_[position.index].second;
}

const SparseTensor& StateDict::sparse_at(const std::string& name) const {
  const Position position = find(name);
  require(position.sparse,
          [&] { return "state: " + files::in_quotes(name) + " is dense, expected a sparse tensor; see at"; });
  return sparse_entries_[position.index].second;
}

std::int64_t StateDict::nbytes() const noexcept {
  const auto add = [](std::int64_t sum, const auto& entry) { return sum + entry.second.nbytes(); };
  return std::accumulate(sparse_entries_.begin(), sparse_entries_.end(),
                         std::accumulate(entries_.begin(), entries_.end(), std::int64_t{0}, add), add);
}

StateDict StateDict::to(const Device& device, const Stream& stream) const {
  StateDict moved;
  std::map<const void*, Tensor> once;  // what shares its memory here shares it there
  for (const auto& [name, tensor] : entries_) {
    const auto before = once.find(tensor.data());
    const bool tied = tensor.numel() != 0 && before != once.end() && before->second.shape() == tensor.shape() &&
                      before->second.dtype() == tensor.dtype();
    Tensor there = tied ? before->second : tensor.to(device, stream);
    once.emplace(tensor.data(), there);
    moved.insert(name, std::move(there));
  }
  for (const auto& [name, tensor] : sparse_entries_) moved.insert(name, tensor.to(device, stream));
  moved.metadata_ = metadata_;
  return moved;
}

}  // namespace sparsert
