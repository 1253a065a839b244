// runtime/files/tflite_sparsity.cpp — how TensorFlow Lite stores a sparse tensor.
#include "runtime/files/tflite_sparsity.hpp"

#include <algorithm>
#include <string>

#include "runtime/files/bytes.hpp"

namespace sparsert::files::tflite {
namespace {

using flatbuffer::Table;
using flatbuffer::Vector;

namespace field {
enum : unsigned { traversal_order = 0, block_map = 1, dim_metadata = 2 };
enum : unsigned { format = 0, dense_size = 1, segments_type = 2, segments = 3, indices_type = 4, indices = 5 };
}  // namespace field

constexpr std::uint64_t kMaxLevels = 2 * kMaxRank;

std::vector<int> small_numbers(const Table& table, unsigned number, const char* name) {
  const Vector vector = table.vector(number, 4);
  if (vector.size > kMaxLevels) table.fail(std::string(name) + " has " + std::to_string(vector.size) + " entries");
  std::vector<int> values;
  for (std::uint64_t i = 0; i < vector.size; ++i) {
    values.push_back(static_cast<int>(static_cast<std::uint32_t>(table.window().number(vector.begin + 4 * i, 4))));
  }
  return values;
}

Numbers numbers(const Table& table, unsigned type_field, unsigned value_field) {
  constexpr unsigned kBytes[] = {0, 4, 2, 1};  // by the type of the union
  const std::uint64_t type = table.number(type_field, 1);
  if (type == 0 || type > 3) table.fail("a list of indices has the type " + std::to_string(type));
  const auto holder = table.table(value_field);
  if (!holder) table.fail("a compressed dimension has no segments or no indices");
  return {holder->vector(0, kBytes[type]), kBytes[type]};
}

std::int64_t number_at(Window& window, const Numbers& list, std::uint64_t i) {
  const std::uint64_t value = window.number(list.place.begin + i * list.bytes, list.bytes);
  return list.bytes == 4 ? static_cast<std::int32_t>(static_cast<std::uint32_t>(value))
                         : static_cast<std::int64_t>(value);
}

/// Which dimension each level walks: all of the tensor's and of the block's, each once.
std::vector<int> order_of(const Table& table, std::size_t dimensions) {
  auto order = small_numbers(table, field::traversal_order, "traversal_order");
  auto sorted = order;
  std::sort(sorted.begin(), sorted.end());
  bool is_permutation = order.size() == dimensions;
  for (std::size_t i = 0; is_permutation && i < sorted.size(); ++i) is_permutation = sorted[i] == static_cast<int>(i);
  if (!is_permutation) {
    table.fail("traversal_order is no permutation of " + std::to_string(dimensions) + " dimensions");
  }
  return order;
}

void parse_block(const Table& table, const Vector& levels, const std::vector<int>& order, const Shape& shape,
                 Sparsity& out) {
  out.blocked = small_numbers(table, field::block_map, "block_map");
  out.block.resize(out.blocked.size());
  for (std::size_t k = 0; k < out.blocked.size(); ++k) {
    const int dimension = out.blocked[k];
    if (dimension < 0 || dimension >= static_cast<int>(shape.size()))
      table.fail("block_map names dimension " + std::to_string(dimension) + " of " + to_string(shape));
    if (std::count(out.blocked.begin(), out.blocked.end(), dimension) != 1)
      table.fail("block_map names dimension " + std::to_string(dimension) + " twice");
    const int wanted = static_cast<int>(shape.size() + k);
    const auto level = std::find(order.begin(), order.end(), wanted) - order.begin();
    const Table metadata = table.item(levels, static_cast<std::uint64_t>(level));
    if (metadata.number(field::format, 1) != 0) metadata.fail("a dimension of a block is not dense");
    const auto size = static_cast<std::int32_t>(static_cast<std::uint32_t>(metadata.number(field::dense_size, 4)));
    if (size <= 0 || shape[static_cast<std::size_t>(dimension)] % size != 0) {
      metadata.fail("a block of " + std::to_string(size) + " does not divide dimension " + std::to_string(dimension) +
                    " of " + to_string(shape));
    }
    out.block[k] = size;
  }
}

/// Reads the level and returns how many positions there are behind it, of `positions` before it.
std::int64_t parse_level(const Table& metadata, Level& level, std::int64_t positions, std::uint64_t& nbytes) {
  const std::uint64_t format = metadata.number(field::format, 1);
  if (format > 1) metadata.fail("a dimension has the format " + std::to_string(format));
  if (format == 0) {
    const auto size = static_cast<std::int32_t>(static_cast<std::uint32_t>(metadata.number(field::dense_size, 4)));
    if (size != level.size) {
      metadata.fail("a dense dimension has the size " + std::to_string(size) + ", expected " +
                    std::to_string(level.size));
    }
    if (__builtin_mul_overflow(positions, level.size, &positions))
      metadata.fail("the dimensions overflow 2^63 entries");
    return positions;
  }
  level.compressed = true;
  level.segments = numbers(metadata, field::segments_type, field::segments);
  level.indices = numbers(metadata, field::indices_type, field::indices);
  if (level.segments.place.size == 0 || level.segments.place.size - 1 != static_cast<std::uint64_t>(positions)) {
    metadata.fail("a compressed dimension has " + std::to_string(level.segments.place.size) + " segments, expected " +
                  std::to_string(positions) + " + 1");
  }
  nbytes += level.segments.place.size * level.segments.bytes + level.indices.place.size * level.indices.bytes;
  return static_cast<std::int64_t>(level.indices.place.size);
}

}  // namespace

Sparsity parse_sparsity(const Table& table, const Shape& shape) {
  Sparsity out;
  const Vector levels = table.vector(field::dim_metadata, 4);
  const std::uint64_t blocks = table.vector(field::block_map, 4).size;
  if (blocks > shape.size()) table.fail("block_map has more entries than the tensor dimensions");
  const std::size_t dimensions = shape.size() + static_cast<std::size_t>(blocks);
  const std::vector<int> order = order_of(table, dimensions);
  if (levels.size != dimensions) {
    table.fail("dim_metadata has " + std::to_string(levels.size) + " entries, expected " + std::to_string(dimensions));
  }
  parse_block(table, levels, order, shape, out);
  std::int64_t positions = 1;
  for (std::size_t i = 0; i < order.size(); ++i) {
    Level level;
    level.dimension = order[i];
    const auto d = static_cast<std::size_t>(order[i]);
    if (d >= shape.size()) {
      level.size = out.block[d - shape.size()];
    } else {
      level.size = shape[d];
      for (std::size_t k = 0; k < out.blocked.size(); ++k) {
        if (out.blocked[k] == order[i]) level.size /= out.block[k];
      }
    }
    positions = parse_level(table.item(levels, i), level, positions, out.nbytes);
    out.levels.push_back(level);
  }
  out.entries = positions;
  return out;
}

std::vector<std::int64_t> linear_indices(Window& window, const Sparsity& sparsity, const Shape& shape) {
  // How far one step in each dimension, of the tensor and of a block, goes in the dense tensor.
  std::vector<std::int64_t> steps(shape.size(), 1);
  for (std::size_t d = shape.size(); d-- > 1;) steps[d - 1] = steps[d] * shape[d];
  for (std::size_t k = 0; k < sparsity.blocked.size(); ++k) {
    const auto d = static_cast<std::size_t>(sparsity.blocked[k]);
    steps.push_back(steps[d]);
    steps[d] *= sparsity.block[k];
  }
  // Level by level: the places of all positions so far become those of the next level.
  std::vector<std::int64_t> places{0};
  for (const Level& level : sparsity.levels) {
    const std::int64_t step = steps[static_cast<std::size_t>(level.dimension)];
    std::vector<std::int64_t> next;
    if (!level.compressed) {
      next.reserve(places.size() * static_cast<std::size_t>(level.size));
      for (const std::int64_t place : places) {
        for (std::int64_t i = 0; i < level.size; ++i) next.push_back(place + i * step);
      }
      places = std::move(next);
      continue;
    }
    const std::uint64_t at = level.segments.place.begin;
    next.reserve(static_cast<std::size_t>(level.indices.place.size));
    std::int64_t begin = number_at(window, level.segments, 0);
    if (begin != 0) window.fail(at, "the first segment begins at " + std::to_string(begin) + ", expected 0");
    for (std::size_t p = 0; p < places.size(); ++p) {
      const std::int64_t end = number_at(window, level.segments, p + 1);
      if (end < begin || static_cast<std::uint64_t>(end) > level.indices.place.size) {
        window.fail(at, "segment " + std::to_string(p) + " is " + std::to_string(begin) + " to " + std::to_string(end) +
                            " of " + std::to_string(level.indices.place.size) + " indices");
      }
      std::int64_t before = -1;
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t index = number_at(window, level.indices, static_cast<std::uint64_t>(i));
        if (index <= before || index >= level.size) {
          window.fail(level.indices.place.begin, "index " + std::to_string(i) + " is " + std::to_string(index) +
                                                     " after " + std::to_string(before) + ", in a dimension of " +
                                                     std::to_string(level.size));
        }
        before = index;
        next.push_back(places[p] + index * step);
      }
      begin = end;
    }
    if (static_cast<std::uint64_t>(begin) != level.indices.place.size) {
      window.fail(at, "the segments end at " + std::to_string(begin) + " of " +
                          std::to_string(level.indices.place.size) + " indices");
    }
    places = std::move(next);
  }
  return places;
}

}  // namespace sparsert::files::tflite
