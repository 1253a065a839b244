// sparsert/packed.hpp — model files whose zeros take (almost) no bytes.
//
// A packed state is an ordinary state: each packed tensor is replaced by its non-zeros and where they are, and the
// metadata key `sparsert.packed` says how to expand them. docs/files.md has the encoding, for other readers. `load`
// expands it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sparsert/files.hpp"

namespace sparsert {

/// What became of a tensor.
struct PackedTensor {
  std::string name;
  std::string encoding;  ///< "bitmap", "csr", "nm"; "dense" where nothing is smaller
  std::int64_t dense_bytes = 0;
  std::int64_t packed_bytes = 0;
};

inline constexpr const char* kPackedKey = "sparsert.packed";

/// Each dense tensor in the encoding that takes fewest bytes; those that none makes smaller by 256 bytes, about what
/// the description takes, stay. What counts as zero is an element with all bits zero: -0 and NaN are kept, so that
/// `unpack_zeros` gives every bit back. On the CPU. Throws `Error{invalid_argument}` for a state that is packed
/// already, or a name that the packed tensors need.
StateDict pack_zeros(const StateDict& state, std::vector<PackedTensor>* report = nullptr);

/// The state that was packed; one that is not comes back as it is. Throws `FileError` for one that does not hold
/// together: any bytes give a state or an error.
StateDict unpack_zeros(const StateDict& packed);

}  // namespace sparsert
