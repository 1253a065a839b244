// tests/sparsity/lowrank_test.cpp — low rank by singular values: residual, orthogonality, energy, cost.
#include "sparsert/lowrank.hpp"

#include <cmath>
#include <cstdlib>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

using Matrix = std::vector<double>;

Matrix doubles(const Tensor& x) { return to_vector<double>(cast(x, DType::float64)); }

Matrix times(const Matrix& a, std::int64_t m, std::int64_t k, const Matrix& b, std::int64_t n) {
  Matrix c(static_cast<std::size_t>(m * n));
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t l = 0; l < k; ++l) {
      for (std::int64_t j = 0; j < n; ++j) {
        c[static_cast<std::size_t>(i * n + j)] +=
            a[static_cast<std::size_t>(i * k + l)] * b[static_cast<std::size_t>(l * n + j)];
      }
    }
  }
  return c;
}

double norm(const Matrix& a) {
  double sum = 0;
  for (const double v : a) sum += v * v;
  return std::sqrt(sum);
}

double distance(const Matrix& a, const Matrix& b) {
  Matrix difference(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  return norm(difference);
}

/// A matrix with known singular values: two reflections around a diagonal.
Tensor with_singular_values(std::int64_t m, std::int64_t n, const std::vector<double>& s, std::uint64_t seed) {
  const auto reflection = [&](std::int64_t size, std::uint64_t which) {
    const std::vector<double> v = make_values<double>(Values::normal, size, which);
    const double length = norm(v);
    Matrix h(static_cast<std::size_t>(size * size));
    for (std::int64_t i = 0; i < size; ++i) {
      for (std::int64_t j = 0; j < size; ++j) {
        h[static_cast<std::size_t>(i * size + j)] = (i == j ? 1.0 : 0.0) - 2 * v[static_cast<std::size_t>(i)] *
                                                                               v[static_cast<std::size_t>(j)] /
                                                                               (length * length);
      }
    }
    return h;
  };
  Matrix d(static_cast<std::size_t>(m * n));
  for (std::size_t i = 0; i < s.size(); ++i) d[i * static_cast<std::size_t>(n) + i] = s[i];
  const Matrix x = times(times(reflection(m, seed), m, m, d, n), m, n, reflection(n, seed + 1), n);
  return Tensor::from(x, {m, n});
}

class LowRankTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_FALSE(lapack_library().empty()) << "the tests need a LAPACK (libopenblas0)"; }
};

TEST_F(LowRankTest, TheErrorIsThatOfTheSingularValuesLeftOut) {
  const std::vector<double> s{9, 4, 2, 1, 0.5, 0.25, 0.125};
  for (const auto& [m, n] : {std::pair<std::int64_t, std::int64_t>{7, 7}, {7, 30}, {40, 7}}) {
    const Tensor x = with_singular_values(m, n, s, 1);
    double rest = 0;
    for (const double value : s) rest += value * value;
    const double total = std::sqrt(rest);
    for (std::int64_t rank = 0; rank <= 7; ++rank) {
      const LowRank f = lowrank(x, {.rank = rank});
      EXPECT_EQ(f.u.shape(), (Shape{m, rank}));
      EXPECT_EQ(f.v.shape(), (Shape{rank, n}));
      EXPECT_NEAR(f.error, std::sqrt(std::max(0.0, rest)) / total, 1e-13);
      EXPECT_NEAR(distance(doubles(x), times(doubles(f.u), m, rank, doubles(f.v), n)) / total, f.error, 1e-13);
      EXPECT_EQ(f.nbytes(), (m + n) * rank * 8);
      for (std::int64_t i = 0; i < rank; ++i) {
        EXPECT_NEAR(f.singular_values.span<double>()[static_cast<std::size_t>(i)], s[static_cast<std::size_t>(i)],
                    1e-12);
        for (std::int64_t j = 0; j < rank; ++j) {  // rows of v are orthonormal
          double dot = 0;
          for (std::int64_t c = 0; c < n; ++c) {
            dot += f.v.span<double>()[static_cast<std::size_t>(i * n + c)] *
                   f.v.span<double>()[static_cast<std::size_t>(j * n + c)];
          }
          EXPECT_NEAR(dot, i == j ? 1 : 0, 1e-13);
        }
      }
      if (rank < 7) rest -= s[static_cast<std::size_t>(rank)] * s[static_cast<std::size_t>(rank)];
    }
  }
}

TEST_F(LowRankTest, EnergyPicksTheSmallestRank) {
  const Tensor x = with_singular_values(12, 20, {3, 2, 1, 1, 1}, 2);  // squares 9 4 1 1 1 of 16
  for (const auto& [energy, rank] :
       std::vector<std::pair<double, std::int64_t>>{{0, 0}, {0.5, 1}, {0.57, 2}, {0.8, 2}, {0.82, 3}, {0.99, 5}}) {
    EXPECT_EQ(lowrank(x, {.energy = energy}).rank(), rank) << energy;
  }
}

TEST_F(LowRankTest, RandomizedIsCloseToTheBest) {
  std::vector<double> s(60);
  for (std::size_t i = 0; i < s.size(); ++i) s[i] = std::pow(0.8, static_cast<double>(i));
  const Tensor x = with_singular_values(90, 70, s, 3);
  for (const std::int64_t rank : {1, 5, 20, 70}) {
    const LowRank best = lowrank(x, {.rank = rank});
    const LowRank sketch = lowrank(x, {.rank = rank, .method = SvdMethod::randomized, .seed = 5});
    EXPECT_LE(sketch.error, 1.01 * best.error + 1e-14) << rank;
    EXPECT_GE(sketch.error, best.error * (1 - 1e-9) - 1e-14);  // nothing beats the best
    const LowRank again = lowrank(x, {.rank = rank, .method = SvdMethod::randomized, .seed = 5});
    EXPECT_TRUE(same_bits(again.u, to_vector<double>(sketch.u)));
  }
}

TEST_F(LowRankTest, OtherDtypesAndDevices) {
  const Tensor x = with_singular_values(24, 16, {5, 3, 1, 0.5}, 4);
  for (const Device& device : devices_under_test()) {
    for (const auto& [dtype, unit] : std::vector<std::pair<DType, double>>{
             {DType::float32, 0x1p-23}, {DType::float16, 0x1p-10}, {DType::bfloat16, 0x1p-7}}) {
      const LowRank f = lowrank(cast(x, dtype).to(device), {.rank = 4});
      EXPECT_EQ(f.u.device(), device);
      EXPECT_EQ(f.v.dtype(), dtype);
      EXPECT_LE(f.error, 4 * unit);
    }
  }
}

TEST_F(LowRankTest, BreakEven) {
  // (100 + 50) r < 5000: r = 33 pays, 34 does not.
  const LowRank f = lowrank(Tensor::zeros({100, 50}, DType::float32), {.rank = 1});
  EXPECT_EQ(f.break_even_rank(), 33);
  EXPECT_EQ(f.error, 0.0);
  EXPECT_EQ(lowrank(Tensor::zeros({1, 1}, DType::float32), {.rank = 1}).break_even_rank(), 0);
  for (const Shape& shape : {Shape{0, 5}, Shape{5, 0}}) {
    EXPECT_EQ(lowrank(Tensor::zeros(shape, DType::float32), {.rank = 0}).rank(), 0);
    EXPECT_EQ(lowrank(Tensor::zeros(shape, DType::float32), {.energy = 0.9}).nbytes(), 0);
  }
}

TEST_F(LowRankTest, ASparseRemainderTakesWhatLowRankCannot) {
  // Low rank, and three spikes.
  Tensor x = with_singular_values(40, 30, {6, 3}, 6);
  for (const std::size_t at : {std::size_t{5}, std::size_t{333}, std::size_t{1000}}) x.mutable_span<double>()[at] += 1;
  const double amount = 1 - 3.0 / 1200;
  const LowRankSparse once = lowrank_sparse(x, {.rank = 2}, amount);
  const LowRankSparse f = lowrank_sparse(x, {.rank = 2}, amount, 100);
  EXPECT_EQ(f.sparse.nnz(), 3);
  EXPECT_LT(f.error, 1e-6);
  EXPECT_LT(f.error, once.error);
  EXPECT_LT(once.error, lowrank(x, {.rank = 2}).error + 1e-12);
  Matrix sum = times(doubles(f.low_rank.u), 40, 2, doubles(f.low_rank.v), 30);
  const Matrix sparse = doubles(f.sparse.to_dense());
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += sparse[i];
  EXPECT_NEAR(distance(doubles(x), sum) / norm(doubles(x)), f.error, 1e-12);
  EXPECT_EQ(f.nbytes(), f.low_rank.nbytes() + f.sparse.nbytes());
}

TEST_F(LowRankTest, ErrorsNameWhatIsWrong) {
  const Tensor x = Tensor::zeros({4, 6}, DType::float32);
  const auto bad = ErrorCode::invalid_argument;
  expect_error(bad, {"lowrank", "neither"}, [&] { lowrank(x, {}); });
  expect_error(bad, {"lowrank", "both"}, [&] { lowrank(x, {.rank = 1, .energy = 0.5}); });
  expect_error(bad, {"lowrank", "rank is 5", "0 to 4"}, [&] { lowrank(x, {.rank = 5}); });
  expect_error(bad, {"lowrank", "energy is 1.5"}, [&] { lowrank(x, {.energy = 1.5}); });
  expect_error(bad, {"lowrank", "randomized", "rank"},
               [&] { lowrank(x, {.energy = 0.5, .method = SvdMethod::randomized}); });
  expect_error(bad, {"lowrank", "(24,)"}, [&] { lowrank(x.reshape({24}), {.rank = 1}); });
  expect_error(bad, {"lowrank", "NaN"}, [&] {
    lowrank(Tensor::from(std::vector<float>{1, NAN}, {1, 2}), {.rank = 1});
  });
  expect_error(ErrorCode::not_supported, {"int32"}, [&] { lowrank(Tensor::zeros({2, 2}, DType::int32), {.rank = 1}); });
  expect_error(bad, {"lowrank_sparse", "iterations is 0"}, [&] { lowrank_sparse(x, {.rank = 1}, 0.5, 0); });
}

TEST(LowRankWithoutLapack, SaysWhatItLookedFor) {
  // In a process of its own, from its start: the library is looked for once.
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        setenv("SPARSERT_LAPACK", "no-such-library.so", 1);
        try {
          lowrank(Tensor::zeros({2, 2}, DType::float32), {.rank = 1});
        } catch (const Error& error) {
          const std::string what = error.what();
          const bool named = error.code() == ErrorCode::not_supported && what.find("LAPACK") != std::string::npos;
          std::_Exit(named ? 7 : 1);
        }
        std::_Exit(2);
      },
      ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace sparsert::test
