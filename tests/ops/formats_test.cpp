// tests/ops/formats_test.cpp — CSC, BSR, N:M, bitmap; slices and concatenations: the arrays themselves, on every
// device.
#include "sparsert/formats.hpp"

#include <map>

#include "tests/ops/product_support.hpp"

namespace sparsert::test {
namespace {

using sparsert::to_string;

template <class T>
::testing::AssertionResult same_values(const Tensor& got, const std::vector<T>& expected) {
  return same_bits(widened(to_vector<T>(got)), widened(expected));
}

template <class T, class I>
::testing::AssertionResult same_csr(const Csr& got, const Matrix<T, I>& expected) {
  if (got.shape() != Shape{expected.m, expected.k}) return ::testing::AssertionFailure() << to_string(got.shape());
  const auto offsets = same_bits(got.row_offsets(), expected.offsets);
  if (!offsets) return offsets;
  const auto columns = same_bits(got.columns(), expected.columns);
  if (!columns) return columns;
  return same_values<T>(got.values(), expected.values);
}

/// The blocks of a matrix by (row, column) of the block.
template <class T, class I>
std::map<std::pair<std::int64_t, std::int64_t>, std::vector<T>> blocks_of(const Matrix<T, I>& a, Block block) {
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<T>> blocks;
  for (std::int64_t i = 0; i < a.m; ++i) {
    for (I e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
      auto& values = blocks[{i / block[0], a.columns[e] / block[1]}];
      values.resize(static_cast<std::size_t>(block[0] * block[1]));
      values[static_cast<std::size_t>(i % block[0] * block[1] + a.columns[e] % block[1])] = a.values[e];
    }
  }
  return blocks;
}

template <class T, class I>
void check_bsr(const Matrix<T, I>& a, const Csr& csr, Block block) {
  const auto [r, c] = block;
  const auto blocks = blocks_of(a, block);
  const Bsr bsr = to_bsr(csr, block);
  std::vector<I> offsets(static_cast<std::size_t>((a.m + r - 1) / r + 1));
  std::vector<I> columns;
  std::vector<T> values;
  for (const auto& [place, elements] : blocks) {
    ++offsets[static_cast<std::size_t>(place.first + 1)];
    columns.push_back(static_cast<I>(place.second));
    values.insert(values.end(), elements.begin(), elements.end());
  }
  for (std::size_t b = 1; b < offsets.size(); ++b) offsets[b] += offsets[b - 1];
  EXPECT_EQ(bsr.block(), block);
  EXPECT_EQ(bsr.shape(), (Shape{a.m, a.k}));
  EXPECT_EQ(bsr.blocks(), static_cast<std::int64_t>(blocks.size()));
  EXPECT_EQ(bsr.nnz(), bsr.blocks() * r * c);
  EXPECT_TRUE(same_bits(bsr.row_offsets(), offsets));
  EXPECT_TRUE(same_bits(bsr.columns(), columns));
  EXPECT_TRUE(same_values<T>(bsr.values(), values));
  EXPECT_TRUE(same_values<T>(bsr.to_dense(), a.dense()));
  EXPECT_EQ(bsr.nbytes(), static_cast<std::int64_t>(offsets.size() * sizeof(I) + columns.size() * sizeof(I) +
                                                    values.size() * sizeof(T)));
  bsr.validate();

  // Back: every element of a block that the matrix has.
  Matrix<T, I> full{a.m, a.k};
  for (std::int64_t i = 0; i < a.m; ++i) {
    for (const auto& [place, elements] : blocks) {
      if (place.first != i / r) continue;
      for (std::int64_t j = 0; j < c && place.second * c + j < a.k; ++j) {
        full.columns.push_back(static_cast<I>(place.second * c + j));
        full.values.push_back(elements[static_cast<std::size_t>(i % r * c + j)]);
      }
    }
    full.offsets.push_back(static_cast<I>(full.columns.size()));
  }
  EXPECT_TRUE(same_csr(bsr.to_csr(), full));
  EXPECT_TRUE(same_csr(Bsr(bsr.row_offsets(), bsr.columns(), bsr.values(), bsr.shape()).to_csr(), full));
}

template <class T, class I>
void check_bitmap(const Matrix<T, I>& a, const Csr& csr) {
  const std::int64_t bytes = (a.k + 7) / 8;
  std::vector<std::uint8_t> bits(static_cast<std::size_t>(a.m * bytes));
  for (std::int64_t i = 0; i < a.m; ++i) {
    for (I e = a.offsets[i]; e < a.offsets[i + 1]; ++e) bits[i * bytes + a.columns[e] / 8] |= 1 << (a.columns[e] % 8);
  }
  const Bitmap bitmap = to_bitmap(csr);
  EXPECT_TRUE(same_bits(bitmap.bits(), bits));
  EXPECT_TRUE(same_bits(bitmap.row_offsets(), a.offsets));
  EXPECT_TRUE(same_values<T>(bitmap.values(), a.values));
  EXPECT_TRUE(same_csr(bitmap.to_csr(), a));
  EXPECT_TRUE(same_values<T>(bitmap.to_dense(), a.dense()));
  EXPECT_EQ(bitmap.nbytes(),
            static_cast<std::int64_t>(bits.size() + a.offsets.size() * sizeof(I) + a.values.size() * sizeof(T)));
  const Bitmap made(bitmap.bits(), bitmap.values(), bitmap.shape(), bitmap.index_dtype());
  EXPECT_TRUE(same_csr(made.to_csr(), a));
  made.validate();
}

/// The first n entries of each m columns of a row.
template <class T, class I>
Matrix<T, I> thinned(const Matrix<T, I>& a, int n, int m) {
  Matrix<T, I> out{a.m, a.k};
  for (std::int64_t i = 0; i < a.m; ++i) {
    std::map<std::int64_t, int> used;
    for (I e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
      if (used[a.columns[e] / m]++ >= n) continue;
      out.columns.push_back(a.columns[e]);
      out.values.push_back(a.values[e]);
    }
    out.offsets.push_back(static_cast<I>(out.columns.size()));
  }
  return out;
}

template <class T, class I>
void check_nm(const Matrix<T, I>& whole, const Device& device, int n, int m) {
  const Matrix<T, I> a = thinned(whole, n, m);
  const std::int64_t groups = (a.k + m - 1) / m;
  std::vector<std::uint8_t> positions(static_cast<std::size_t>(a.m * groups * n), Nm::kEmptySlot);
  std::vector<T> values(positions.size());
  for (std::int64_t i = 0; i < a.m; ++i) {
    std::map<std::int64_t, int> used;
    for (I e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
      const std::int64_t group = a.columns[e] / m;
      const auto slot = static_cast<std::size_t>((i * groups + group) * n + used[group]++);
      positions[slot] = static_cast<std::uint8_t>(a.columns[e] % m);
      values[slot] = a.values[e];
    }
  }
  const Nm nm = to_nm(a.on(device), n, m);
  EXPECT_EQ(nm.nnz(), static_cast<std::int64_t>(a.values.size()));
  EXPECT_TRUE(same_bits(nm.positions(), positions));
  EXPECT_TRUE(same_values<T>(nm.values(), values));
  EXPECT_TRUE(same_csr(nm.to_csr(dtype_of<I>), a));
  EXPECT_TRUE(same_values<T>(nm.to_dense(), a.dense()));
  EXPECT_EQ(nm.nbytes(), static_cast<std::int64_t>(positions.size() * (1 + sizeof(T))));
  const Nm made(nm.values(), nm.positions(), nm.shape(), n, m);
  EXPECT_EQ(made.nnz(), nm.nnz());
  EXPECT_TRUE(same_csr(made.to_csr(dtype_of<I>), a));
}

template <class T, class I>
void check_all(const Matrix<T, I>& a, const Device& device) {
  SCOPED_TRACE(to_string(device) + " " + to_string(Shape{a.m, a.k}) + " " + std::string(to_string(dtype_of<T>)));
  const Csr csr = a.on(device);
  const Matrix<T, I> flipped = transposed_matrix(a);
  EXPECT_TRUE(same_csr(transpose(csr), flipped));
  const Csc csc = to_csc(csr);
  EXPECT_EQ(csc.shape(), csr.shape());
  EXPECT_TRUE(same_bits(csc.col_offsets(), flipped.offsets));
  EXPECT_TRUE(same_bits(csc.rows(), flipped.columns));
  EXPECT_TRUE(same_values<T>(csc.values(), flipped.values));
  EXPECT_TRUE(same_csr(csc.to_csr(), a));
  EXPECT_TRUE(same_csr(Csc(csc.col_offsets(), csc.rows(), csc.values(), csc.shape()).to_csr(), a));
  check_bitmap(a, csr);
  for (const Block block : {Block{1, 1}, {1, 4}, {4, 1}, {4, 4}, {3, 5}, {16, 16}}) check_bsr(a, csr, block);
  for (const auto& [n, m] : {std::pair{1, 2}, {2, 4}, {4, 8}, {1, 1}, {3, 5}, {7, 32}}) check_nm(a, device, n, m);
}

std::vector<Shape> shapes() {
  return {{0, 0}, {0, 5}, {5, 0}, {1, 1}, {1, 33}, {33, 1}, {31, 32}, {32, 63}, {64, 65}, {17, 130}};
}

TEST(Formats, SameArraysOnEveryDevice) {
  for (const Device& device : devices_under_test()) {
    for (const Shape& shape : shapes()) {
      for (const double density : {0.0, 0.1, 0.5, 1.0}) {
        check_all(random_matrix<float>(shape[0], shape[1], density, Values::special), device);
      }
    }
  }
}

TEST(Formats, EveryDtypeAndIndexType) {
  for (const Device& device : devices_under_test()) {
    const auto check = [&]<class T, class I>() { check_all(random_matrix<T, I>(37, 70, 0.2, Values::normal), device); };
    check.operator()<float, std::int64_t>();
    check.operator()<double, std::int32_t>();
    check.operator()<double, std::int64_t>();
    check.operator()<float16, std::int32_t>();
    check.operator()<float16, std::int64_t>();
    check.operator()<bfloat16, std::int32_t>();
    check.operator()<bfloat16, std::int64_t>();
  }
}

TEST(Formats, IntegersAndBooleansMoveToo) {
  for (const Device& device : devices_under_test()) {
    for (const DType dtype : {DType::boolean, DType::uint8, DType::int32, DType::int64}) {
      const Tensor dense = equivalence::make_values(Values::small_integers, {19, 23}, dtype, 5).to(device);
      const auto same = [&](const Tensor& got) { return !equivalence::first_difference(got.cpu(), dense.cpu()); };
      EXPECT_TRUE(same(to_csc(dense).to_dense())) << to_string(dtype);
      EXPECT_TRUE(same(to_bsr(dense, {4, 3}).to_dense()));
      EXPECT_TRUE(same(to_bitmap(dense).to_dense()));
      EXPECT_TRUE(same(to_nm(dense, 8, 8).to_dense()));
      EXPECT_TRUE(same(transpose(transpose(to_csr(dense))).to_dense()));
    }
  }
}

TEST(Formats, LargeAndUneven) {
  for (const Device& device : devices_under_test()) {
    const std::int64_t large = device.type == Device::Type::simt ? 300 : 2'000;
    check_all(random_matrix<float>(large, 3, 0.4, Values::small_integers), device);
    check_all(random_matrix<float>(3, large, 0.4, Values::small_integers), device);
    check_all(matrix_of<float>(90, 90, Values::normal, [](auto i, auto) { return i == 40; }), device);
    check_all(matrix_of<float>(90, 90, Values::normal, [](auto, auto p) { return p == 40; }), device);
  }
}

TEST(Formats, SameArraysWithAnyNumberOfThreads) {
  const auto a = random_matrix<float>(700, 90, 0.1, Values::normal);
  for (const int threads : kThreadCounts) {
    const Threads scope(threads);
    check_all(a, cpu_device);
  }
}

TEST(Formats, StoredZerosStayUnlessPruned) {
  for (const Device& device : devices_under_test()) {
    auto a = random_matrix<float>(20, 30, 0.3, Values::normal);
    for (std::size_t e = 0; e < a.values.size(); e += 3) a.values[e] = e % 2 == 0 ? 0.0f : -0.0f;
    const Csr csr = a.on(device);
    EXPECT_TRUE(same_csr(to_csc(csr).to_csr(), a));
    EXPECT_TRUE(same_csr(to_bitmap(csr).to_csr(), a));
    EXPECT_TRUE(same_csr(to_nm(csr, 8, 8).to_csr(), a));
    Matrix<float> kept{a.m, a.k};
    for (std::int64_t i = 0; i < a.m; ++i) {
      for (auto e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
        if (a.values[e] == 0) continue;
        kept.columns.push_back(a.columns[e]);
        kept.values.push_back(a.values[e]);
      }
      kept.offsets.push_back(static_cast<std::int32_t>(kept.columns.size()));
    }
    EXPECT_TRUE(same_csr(prune_zeros(csr), kept));
    EXPECT_TRUE(same_csr(prune_zeros(to_bsr(csr, {4, 4}).to_csr()), kept));
  }
}

template <class T, class I>
Matrix<T, I> rows_of(const Matrix<T, I>& a, std::int64_t begin, std::int64_t end) {
  Matrix<T, I> out{end - begin, a.k};
  for (std::int64_t i = begin; i < end; ++i) {
    out.columns.insert(out.columns.end(), a.columns.begin() + a.offsets[i], a.columns.begin() + a.offsets[i + 1]);
    out.values.insert(out.values.end(), a.values.begin() + a.offsets[i], a.values.begin() + a.offsets[i + 1]);
    out.offsets.push_back(static_cast<I>(out.columns.size()));
  }
  return out;
}

TEST(Slices, AndTheirConcatenationIsTheMatrix) {
  for (const Device& device : devices_under_test()) {
    const auto check = [&]<class I>() {
      const auto a = random_matrix<double, I>(33, 20, 0.2, Values::normal);
      const Csr csr = a.on(device);
      for (const auto& [begin, end] : {std::pair{0, 33}, {0, 0}, {33, 33}, {5, 6}, {7, 30}}) {
        EXPECT_TRUE(same_csr(slice_rows(csr, begin, end), rows_of(a, begin, end)));
      }
      const std::vector<Csr> parts{slice_rows(csr, 0, 5), slice_rows(csr, 5, 5), slice_rows(csr, 5, 33)};
      EXPECT_TRUE(same_csr(concatenate(parts), a));
      std::vector<Csr> columns;
      for (const Csr& part : parts) columns.push_back(transpose(part));
      EXPECT_TRUE(same_csr(concatenate(columns, 1), transposed_matrix(a)));
      EXPECT_TRUE(same_csr(concatenate({csr}), a));
    };
    check.operator()<std::int32_t>();
    check.operator()<std::int64_t>();
  }
}

TEST(Coalesce, SortsAndSums) {
  for (const Device& device : devices_under_test()) {
    const Coo coo(Tensor::from(std::vector<std::int32_t>{2, 0, 2, 0}, {4}, device),
                  Tensor::from(std::vector<std::int32_t>{1, 3, 1, 0}, {4}, device),
                  Tensor::from(std::vector<float>{1.0f, 2.0f, 0.5f, -1.0f}, {4}, device), {3, 4});
    const Coo sorted = coalesce(coo);
    EXPECT_TRUE(same_bits(sorted.rows(), std::vector<std::int32_t>{0, 0, 2}));
    EXPECT_TRUE(same_bits(sorted.columns(), std::vector<std::int32_t>{0, 3, 1}));
    EXPECT_TRUE(same_bits(sorted.values(), std::vector<float>{-1.0f, 2.0f, 1.5f}));
  }
}

TEST(SparseTensorCores, ValuesAndMetadata) {
  for (const Device& device : devices_under_test()) {
    //                                         0 1 2 3   4 5 6 7   8 9
    const Tensor x = Tensor::from(std::vector<float>{0, 5, 0, 7, 0, 0, 3, 0, 9, 0,  //
                                                     0, 0, 0, 0, 1, 0, 0, 2, 0, 4},
                                  {2, 10}, device);
    const SparseTensorCoreLayout layout = to_sparse_tensor_cores(to_nm(x, 2, 4));
    EXPECT_EQ(layout.values.device(), device);
    EXPECT_TRUE(same_bits(layout.values, std::vector<float>{5, 7, 0, 3, 9, 0, 0, 0, 1, 2, 0, 4}));
    // Pairs (1,3) (0,2) (0,1) and the missing group; (0,1) (0,3) (0,1) and the missing group.
    EXPECT_TRUE(same_bits(layout.metadata, std::vector<std::uint8_t>{0x8d, 0x44, 0xc4, 0x44}));
    expect_error(ErrorCode::invalid_argument, {"to_sparse_tensor_cores", "1:2", "2:4"}, [&] {
      to_sparse_tensor_cores(to_nm(Tensor::zeros({2, 2}, DType::float32, device), 1, 2));
    });
  }
  // Decoded from bits alone, any 2:4 matrix comes back.
  const auto whole = random_matrix<float>(19, 37, 0.5, Values::normal);
  const auto a = thinned(whole, 2, 4);
  const SparseTensorCoreLayout layout = to_sparse_tensor_cores(to_nm(a.on(cpu_device), 2, 4));
  const auto values = to_vector<float>(layout.values);
  const auto metadata = to_vector<std::uint8_t>(layout.metadata);
  std::vector<float> dense(19 * 40);
  for (std::size_t i = 0; i < 19; ++i) {
    for (std::size_t g = 0; g < 10; ++g) {
      const unsigned bits = metadata[i * 5 + g / 2] >> (g % 2 * 4) & 15u;
      EXPECT_LT(bits & 3u, bits >> 2);
      dense[i * 40 + g * 4 + (bits & 3u)] += values[i * 20 + g * 2];
      dense[i * 40 + g * 4 + (bits >> 2)] += values[i * 20 + g * 2 + 1];
    }
  }
  for (std::size_t i = 0; i < 19; ++i) {
    for (std::size_t c = 0; c < 37; ++c) EXPECT_EQ(dense[i * 40 + c], a.dense()[i * 37 + c]);
  }
}

TEST(FormatErrors, NameWhatIsWrong) {
  const auto bad = ErrorCode::invalid_argument;
  const auto indices = [](std::vector<std::int32_t> v) {
    const auto n = static_cast<std::int64_t>(v.size());
    return Tensor::from(v, {n});
  };
  const auto floats = [](Shape shape) { return Tensor::zeros(std::move(shape), DType::float32); };
  const auto bytes = [](std::vector<std::uint8_t> v, Shape shape) { return Tensor::from(v, std::move(shape)); };

  expect_error(bad, {"csc", "col_offsets[0]", "1"}, [&] { Csc(indices({1, 1}), indices({0}), floats({1}), {3, 1}); });
  expect_error(bad, {"csc", "rows[0]", "3"}, [&] { Csc(indices({0, 1}), indices({3}), floats({1}), {3, 1}); });
  expect_error(bad, {"csc", "rows[0]", "-1"}, [&] { Csc(indices({0, 1}), indices({-1}), floats({1}), {3, 1}); });
  expect_error(bad, {"csc", "rows[1]", "duplicate"}, [&] {
    Csc(indices({0, 2}), indices({1, 1}), floats({2}), {3, 1});
  });
  expect_error(bad, {"csc", "rows[1]", "ascending"}, [&] {
    Csc(indices({0, 2}), indices({1, 0}), floats({2}), {3, 1});
  });
  expect_error(bad, {"csc", "values"}, [&] { Csc(indices({0, 1}), indices({0}), floats({2}), {3, 1}); });
  expect_error(bad, {"csc", "col_offsets", "(2,)", "(3,)"}, [&] {
    Csc(indices({0, 1}), indices({0}), floats({1}), {3, 2});
  });

  expect_error(bad, {"bsr", "values", "3 dimension"}, [&] { Bsr(indices({0, 1}), indices({0}), floats({1}), {2, 2}); });
  expect_error(bad, {"bsr", "values", "(1, 0, 2)"}, [&] {
    Bsr(indices({0, 1}), indices({0}), floats({1, 0, 2}), {2, 2});
  });
  expect_error(bad, {"bsr", "row_offsets", "(2,)", "(3,)"}, [&] {
    Bsr(indices({0, 1}), indices({0}), floats({1, 2, 2}), {3, 3});
  });
  expect_error(bad, {"bsr", "columns[0]", "2"}, [&] { Bsr(indices({0, 1}), indices({2}), floats({1, 2, 2}), {2, 3}); });
  expect_error(bad, {"bsr", "row_offsets[1]"}, [&] { Bsr(indices({0, 2}), indices({0}), floats({1, 2, 2}), {2, 3}); });

  expect_error(bad, {"nm", "n and m", "3", "2"}, [&] { Nm(floats({1, 3}), bytes({0, 1, 255}, {1, 3}), {1, 2}, 3, 2); });
  expect_error(bad, {"nm", "32"}, [&] { Nm(floats({1, 1}), bytes({0}, {1, 1}), {1, 33}, 1, 33); });
  expect_error(bad, {"nm", "positions[0, 1]", "0 after 0"}, [&] {
    Nm(floats({1, 2}), bytes({0, 0}, {1, 2}), {1, 4}, 2, 4);
  });
  expect_error(bad, {"nm", "positions[0, 0]", "4"}, [&] { Nm(floats({1, 2}), bytes({4, 255}, {1, 2}), {1, 4}, 2, 4); });
  expect_error(bad, {"nm", "positions[0, 1]", "empty slots"}, [&] {
    Nm(floats({1, 2}), bytes({255, 1}, {1, 2}), {1, 4}, 2, 4);
  });
  expect_error(bad, {"nm", "positions[0, 2]", "below 1"}, [&] {
    Nm(floats({1, 4}), bytes({0, 1, 1, 255}, {1, 4}), {1, 5}, 2, 4);
  });
  expect_error(bad, {"nm", "positions", "float32", "uint8"}, [&] { Nm(floats({1, 2}), floats({1, 2}), {1, 4}, 2, 4); });

  expect_error(bad, {"bitmap", "bits[1, 0]", "8", "bit 3"}, [&] {
    Bitmap(bytes({1, 8}, {2, 1}), floats({2}), {2, 3});
  });
  expect_error(bad, {"bitmap", "values", "(1,)", "(2,)"}, [&] { Bitmap(bytes({1, 4}, {2, 1}), floats({1}), {2, 3}); });
  expect_error(bad, {"bitmap", "bits", "(1, 1)"}, [&] { Bitmap(bytes({1}, {1, 1}), floats({1}), {1, 9}); });
  expect_error(bad, {"bitmap", "index_dtype"}, [&] { Bitmap(bytes({1}, {1, 1}), floats({1}), {1, 8}, DType::uint8); });

  for (const Device& device : devices_under_test()) {
    const Csr a = matrix_of<float>(4, 9, Values::positive, [](auto i, auto p) { return i == 2 && p > 4; }).on(device);
    expect_error(bad, {"to_nm", "row 2", "columns 4 to 7", "2"}, [&] { to_nm(a, 2, 4); });
    expect_error(bad, {"to_nm", "n and m"}, [&] { to_nm(a, 0, 4); });
    expect_error(bad, {"to_bsr", "block", "(0, 4)"}, [&] { to_bsr(a, {0, 4}); });
    expect_error(bad, {"slice_rows", "3 to 5", "4 rows"}, [&] { slice_rows(a, 3, 5); });
    expect_error(bad, {"slice_rows", "2 to 1"}, [&] { slice_rows(a, 2, 1); });
    expect_error(bad, {"concatenate", "matrices[1]", "9 columns"}, [&] { concatenate({a, transpose(a)}); });
    expect_error(bad, {"concatenate", "axis", "2"}, [&] { concatenate({a}, 2); });
  }
  expect_error(bad, {"concatenate", "no matrices"}, [&] { concatenate({}); });
}

}  // namespace
}  // namespace sparsert::test
