// tests/simt/mma_test.cpp — the tensor cores' product: which element each register holds, and what comes out.
//
// The layouts are stated here the way CuTe states them for SM80_16x8x16 (MMA_Traits): an element of a matrix, counted
// down the columns, is a sum of strides times the coordinates of lane and register. That is another author's statement,
// in another form, of what device/mma.cuh has from the PTX ISA.
#include <cmath>
#include <limits>

#include "device/mma.cuh"
#include "tests/simt/support.hpp"

namespace sparsert::backend::SPARSERT_BACKEND {
namespace {

/// Lane by lane: four registers of a, two of b, four of c, which are the result too.
template <class T>
__global__ void mma_kernel(Global<const std::uint32_t> a, Global<const std::uint32_t> b, Global<float> c) {
  const int lane = static_cast<int>(threadIdx.x);
  std::uint32_t left[4];
  std::uint32_t right[2];
  float sums[4];
  for (int i = 0; i < 4; ++i) left[i] = a[lane * 4 + i];
  for (int i = 0; i < 2; ++i) right[i] = b[lane * 2 + i];
  for (int i = 0; i < 4; ++i) sums[i] = c[lane * 4 + i];
  mma<T>(sums, left, right);
  for (int i = 0; i < 4; ++i) c[lane * 4 + i] = sums[i];
}

}  // namespace
}  // namespace sparsert::backend::SPARSERT_BACKEND

namespace sparsert::test {
namespace {

namespace device = backend::SPARSERT_BACKEND;

struct Place {
  int row;
  int column;
};

/// Strides (32, 1) for lane % 4 and lane / 4, (16, 8, 128) for the bits of the element; columns of 16.
Place place_of_a(int lane, int element) {
  const int at = lane % 4 * 32 + lane / 4 + element % 2 * 16 + element / 2 % 2 * 8 + element / 4 * 128;
  return {at % 16, at / 16};
}

/// Of b transposed, (column, row): strides (16, 1) and (8, 64); columns of 8.
Place place_of_b(int lane, int element) {
  const int at = lane % 4 * 16 + lane / 4 + element % 2 * 8 + element / 2 * 64;
  return {at / 8, at % 8};
}

/// Strides (32, 1) and (16, 8); columns of 16.
Place place_of_c(int lane, int element) {
  const int at = lane % 4 * 32 + lane / 4 + element % 2 * 16 + element / 2 * 8;
  return {at % 16, at / 16};
}

template <class T>
T of(float x) {
  if constexpr (std::is_same_v<T, float16>) return to_float16(x);
  else return to_bfloat16(x);
}

/// c + a · b by the kernel; matrices as rows.
template <class T>
std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, const std::vector<float>& c) {
  DeviceArray<std::uint32_t> left(32 * 4);
  DeviceArray<std::uint32_t> right(32 * 2);
  DeviceArray<float> sums(32 * 4);
  for (int lane = 0; lane < 32; ++lane) {
    for (int e = 0; e < 8; ++e) {
      const Place at = place_of_a(lane, e);
      left[lane * 4 + e / 2] |= std::uint32_t{of<T>(a[at.row * 16 + at.column]).bits} << (e % 2 * 16);
    }
    for (int e = 0; e < 4; ++e) {
      const Place at = place_of_b(lane, e);
      right[lane * 2 + e / 2] |= std::uint32_t{of<T>(b[at.row * 8 + at.column]).bits} << (e % 2 * 16);
    }
    for (int e = 0; e < 4; ++e) {
      const Place at = place_of_c(lane, e);
      sums[lane * 4 + e] = c[at.row * 8 + at.column];
    }
  }
  backend::launch(simt_stream(), {.grid = 1, .block = 32}, &device::mma_kernel<T>, left.data(), right.data(),
                  sums.data());
  std::vector<float> out(16 * 8);
  for (int lane = 0; lane < 32; ++lane) {
    for (int e = 0; e < 4; ++e) {
      const Place at = place_of_c(lane, e);
      out[at.row * 8 + at.column] = sums[lane * 4 + e];
    }
  }
  return out;
}

template <class T>
class Mma : public testing::Test {};
using Types = testing::Types<float16, bfloat16>;
TYPED_TEST_SUITE(Mma, Types);

TYPED_TEST(Mma, EveryElementIsWhereItBelongs) {
  // One element of a and one of b at a time: the product is at their row and column, and nowhere else.
  const std::vector<float> zeros(16 * 8, 0.0f);
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      std::vector<float> a(16 * 16, 0.0f);
      std::vector<float> b(16 * 8, 0.0f);
      const int column = (row + 3 * k) % 8;
      a[row * 16 + k] = 3;
      b[k * 8 + column] = 5;
      std::vector<float> expected = zeros;
      expected[row * 8 + column] = 15;
      ASSERT_EQ((product<TypeParam>(a, b, zeros)), expected) << row << " " << k;
    }
  }
}

TYPED_TEST(Mma, IntegersAreExact) {
  std::vector<float> a(16 * 16);
  std::vector<float> b(16 * 8);
  std::vector<float> c(16 * 8);
  for (std::size_t e = 0; e < a.size(); ++e) a[e] = static_cast<float>(static_cast<int>(e * 37 % 31) - 15);
  for (std::size_t e = 0; e < b.size(); ++e) b[e] = static_cast<float>(static_cast<int>(e * 53 % 29) - 14);
  for (std::size_t e = 0; e < c.size(); ++e) c[e] = static_cast<float>(static_cast<int>(e * 11 % 101) - 50);
  std::vector<float> expected = c;
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      for (int k = 0; k < 16; ++k) expected[i * 8 + j] += a[i * 16 + k] * b[k * 8 + j];
    }
  }
  in_both_orders([&] { EXPECT_EQ((product<TypeParam>(a, b, c)), expected); });
}

TYPED_TEST(Mma, WhatIsNotANumberStaysInItsRowAndColumn) {
  std::vector<float> a(16 * 16, 1.0f);
  std::vector<float> b(16 * 8, 1.0f);
  a[5 * 16 + 2] = std::numeric_limits<float>::quiet_NaN();
  b[9 * 8 + 3] = std::numeric_limits<float>::infinity();
  const auto out = product<TypeParam>(a, b, std::vector<float>(16 * 8, 0.0f));
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      const float x = out[i * 8 + j];
      const float expected = j == 3 ? std::numeric_limits<float>::infinity() : 16.0f;
      EXPECT_TRUE(i == 5 ? std::isnan(x) : x == expected) << i << " " << j;
    }
  }
}

}  // namespace
}  // namespace sparsert::test
