// sparsert/prune.hpp — making zeros in parameters.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sparsert/tensor.hpp"

namespace sparsert::prune {

/// x with exactly nearbyint(amount · numel) entries set to +0: the smallest magnitudes, ties from the highest index.
/// NaN ranks above Inf and is kept. Throws `Error{invalid_argument}` for an amount outside [0, 1], or one that would
/// reach a NaN; `Error{not_supported}` for an integer dtype.
Tensor magnitude(const Tensor& x, double amount, const Stream& stream = {});

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// The same over all tensors as if they were one, in the order given. All of one dtype and device.
NamedTensors global_magnitude(const NamedTensors& tensors, double amount, const Stream& stream = {});

}  // namespace sparsert::prune
