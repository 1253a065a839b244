// runtime/check_sparse.cpp — the checks that go through every entry.
#include "runtime/check_sparse.hpp"

#include <cstdlib>
#include <limits>

namespace sparsert {
namespace {

template <class I>
void check_compressed_of(const CompressedNames& names, const Tensor& offset_array, const Tensor& index_array,
                         std::int64_t lines, std::int64_t limit) {
  const std::string op = std::string(names.op) + ": ";
  const auto offsets = offset_array.span<I>();
  const auto indices = index_array.span<I>();
  const auto nnz = static_cast<std::int64_t>(indices.size());
  require(offsets[0] == 0,
          [&] { return op + names.offsets + "[0] is " + std::to_string(offsets[0]) + ", expected 0"; });
  // All offsets first: only then may they be used to read indices.
  for (std::int64_t r = 0; r < lines; ++r) {
    require(offsets[r] <= offsets[r + 1] && offsets[r + 1] <= nnz, [&] {
      return op + names.offsets + "[" + std::to_string(r + 1) + "] is " + std::to_string(offsets[r + 1]) +
             ", expected " + std::to_string(offsets[r]) + " to nnz = " + std::to_string(nnz);
    });
  }
  require(offsets[lines] == nnz, [&] {
    return op + names.offsets + "[" + std::to_string(lines) + "] is " + std::to_string(offsets[lines]) +
           ", expected the number of " + names.indices + " given, " + std::to_string(nnz);
  });
  for (std::int64_t r = 0; r < lines; ++r) {
    for (std::int64_t e = offsets[r]; e < offsets[r + 1]; ++e) {
      check_in_range(names.op, names.indices, e, indices[e], limit);
      require(e == offsets[r] || indices[e - 1] < indices[e], [&] {
        return op + names.indices + "[" + std::to_string(e) + "] of " + names.line + " " + std::to_string(r) + " is " +
               std::to_string(indices[e]) + " after " + std::to_string(indices[e - 1]) +
               (indices[e - 1] == indices[e]
                    ? ", a duplicate"
                    : std::string(", expected ascending ") + names.indices + " in a " + names.line);
      });
    }
  }
}

template <class I>
void check_range_of(const char* op, const char* argument, const Tensor& indices, std::int64_t limit) {
  const auto values = indices.span<I>();
  for (std::size_t e = 0; e < values.size(); ++e) {
    check_in_range(op, argument, static_cast<std::int64_t>(e), values[e], limit);
  }
}

std::int64_t limit_of_int32() noexcept {
  constexpr std::int64_t kLimit = std::numeric_limits<std::int32_t>::max();
  const char* const text = std::getenv("SPARSERT_TEST_INT32_MAX");
  if (text == nullptr) return kLimit;
  const std::int64_t wanted = std::strtoll(text, nullptr, 10);
  return wanted > 0 && wanted < kLimit ? wanted : kLimit;
}

}  // namespace

std::int64_t index_limit(DType index) noexcept {
  static const std::int64_t int32 = limit_of_int32();
  return index == DType::int32 ? int32 : std::numeric_limits<std::int64_t>::max();
}

void check_range(const char* op, const char* argument, const Tensor& indices, std::int64_t limit) {
  const Tensor host = on_host(indices);
  if (host.dtype() == DType::int32) check_range_of<std::int32_t>(op, argument, host, limit);
  else check_range_of<std::int64_t>(op, argument, host, limit);
}

void check_compressed(const CompressedNames& names, const Tensor& offsets, const Tensor& indices, std::int64_t lines,
                      std::int64_t limit) {
  const Tensor host_offsets = on_host(offsets);
  const Tensor host_indices = on_host(indices);
  if (offsets.dtype() == DType::int32) {
    check_compressed_of<std::int32_t>(names, host_offsets, host_indices, lines, limit);
  } else {
    check_compressed_of<std::int64_t>(names, host_offsets, host_indices, lines, limit);
  }
}

}  // namespace sparsert
