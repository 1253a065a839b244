// runtime/files/tf_slice.hpp — slices of partitioned variables in TensorFlow checkpoints, and the keys they have.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/files/protobuf.hpp"
#include "sparsert/tensor.hpp"

namespace sparsert::files::tensorflow {

/// A range of one dimension.
struct Extent {
  std::int64_t start = 0;
  std::int64_t length = -1;  ///< -1: all of it
};
using Slice = std::vector<Extent>;

Slice parse_slice(protobuf::Message message);

/// Says what is wrong with slices that do not cover a shape exactly once; none where nothing is.
std::optional<std::string> slices_problem(const std::vector<Slice>& slices, const Shape& shape);

/// Sizes of a slice that `slices_problem` has nothing against.
Shape slice_shape(const Slice& slice, const Shape& shape);

/// The key under which the index has a slice of the variable `name`.
std::string slice_key(std::string_view name, const Slice& slice);

/// True for any key of a slice: names of tensors do not begin with a zero byte.
inline bool is_slice_key(std::string_view key) { return key.starts_with('\0'); }

/// Copies a slice to its place.
void copy_slice(const Tensor& part, const Slice& slice, Tensor& whole);

}  // namespace sparsert::files::tensorflow
