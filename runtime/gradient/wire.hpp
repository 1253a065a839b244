// runtime/gradient/wire.hpp — numbers and ascending indices as bytes, written and read with checks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "sparsert/gradient.hpp"

namespace sparsert::gradient {

[[noreturn]] void fail_packet(std::size_t at, const std::string& what);

class Writer {
 public:
  template <class T>
  void put(T value) {
    put_bytes(&value, sizeof(value));
  }
  void put_bytes(const void* data, std::size_t n);
  template <class T>
  void put_at(std::size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof(value));
  }

  std::vector<std::byte> bytes;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::size_t at() const { return at_; }
  std::size_t left() const { return bytes_.size() - at_; }
  template <class T>
  T get(const char* what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }
  std::span<const std::byte> take(std::uint64_t n, const char* what) {
    if (n > left()) fail_packet(at_, std::string("ends in ") + what);
    const auto part = bytes_.subspan(at_, n);
    at_ += n;
    return part;
  }

 private:
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

/// How a set of indices is written, and how many bytes that takes.
struct IndexChoice {
  IndexEncoding encoding;
  std::uint64_t bytes;
};
IndexChoice smallest_encoding(std::span<const std::int64_t> indices, std::int64_t numel);

void write_indices(std::vector<std::byte>& out, std::span<const std::int64_t> indices, const IndexChoice& choice);

/// Reads what `write_indices` wrote; `at` is its place, for errors.
std::vector<std::int64_t> read_indices(std::span<const std::byte> data, std::size_t at, IndexEncoding encoding,
                                       std::uint64_t count, std::int64_t numel);

}  // namespace sparsert::gradient
