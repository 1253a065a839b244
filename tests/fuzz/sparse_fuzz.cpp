// tests/fuzz/sparse_fuzz.cpp — libFuzzer on every constructor of a sparse matrix: any arrays are refused, or make a
// matrix whose conversions agree.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "sparsert/formats.hpp"
#include "sparsert/ops.hpp"

namespace {

using namespace sparsert;

/// The input, taken piece by piece; zeros behind its end.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  std::uint8_t byte() { return at_ < size_ ? data_[at_++] : 0; }
  std::int64_t size() { return byte() % 12; }
  std::int64_t index() {
    const std::int64_t small = static_cast<std::int8_t>(byte());
    return small == 127 ? INT64_MAX : small == -128 ? INT64_MIN : small;
  }
  Tensor indices(std::int64_t n, bool wide) {
    std::vector<std::int64_t> values(static_cast<std::size_t>(n));
    for (auto& v : values) v = index();
    return cast(Tensor::from(values, {n}), wide ? DType::int64 : DType::int32);
  }
  Tensor bytes(Shape shape) {
    std::vector<std::uint8_t> values(static_cast<std::size_t>(element_count(shape)));
    for (auto& v : values) v = byte();
    return Tensor::from(values, std::move(shape));
  }
  Tensor floats(Shape shape) {
    std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
    for (auto& v : values) v = static_cast<float>(static_cast<std::int8_t>(byte()));
    return Tensor::from(values, std::move(shape));
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

/// What was accepted must be what it says: checked again, and the same matrix by way of every other format.
void use(const Csr& a) {
  a.validate();
  const Tensor dense = a.to_dense();
  const bool same = equal(to_csc(a).to_dense(), dense) && equal(to_bsr(a, {2, 3}).to_dense(), dense) &&
                    equal(to_bitmap(a).to_dense(), dense) && equal(to_nm(a, 8, 8).to_dense(), dense) &&
                    equal(transpose(transpose(a)).to_dense(), dense);
  if (!same) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  const std::uint8_t format = in.byte() % 6;
  const bool wide = in.byte() % 2 != 0;
  const Shape shape{in.size(), in.size()};
  const std::int64_t offsets = in.size();
  const std::int64_t nnz = in.size();
  try {
    switch (format) {
      case 0: use(Csr(in.indices(offsets, wide), in.indices(nnz, wide), in.floats({nnz}), shape)); break;
      case 1: use(Csc(in.indices(offsets, wide), in.indices(nnz, wide), in.floats({nnz}), shape).to_csr()); break;
      case 2: use(Coo(in.indices(nnz, wide), in.indices(nnz, wide), in.floats({nnz}), shape).to_csr()); break;
      case 3: {
        const Shape blocks{nnz, in.size(), in.size()};
        use(Bsr(in.indices(offsets, wide), in.indices(nnz, wide), in.floats(blocks), shape).to_csr());
        break;
      }
      case 4: {
        const int n = in.byte() % 9;
        const int m = in.byte() % 40;
        const Shape slots{shape[0], in.size()};
        use(Nm(in.floats(slots), in.bytes(slots), shape, n, m).to_csr());
        break;
      }
      default: {
        const Shape bits{shape[0], in.size() % 3};
        use(Bitmap(in.bytes(bits), in.floats({nnz}), shape, wide ? DType::int64 : DType::int32).to_csr());
        break;
      }
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_argument) std::abort();
  }
  return 0;
}
