// runtime/files/npy.hpp — NumPy's array files: .npy, and .npz, which is a zip archive of them.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/files/element.hpp"
#include "runtime/files/format.hpp"

namespace sparsert::files::npy {

inline constexpr const char* kNpy = "npy";
inline constexpr const char* kNpz = "npz";
inline constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{64} << 10;
inline constexpr std::uint64_t kMaxPrefixBytes = 12;  ///< magic, version, and the length of the header

/// What the header of an array says. Sizes are proven to fit 2^60 bytes, not the file.
struct Header {
  std::string descr;               ///< "<f4"
  std::optional<Element> element;  ///< none: see `refusal`
  std::string refusal;
  bool big_endian = false;
  bool fortran_order = false;
  Shape shape;
  std::uint64_t data = 0;    ///< bytes in front of the data
  std::uint64_t nbytes = 0;  ///< of the data; 0 where there is no element type
};

/// The element type of a NumPy type string such as "<f4", and whether it is big-endian; none for one that is not read.
std::optional<std::pair<Element, bool>> element_of(std::string_view descr);

/// Parses the first bytes of an array: all of it, or at least prefix and longest header. Throws `FileError`.
Header parse(std::span<const std::byte> head, std::uint64_t place);

/// The array's tensor, from all of its bytes.
Tensor read(const Header& header, const Bytes& array);

bool sniff_npy(const Source& source);
bool sniff_npz(const Source& source);
std::unique_ptr<Reader> open_npy(const Source& source);
std::unique_ptr<Reader> open_npz(const Source& source);

}  // namespace sparsert::files::npy
