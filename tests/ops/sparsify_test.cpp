// tests/ops/sparsify_test.cpp — counting zeros, dense <-> CSR <-> COO on every device, to the bit.
#include <algorithm>
#include <map>
#include <random>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

using sparsert::to_string;

/// CSR as three arrays, made the obvious way.
template <class T, class I>
struct Arrays {
  std::vector<I> row_offsets{0};
  std::vector<I> columns;
  std::vector<T> values;
};

template <class T, class I>
Arrays<T, I> csr_oracle(const std::vector<T>& dense, std::int64_t rows, std::int64_t cols) {
  Arrays<T, I> csr;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      const T x = dense[static_cast<std::size_t>(r * cols + c)];
      if (x == T{0}) continue;
      csr.columns.push_back(static_cast<I>(c));
      csr.values.push_back(x);
    }
    csr.row_offsets.push_back(static_cast<I>(csr.columns.size()));
  }
  return csr;
}

/// Values of a kind with about `zeros` of ten replaced by zeros of both signs.
template <class T>
std::vector<T> make_sparse(Values kind, std::int64_t n, std::uint64_t seed, int zeros) {
  std::vector<T> values = make_values<T>(kind, n, seed);
  std::mt19937_64 random(seed + 1);
  for (T& x : values) {
    if (static_cast<int>(random() % 10) < zeros) x = random() % 2 == 0 ? T(0) : T(-0.0);
  }
  return values;
}

std::vector<Shape> matrix_shapes(const Device& device) {
  std::vector<Shape> shapes{{0, 0},   {0, 5},   {5, 0},   {1, 1},     {1, 257},  {257, 1},
                            {31, 33}, {32, 64}, {63, 65}, {127, 251}, {3, 1000}, {1000, 3}};
  if (device.type != Device::Type::simt) shapes.insert(shapes.end(), {{100'000, 3}, {3, 100'000}, {512, 512}});
  return shapes;
}

template <class T, class I>
void check_conversions(const Device& device, const Shape& shape, Values kind, int zeros) {
  SCOPED_TRACE(to_string(device) + " " + to_string(shape) + " " + to_string(kind) + " " + std::to_string(zeros));
  const std::int64_t rows = shape[0];
  const std::int64_t cols = shape[1];
  const std::vector<T> dense = make_sparse<T>(kind, rows * cols, 11, zeros);
  const auto expected = csr_oracle<T, I>(dense, rows, cols);
  const Tensor x = Tensor::from(dense, shape, device);

  EXPECT_EQ(count_nonzero(x), static_cast<std::int64_t>(expected.values.size()));
  const Csr csr = to_csr(x, dtype_of<I>);
  EXPECT_EQ(csr.shape(), shape);
  EXPECT_EQ(csr.index_dtype(), dtype_of<I>);
  EXPECT_TRUE(same_bits(csr.row_offsets(), expected.row_offsets));
  EXPECT_TRUE(same_bits(csr.columns(), expected.columns));
  EXPECT_TRUE(same_bits(csr.values(), expected.values));

  std::vector<T> filled = dense;  // the zeros that come back are +0
  for (T& v : filled) v = v == T{0} ? T{0} : v;
  EXPECT_TRUE(same_bits(csr.to_dense(), filled));

  std::vector<I> row_indices;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto begin = expected.row_offsets[static_cast<std::size_t>(r)];
    const auto end = expected.row_offsets[static_cast<std::size_t>(r) + 1];
    row_indices.insert(row_indices.end(), static_cast<std::size_t>(end - begin), static_cast<I>(r));
  }
  const Coo coo = csr.to_coo();
  EXPECT_EQ(coo.shape(), shape);
  EXPECT_TRUE(same_bits(coo.rows(), row_indices));
  EXPECT_TRUE(same_bits(coo.columns(), expected.columns));
  EXPECT_TRUE(same_bits(coo.values(), expected.values));
  EXPECT_TRUE(same_bits(to_coo(x, dtype_of<I>).rows(), row_indices));
  EXPECT_TRUE(same_bits(coo.to_dense(), filled));
  const Csr back = coo.to_csr();
  EXPECT_TRUE(same_bits(back.row_offsets(), expected.row_offsets));
  EXPECT_TRUE(same_bits(back.columns(), expected.columns));
  EXPECT_TRUE(same_bits(back.values(), expected.values));
}

TEST(Conversions, SameArraysOnEveryDevice) {
  for (const Device& device : devices_under_test()) {
    for (const Shape& shape : matrix_shapes(device)) {
      for (const int zeros : {0, 5, 9, 10}) {
        check_conversions<float, std::int32_t>(device, shape, Values::special, zeros);
        check_conversions<float, std::int64_t>(device, shape, Values::normal, zeros);
      }
    }
  }
}

TEST(Conversions, EveryDType) {
  for (const Device& device : devices_under_test()) {
    for (const Shape& shape : {Shape{31, 33}, Shape{1, 257}, Shape{65, 127}}) {
      check_conversions<double, std::int32_t>(device, shape, Values::special, 7);
      check_conversions<double, std::int64_t>(device, shape, Values::denormal, 7);
      check_conversions<std::int32_t, std::int32_t>(device, shape, Values::small_integers, 7);
      check_conversions<std::int64_t, std::int64_t>(device, shape, Values::small_integers, 7);
      check_conversions<std::uint8_t, std::int32_t>(device, shape, Values::positive, 7);
    }
  }
}

TEST(Conversions, SixteenBitFloatsAndBooleans) {
  const std::vector<float> values{0.0f, -0.0f, 1.0f, -2.5f, std::nanf(""), 0.0f, 6e-8f, -INFINITY};
  for (const Device& device : devices_under_test()) {
    for (const DType dtype : {DType::float16, DType::bfloat16, DType::boolean}) {
      const Tensor x = cast(Tensor::from(values, {2, 4}, device), dtype);
      EXPECT_EQ(count_nonzero(x), 5) << to_string(device) << " " << to_string(dtype);
      const Csr csr = to_csr(x);
      EXPECT_TRUE(same_bits(csr.row_offsets(), std::vector<std::int32_t>{0, 2, 5}));
      EXPECT_TRUE(same_bits(csr.columns(), std::vector<std::int32_t>{2, 3, 0, 2, 3}));
      std::vector<float> filled = to_vector<float>(cast(x, DType::float32));
      filled[1] = 0.0f;  // was -0
      EXPECT_TRUE(same_bits(cast(csr.to_dense(), DType::float32), filled));
    }
  }
}

TEST(Conversions, AnyNumberOfThreads) {
  for (const int threads : kThreadCounts) {
    const Threads use(threads);
    check_conversions<float, std::int32_t>(cpu_device, {512, 512}, Values::special, 9);
    check_conversions<float, std::int32_t>(cpu_device, {2, 200'000}, Values::special, 5);
    check_conversions<double, std::int64_t>(cpu_device, {70'000, 3}, Values::special, 5);
  }
}

TEST(CooToCsr, SumsDuplicatesInInputOrder) {
  // 1 + 2^-24 is lost twice from the left, and 2^-24 + 2^-24 + 1 is not: the order shows in the bits.
  const float tiny = 0x1p-24f;
  const std::vector<std::int32_t> rows{1, 0, 1, 1, 0, 1, 2, 1};
  const std::vector<std::int32_t> columns{2, 1, 2, 2, 1, 0, 0, 0};
  const std::vector<float> values{1.0f, tiny, tiny, tiny, 5.0f, tiny, -0.0f, tiny};
  for (const Device& device : devices_under_test()) {
    const Coo coo(Tensor::from(rows, {8}, device), Tensor::from(columns, {8}, device),
                  Tensor::from(values, {8}, device), {4, 3});
    const Csr csr = coo.to_csr();
    EXPECT_TRUE(same_bits(csr.row_offsets(), std::vector<std::int32_t>{0, 1, 3, 4, 4})) << to_string(device);
    EXPECT_TRUE(same_bits(csr.columns(), std::vector<std::int32_t>{1, 0, 2, 0}));
    EXPECT_TRUE(same_bits(csr.values(), std::vector<float>{tiny + 5.0f, 2 * tiny, 1.0f, -0.0f}));
  }
}

template <class T, class I>
void check_coalesce(const Device& device, std::int64_t nnz, std::int64_t rows, std::int64_t cols) {
  SCOPED_TRACE(to_string(device) + " nnz=" + std::to_string(nnz));
  std::mt19937_64 random(5);
  std::vector<I> row(static_cast<std::size_t>(nnz));
  std::vector<I> column(row.size());
  const std::vector<T> value = make_values<T>(Values::wide, nnz, 6);
  std::map<std::pair<I, I>, T> sums;
  for (std::size_t e = 0; e < row.size(); ++e) {
    // The minimum of two: some rows and columns are much fuller than others.
    row[e] = static_cast<I>(std::min(random() % rows, random() % rows));
    column[e] = static_cast<I>(std::min(random() % cols, random() % cols));
    const auto [at, first] = sums.try_emplace({row[e], column[e]}, value[e]);
    if (!first) at->second += value[e];
  }
  Arrays<T, I> expected;
  expected.row_offsets.assign(static_cast<std::size_t>(rows) + 1, 0);
  for (const auto& [place, sum] : sums) {
    expected.columns.push_back(place.second);
    expected.values.push_back(sum);
    for (auto r = static_cast<std::size_t>(place.first) + 1; r < expected.row_offsets.size(); ++r)
      ++expected.row_offsets[r];
  }
  const Coo coo(Tensor::from(row, {nnz}, device), Tensor::from(column, {nnz}, device),
                Tensor::from(value, {nnz}, device), {rows, cols});
  const Csr csr = coo.to_csr();
  EXPECT_TRUE(same_bits(csr.row_offsets(), expected.row_offsets));
  EXPECT_TRUE(same_bits(csr.columns(), expected.columns));
  EXPECT_TRUE(same_bits(csr.values(), expected.values));
}

TEST(CooToCsr, AnyOrderAndManyDuplicates) {
  for (const Device& device : devices_under_test()) {
    for (const std::int64_t nnz : {0, 1, 2, 33, 1000, 5000}) {
      check_coalesce<float, std::int32_t>(device, nnz, 40, 30);
      check_coalesce<double, std::int64_t>(device, nnz, 7, 300);
    }
  }
  for (const int threads : kThreadCounts) {
    const Threads use(threads);
    check_coalesce<float, std::int32_t>(cpu_device, 200'000, 50, 500);
  }
}

TEST(CooToCsr, IntegersWrapAndBooleansStay) {
  const std::vector<std::int32_t> zeros{0, 0, 0};
  for (const Device& device : devices_under_test()) {
    const Tensor place = Tensor::from(zeros, {3}, device);
    const auto sum = [&](const Tensor& values) { return Coo(place, place, values, {1, 1}).to_csr().values(); };
    EXPECT_TRUE(same_bits(sum(Tensor::from(std::vector<std::int32_t>{INT32_MAX, 1, 1}, {3}, device)),
                          std::vector<std::int32_t>{INT32_MIN + 1}));
    EXPECT_TRUE(
        same_bits(sum(Tensor::from(std::vector<std::uint8_t>{255, 1, 1}, {3}, device)), std::vector<std::uint8_t>{1}));
    const Tensor yes = cast(Tensor::from(std::vector<std::uint8_t>{1, 1, 1}, {3}, device), DType::boolean);
    EXPECT_TRUE(same_bits(cast(sum(yes), DType::uint8), std::vector<std::uint8_t>{1}));
    // 1 + 2^-11 + 2^-11 in float, rounded once to float16: not 1, which rounding at each step would give.
    const Tensor half = cast(Tensor::from(std::vector<float>{1.0f, 0x1p-11f, 0x1p-11f}, {3}, device), DType::float16);
    EXPECT_TRUE(same_bits(cast(sum(half), DType::float32), std::vector<float>{1.0f + 0x1p-10f}));
  }
}

TEST(CooToCsr, StoredZerosStay) {
  for (const Device& device : devices_under_test()) {
    const Tensor place = Tensor::from(std::vector<std::int32_t>{0, 0}, {2}, device);
    const Csr csr = Coo(place, place, Tensor::from(std::vector<float>{1.5f, -1.5f}, {2}, device), {1, 1}).to_csr();
    EXPECT_EQ(csr.nnz(), 1);
    EXPECT_TRUE(same_bits(csr.values(), std::vector<float>{0.0f}));
  }
}

TEST(Sparsity, ExactZerosOverEntries) {
  for (const Device& device : devices_under_test()) {
    const Tensor x = Tensor::from(std::vector<float>{0.0f, -0.0f, NAN, 1e-45f, 2.0f}, {5}, device);
    EXPECT_EQ(count_nonzero(x), 3);
    EXPECT_EQ(sparsity(x), 2.0 / 5.0);
    EXPECT_EQ(sparsity(Tensor::empty({0}, DType::float32, device)), 0.0);
    EXPECT_EQ(count_nonzero(Tensor::from(std::vector<float>{3.0f}, {}, device)), 1);
  }
}

TEST(ConversionErrors, NameWhatIsWrong) {
  for (const Device& device : devices_under_test()) {
    const Tensor vector = Tensor::empty({4}, DType::float32, device);
    const Tensor matrix = Tensor::empty({2, 2}, DType::float32, device);
    const Tensor tall = Tensor::empty({std::int64_t{1} << 31, 0}, DType::float32, device);
    const Tensor broad = Tensor::empty({0, std::int64_t{1} << 31}, DType::float32, device);
    expect_error(ErrorCode::invalid_argument, {"to_csr", "dense", "(4,)", "2 dimension"}, [&] { to_csr(vector); });
    expect_error(ErrorCode::invalid_argument, {"to_coo", "dense", "(4,)", "2 dimension"}, [&] { to_coo(vector); });
    expect_error(ErrorCode::invalid_argument, {"to_csr", "index_dtype", "uint8", "int32 or int64"},
                 [&] { to_csr(matrix, DType::uint8); });
    expect_error(ErrorCode::invalid_argument, {"to_csr", "2147483648 rows", "int64", "int32"}, [&] { to_csr(tall); });
    expect_error(ErrorCode::invalid_argument, {"to_csr", "2147483648 columns", "int64", "int32"},
                 [&] { to_csr(broad); });
    EXPECT_EQ(to_csr(broad, DType::int64).nnz(), 0);
  }
}

}  // namespace
}  // namespace sparsert::test
