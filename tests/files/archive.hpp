// tests/files/archive.hpp — zip archives, NumPy arrays and PyTorch pickles made byte by byte.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/files/malformed.hpp"

namespace sparsert::test {

inline std::uint32_t crc_of(std::string_view bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

/// A zip archive and where its records are.
struct Zip {
  std::string bytes;
  std::vector<std::size_t> local;
  std::vector<std::size_t> central;
  std::size_t end = 0;

  /// The bytes with a number of `width` bytes changed.
  std::string with(std::size_t at, std::uint64_t value, std::size_t width) const {
    std::string changed = bytes;
    return changed.replace(at, width, little(value, width));
  }
};

/// Stored members, as the common libraries write them.
inline Zip make_zip(const std::vector<std::pair<std::string, std::string>>& members) {
  Zip zip;
  for (const auto& [name, data] : members) {
    zip.local.push_back(zip.bytes.size());
    zip.bytes += std::string("PK\3\4") + little(20, 2) + little(0x800, 2) + little(0, 2) + little(0, 4) +
                 little(crc_of(data), 4) + little(data.size(), 4) + little(data.size(), 4) + little(name.size(), 2) +
                 little(0, 2) + name + data;
  }
  const std::size_t begin = zip.bytes.size();
  for (std::size_t i = 0; i < members.size(); ++i) {
    const auto& [name, data] = members[i];
    zip.central.push_back(zip.bytes.size());
    zip.bytes += std::string("PK\1\2") + little(20, 2) + little(20, 2) + little(0x800, 2) + little(0, 2) +
                 little(0, 4) + little(crc_of(data), 4) + little(data.size(), 4) + little(data.size(), 4) +
                 little(name.size(), 2) + little(0, 2) + little(0, 2) + little(0, 2) + little(0, 2) + little(0, 4) +
                 little(zip.local[i], 4) + name;
  }
  zip.end = zip.bytes.size();
  zip.bytes += std::string("PK\5\6") + little(0, 4) + little(members.size(), 2) + little(members.size(), 2) +
               little(zip.end - begin, 4) + little(begin, 4) + little(0, 2);
  return zip;
}

/// An array with this header, whatever it says.
inline std::string npy(const std::string& header, const std::string& data, int major = 1) {
  return std::string("\x93NUMPY") + static_cast<char>(major) + '\0' + little(header.size(), major == 1 ? 2 : 4) +
         header + data;
}

inline std::string npy_header(const std::string& descr, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }\n";
}

/// Operations of pickles.
namespace pickled {

inline std::string text(std::string_view value) { return "X" + little(value.size(), 4) + std::string(value); }
inline std::string integer(std::int64_t value) { return "\x8a\x08" + little(static_cast<std::uint64_t>(value), 8); }
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string tuple(const std::vector<std::int64_t>& values) {
  std::string out = "(";
  for (const std::int64_t value : values) out += integer(value);
  return out + "t";
}
inline std::string storage(const std::string& type = "FloatStorage", std::int64_t count = 6,
                           const std::string& key = "0") {
  return "(" + text("storage") + global("torch", type) + text(key) + text("cpu") + integer(count) + "tQ";
}
/// A call of _rebuild_tensor_v2.
inline std::string tensor(const std::string& memory = storage(), std::int64_t offset = 0,
                          const std::string& sizes = tuple({2, 3}), const std::string& strides = tuple({3, 1})) {
  return global("torch._utils", "_rebuild_tensor_v2") + "(" + memory + integer(offset) + sizes + strides + "\x89" +
         global("collections", "OrderedDict") + ")RtR";
}
inline std::string dictionary(const std::string& value) { return "}(" + text("w") + value + "u"; }
inline std::string whole(const std::string& operations) { return "\x80\x02" + operations + "."; }

}  // namespace pickled

/// A PyTorch file with this pickle and one storage.
inline Zip torch_zip(const std::string& pickle, const std::string& data = std::string(24, 'x')) {
  return make_zip({{"m/data.pkl", pickle}, {"m/data/0", data}, {"m/version", "3\n"}});
}

inline std::string torch_file(const std::string& operations, const std::string& data = std::string(24, 'x')) {
  return torch_zip(pickled::whole(operations), data).bytes;
}

}  // namespace sparsert::test
