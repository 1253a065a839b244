// tests/sparse_test.cpp — sparse matrices: what their constructors accept and, one fault at a time, what they refuse.
#include <functional>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

template <class I>
class CsrChecks : public ::testing::Test {};
template <class I>
class CooChecks : public ::testing::Test {};

using IndexTypes = ::testing::Types<std::int32_t, std::int64_t>;
TYPED_TEST_SUITE(CsrChecks, IndexTypes);
TYPED_TEST_SUITE(CooChecks, IndexTypes);

/// The arguments of a correct 3 x 4 matrix, to be spoilt one at a time:
///   1 0 2 0
///   0 0 0 0
///   0 3 4 5
template <class I>
struct CsrArguments {
  std::vector<I> row_offsets{0, 2, 2, 5};
  std::vector<I> columns{0, 2, 1, 2, 3};
  std::vector<float> values{1, 2, 3, 4, 5};
  Shape shape{3, 4};

  Csr make(const Device& device = cpu_device) const {
    const auto length = [](const auto& array) { return Shape{static_cast<std::int64_t>(array.size())}; };
    return Csr(Tensor::from(row_offsets, length(row_offsets), device), Tensor::from(columns, length(columns), device),
               Tensor::from(values, length(values), device), shape);
  }
};

TYPED_TEST(CsrChecks, AcceptsAndDescribes) {
  for (const Device& device : devices_under_test()) {
    const Csr a = CsrArguments<TypeParam>{}.make(device);
    EXPECT_EQ(a.nnz(), 5);
    EXPECT_EQ(a.shape(), (Shape{3, 4}));
    EXPECT_DOUBLE_EQ(a.density(), 5.0 / 12);
    EXPECT_EQ(a.nbytes(), static_cast<std::int64_t>(9 * sizeof(TypeParam) + 20));
    EXPECT_EQ(a.index_dtype(), dtype_of<TypeParam>);
    EXPECT_EQ(a.device(), device);
    EXPECT_TRUE(same_bits(a.to(cpu_device).values(), std::vector<float>{1, 2, 3, 4, 5}));
  }
}

TYPED_TEST(CsrChecks, AcceptsWhatIsEmpty) {
  CsrArguments<TypeParam> none;
  none.row_offsets = {0};
  none.columns = {};
  none.values = {};
  none.shape = {0, 0};
  EXPECT_EQ(none.make().density(), 0.0);
  none.shape = {0, 7};
  EXPECT_EQ(none.make().nnz(), 0);
  none.row_offsets = {0, 0, 0, 0};
  none.shape = {3, 0};
  EXPECT_EQ(none.make().rows(), 3);
}

TYPED_TEST(CsrChecks, RefusesEachFault) {
  using Arguments = CsrArguments<TypeParam>;
  struct Fault {
    std::vector<std::string> words;
    std::function<void(Arguments&)> spoil;
  };
  const std::vector<Fault> faults{
      {{"row_offsets[0]", "1"}, [](Arguments& a) { a.row_offsets[0] = 1; }},
      {{"row_offsets[0]", "-1"}, [](Arguments& a) { a.row_offsets[0] = -1; }},
      {{"row_offsets[2]", "1"}, [](Arguments& a) { a.row_offsets[2] = 1; }},
      {{"row_offsets[1]", "-2"}, [](Arguments& a) { a.row_offsets[1] = -2; }},
      {{"row_offsets[2]", "6"}, [](Arguments& a) { a.row_offsets[2] = 6; }},
      {{"row_offsets[3]", "4"}, [](Arguments& a) { a.row_offsets[3] = 4; }},
      {{"row_offsets[3]", "6"}, [](Arguments& a) { a.row_offsets[3] = 6; }},
      {{"row_offsets[1]"}, [](Arguments& a) { a.row_offsets[1] = std::numeric_limits<TypeParam>::max(); }},
      {{"row_offsets[1]"}, [](Arguments& a) { a.row_offsets[1] = std::numeric_limits<TypeParam>::min(); }},
      {{"row_offsets", "(3,)", "(4,)"}, [](Arguments& a) { a.row_offsets.pop_back(); }},
      {{"row_offsets", "(5,)", "(4,)"}, [](Arguments& a) { a.row_offsets.push_back(5); }},
      {{"columns[0]", "-1"}, [](Arguments& a) { a.columns[0] = -1; }},
      {{"columns[4]", "4", "0 to 3"}, [](Arguments& a) { a.columns[4] = 4; }},
      {{"columns[4]"}, [](Arguments& a) { a.columns[4] = std::numeric_limits<TypeParam>::max(); }},
      {{"columns[3]", "duplicate"}, [](Arguments& a) { a.columns[3] = 1; }},
      {{"columns[1]", "ascending"}, [](Arguments& a) { std::swap(a.columns[0], a.columns[1]); }},
      {{"values", "(4,)", "(5,)"}, [](Arguments& a) { a.values.pop_back(); }},
      {{"values"}, [](Arguments& a) { a.columns.pop_back(); }},
      {{"shape", "(3,)"}, [](Arguments& a) { a.shape = {3}; }},
      {{"shape", "(3, 4, 1)"},
       [](Arguments& a) {
         a.shape = {3, 4, 1};
       }},
      {{"shape", "(-3, 4)"},
       [](Arguments& a) {
         a.shape = {-3, 4};
       }},
      {{"shape", "(3, -4)"},
       [](Arguments& a) {
         a.shape = {3, -4};
       }},
      {{"row_offsets", "(3,)"},
       [](Arguments& a) {
         a.shape = {2, 4};
       }},
      {{"columns[4]"},
       [](Arguments& a) {
         a.shape = {3, 3};
       }},
      {{"columns[0]"},
       [](Arguments& a) {
         a.shape = {3, 0};
       }},
  };
  for (const Device& device : devices_under_test()) {
    for (const Fault& fault : faults) {
      Arguments arguments;
      fault.spoil(arguments);
      expect_error(ErrorCode::invalid_argument, fault.words, [&] { arguments.make(device); });
    }
  }
}

TYPED_TEST(CsrChecks, RefusesWrongTypesAndDevices) {
  const auto array = [](auto value, std::int64_t n, const Device& device = cpu_device) {
    return Tensor::from(std::vector<decltype(value)>(static_cast<std::size_t>(n), value), {n}, device);
  };
  const Tensor offsets = array(TypeParam{0}, 2);
  const Tensor columns = array(TypeParam{0}, 0);
  const Tensor values = array(1.0f, 0);
  const auto refuses = [](const std::vector<std::string>& words, const Tensor& o, const Tensor& c, const Tensor& v) {
    expect_error(ErrorCode::invalid_argument, words, [&] { Csr(o, c, v, {1, 1}); });
  };
  EXPECT_NO_THROW(Csr(offsets, columns, values, {1, 1}));
  refuses({"row_offsets", "float32", "int32 or int64"}, array(0.0f, 2), columns, values);
  refuses({"row_offsets", "uint8"}, array(std::uint8_t{0}, 2), columns, values);
  if constexpr (sizeof(TypeParam) == 4) {
    refuses({"columns", "int64", "like the other"}, offsets, array(std::int64_t{0}, 0), values);
  } else {
    refuses({"columns", "int32", "like the other"}, offsets, array(std::int32_t{0}, 0), values);
  }
  const Device elsewhere{Device::Type::reference, 0};
  refuses({"row_offsets", "reference", "cpu"}, array(TypeParam{0}, 2, elsewhere), columns, values);
  refuses({"columns", "reference"}, offsets, array(TypeParam{0}, 0, elsewhere), values);
  refuses({"row_offsets", "cpu", "reference"}, offsets, columns, array(1.0f, 0, elsewhere));
  refuses({"row_offsets", "(2, 1)"}, offsets.reshape({2, 1}), columns, values);
  refuses({"columns", "(0, 1)"}, offsets, columns.reshape({0, 1}), values);
}

TEST(Csr, NeedsInt64ForLargeShapes) {
  const std::int64_t large = std::int64_t{INT32_MAX} + 1;
  const Tensor none = Tensor::from(std::vector<float>{}, {0});
  const Tensor offsets32 = Tensor::from(std::vector<std::int32_t>{0, 0}, {2});
  const Tensor offsets64 = Tensor::from(std::vector<std::int64_t>{0, 0}, {2});
  const Tensor columns32 = Tensor::from(std::vector<std::int32_t>{}, {0});
  const Tensor columns64 = Tensor::from(std::vector<std::int64_t>{}, {0});
  EXPECT_NO_THROW(Csr(offsets32, columns32, none, {1, INT32_MAX}));
  expect_error(ErrorCode::invalid_argument, {"shape", std::to_string(large), "int64"}, [&] {
    Csr(offsets32, columns32, none, {1, large});
  });
  EXPECT_NO_THROW(Csr(offsets64, columns64, none, {1, large}));
  expect_error(ErrorCode::invalid_argument, {"csr"}, [&] {
    Csr(offsets64, columns64, none, {std::numeric_limits<std::int64_t>::max(), 1});  // rows + 1 overflows
  });
}

TEST(Csr, KeepsItsOwnCheckedCopy) {
  Tensor columns = Tensor::from(std::vector<std::int32_t>{0, 1}, {2});
  const Tensor offsets = Tensor::from(std::vector<std::int32_t>{0, 2}, {2});
  Tensor values = Tensor::from(std::vector<float>{1, 2}, {2});
  const Csr a(offsets, columns, values, {1, 2});
  columns.mutable_span<std::int32_t>()[1] = 99;
  values.mutable_span<float>()[1] = 99;
  EXPECT_EQ(a.columns().span<std::int32_t>()[1], 1);
  EXPECT_EQ(a.values().span<float>()[1], 2);
  Tensor inner = a.columns();
  expect_error(ErrorCode::invalid_argument, {"read-only"}, [&] { inner.mutable_data(); });
  inner = a.row_offsets();
  expect_error(ErrorCode::invalid_argument, {"read-only"}, [&] { inner.mutable_data(); });
}

TEST(Csr, TakesOtherValues) {
  const Csr a = CsrArguments<std::int32_t>{}.make();
  const Csr b = a.with_values(Tensor::from(std::vector<double>{9, 8, 7, 6, 5}, {5}));
  EXPECT_EQ(b.dtype(), DType::float64);
  EXPECT_EQ(b.columns().data(), a.columns().data());
  expect_error(ErrorCode::invalid_argument, {"with_values", "(4,)", "(5,)"},
               [&] { a.with_values(Tensor::zeros({4}, DType::float32)); });
  expect_error(ErrorCode::invalid_argument, {"with_values", "reference", "cpu"}, [&] {
    a.with_values(Tensor::zeros({5}, DType::float32, {Device::Type::reference, 0}));
  });
}

template <class I>
struct CooArguments {
  std::vector<I> rows{2, 0, 2, 0};
  std::vector<I> columns{3, 0, 3, 1};
  std::vector<float> values{1, 2, 3, 4};
  Shape shape{3, 4};

  Coo make(const Device& device = cpu_device) const {
    const auto length = [](const auto& array) { return Shape{static_cast<std::int64_t>(array.size())}; };
    return Coo(Tensor::from(rows, length(rows), device), Tensor::from(columns, length(columns), device),
               Tensor::from(values, length(values), device), shape);
  }
};

TYPED_TEST(CooChecks, AcceptsAnyOrderAndDuplicates) {
  for (const Device& device : devices_under_test()) {
    const Coo a = CooArguments<TypeParam>{}.make(device);
    EXPECT_EQ(a.nnz(), 4);
    EXPECT_DOUBLE_EQ(a.density(), 4.0 / 12);
    EXPECT_EQ(a.device(), device);
    EXPECT_EQ(a.nbytes(), static_cast<std::int64_t>(8 * sizeof(TypeParam) + 16));
    EXPECT_EQ(to_vector<TypeParam>(a.cpu().rows()), (std::vector<TypeParam>{2, 0, 2, 0}));
  }
  CooArguments<TypeParam> none;
  none.rows = none.columns = {};
  none.values = {};
  none.shape = {0, 0};
  EXPECT_EQ(none.make().density(), 0.0);
}

TYPED_TEST(CooChecks, RefusesEachFault) {
  using Arguments = CooArguments<TypeParam>;
  struct Fault {
    std::vector<std::string> words;
    std::function<void(Arguments&)> spoil;
  };
  const std::vector<Fault> faults{
      {{"rows[2]", "3", "0 to 2"}, [](Arguments& a) { a.rows[2] = 3; }},
      {{"rows[0]", "-1"}, [](Arguments& a) { a.rows[0] = -1; }},
      {{"columns[3]", "4", "0 to 3"}, [](Arguments& a) { a.columns[3] = 4; }},
      {{"columns[1]"}, [](Arguments& a) { a.columns[1] = std::numeric_limits<TypeParam>::min(); }},
      {{"rows", "(3,)", "(4,)"}, [](Arguments& a) { a.rows.pop_back(); }},
      {{"rows", "(4,)", "(3,)"}, [](Arguments& a) { a.columns.pop_back(); }},
      {{"values", "(3,)", "(4,)"}, [](Arguments& a) { a.values.pop_back(); }},
      {{"shape"}, [](Arguments& a) { a.shape = {}; }},
      {{"shape"},
       [](Arguments& a) {
         a.shape = {3, -1};
       }},
      {{"rows[0]"},
       [](Arguments& a) {
         a.shape = {2, 4};
       }},
      {{"columns[0]"},
       [](Arguments& a) {
         a.shape = {3, 3};
       }},
  };
  for (const Device& device : devices_under_test()) {
    for (const Fault& fault : faults) {
      Arguments arguments;
      fault.spoil(arguments);
      expect_error(ErrorCode::invalid_argument, fault.words, [&] { arguments.make(device); });
    }
  }
}

}  // namespace
}  // namespace sparsert::test
