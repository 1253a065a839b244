// sparsert/equivalence.hpp — inputs that provoke, and the comparison of bits: what `sparsert verify` and the tests use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sparsert/tensor.hpp"

namespace sparsert::equivalence {

/// Kinds of input values.
enum class Values : std::uint8_t {
  normal,          ///< of order one, both signs
  small_integers,  ///< -4 to 4: every sum exact, so a wrong index shows in the bits
  positive,        ///< 0.5 to 1.5: a dropped term shows in the sum
  cancelling,      ///< large, of alternating sign
  wide,            ///< spread over 2^-20 to 2^20
  denormal,        ///< a few units of the smallest subnormal
  special,         ///< NaN, both infinities and both zeros among ordinary ones
  zeros,           ///< +0 and -0
};

inline constexpr Values kAllValues[] = {Values::normal, Values::small_integers, Values::positive, Values::cancelling,
                                        Values::wide,   Values::denormal,       Values::special,  Values::zeros};

const char* to_string(Values kind) noexcept;

/// A host tensor of a kind, the same for the same seed on every machine and with every standard library.
/// Integer types get the values truncated, bool gets "is it positive".
Tensor make_values(Values kind, Shape shape, DType dtype, std::uint64_t seed);

/// Where two tensors differ first.
struct Difference {
  std::int64_t index;  ///< of the element, or -1: dtype or shape differ
  std::string got;     ///< value and bits
  std::string expected;
};

/// Compares bits; any NaN equals any NaN. Both on the host, or copied there.
std::optional<Difference> first_difference(const Tensor& got, const Tensor& expected);

}  // namespace sparsert::equivalence
