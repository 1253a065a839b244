// runtime/files/tflite_sparsity.hpp — how TensorFlow Lite stores a sparse tensor: levels that are dense or compressed.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/files/flatbuffer.hpp"
#include "sparsert/tensor.hpp"

namespace sparsert::files::tflite {

/// A list of 32-bit, 16-bit or 8-bit numbers.
struct Numbers {
  flatbuffer::Vector place;
  unsigned bytes = 4;
};

/// One loop over the entries: all of a dimension, or those that are listed.
struct Level {
  int dimension = 0;  ///< of the tensor, or of a block behind these
  std::int64_t size = 0;
  bool compressed = false;
  Numbers segments;
  Numbers indices;
};

struct Sparsity {
  std::vector<Level> levels;        ///< outermost first
  std::vector<int> blocked;         ///< for each dimension of a block the tensor's dimension
  std::vector<std::int64_t> block;  ///< and its size
  std::int64_t entries = 0;
  std::uint64_t nbytes = 0;  ///< of segments and indices
};

/// Reads SparsityParameters, and proves sizes: the levels are the tensor's dimensions, each once, and segments and
/// indices are as many as the levels around them say. The indices themselves are proven by `linear_indices`.
Sparsity parse_sparsity(const flatbuffer::Table& table, const Shape& shape);

/// The place of each entry in the dense, row-major tensor, in the order of the values. Proves every segment and index.
std::vector<std::int64_t> linear_indices(Window& window, const Sparsity& sparsity, const Shape& shape);

}  // namespace sparsert::files::tflite
