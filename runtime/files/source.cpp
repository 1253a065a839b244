// runtime/files/source.cpp — bytes with a known end.
#include "runtime/files/source.hpp"

#include <cstring>

#include "sparsert/error.hpp"

namespace sparsert::files {

void Bytes::check(std::uint64_t offset, std::uint64_t bytes) const {
  if (offset > size_ || bytes > size_ - offset) {
    throw FileError("ends at offset " + std::to_string(place(size_)) + ", expected " + std::to_string(bytes) +
                    " bytes at offset " + std::to_string(place(offset)));
  }
}

void Bytes::read(std::uint64_t offset, void* to, std::uint64_t bytes) const {
  check(offset, bytes);
  if (bytes == 0) return;
  if (memory_ != nullptr) {
    std::memcpy(to, memory_->data() + begin_ + offset, static_cast<std::size_t>(bytes));
    return;
  }
  file_->read(begin_ + offset, to, bytes);
  file_->check_unchanged();
}

std::vector<std::byte> Bytes::read(std::uint64_t offset, std::uint64_t bytes) const {
  check(offset, bytes);
  std::vector<std::byte> data(static_cast<std::size_t>(bytes));
  read(offset, data.data(), bytes);
  return data;
}

std::shared_ptr<const std::byte> Bytes::view(std::uint64_t offset, std::uint64_t bytes) const {
  check(offset, bytes);
  if (!mapped_ || bytes == 0) return nullptr;
  // Behind an end that has moved there would be no memory.
  file_->check_unchanged();
  const auto mapping = file_->mapping();
  return {mapping, mapping.get() + begin_ + offset};
}

Bytes Bytes::part(std::uint64_t offset, std::uint64_t bytes) const {
  check(offset, bytes);
  Bytes part = *this;
  part.begin_ += offset;
  part.size_ = bytes;
  return part;
}

}  // namespace sparsert::files
