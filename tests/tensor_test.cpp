// tests/tensor_test.cpp — tensors: shapes and their limits, shared and foreign memory, moves between devices.
#include <limits>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();

std::vector<float> counted(std::int64_t n) {
  std::vector<float> values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return values;
}

TEST(Shape, PrintsLikePython) {
  EXPECT_EQ(to_string(Shape{}), "()");
  EXPECT_EQ(to_string(Shape{3}), "(3,)");
  EXPECT_EQ(to_string(Shape{2, 3}), "(2, 3)");
}

TEST(Shape, CountsElements) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({0}), 0);
  EXPECT_EQ(element_count({2, 3, 4}, 8), 24);
  EXPECT_EQ(element_count({kHuge}, 1), kHuge);
  EXPECT_EQ(element_count({kHuge, 0, kHuge}, 8), 0);
  EXPECT_EQ(element_count(Shape(1000, 1)), 1);
}

TEST(Shape, RejectsOverflowAndNegativeSizes) {
  const std::vector<std::pair<Shape, std::size_t>> bad{
      {{kHuge, 2}, 1},      {{kHuge / 2 + 1, 2}, 1},     {{kHuge}, 2},
      {{kHuge / 4 + 1}, 4}, {{1LL << 32, 1LL << 31}, 1}, {{1LL << 31, 1LL << 31, 4}, 1}};
  for (const auto& [shape, item] : bad) {
    expect_error(ErrorCode::invalid_argument, {"shape", to_string(shape), "overflow"},
                 [&, shape = shape, item = item] { element_count(shape, item); });
  }
  for (const Shape& shape : {Shape{-1}, Shape{0, -1}, Shape{2, -3}, Shape{std::numeric_limits<std::int64_t>::min()}}) {
    expect_error(ErrorCode::invalid_argument, {"shape", to_string(shape), "negative"}, [&] { element_count(shape); });
    expect_error(ErrorCode::invalid_argument, {"shape"}, [&] { Tensor::empty(shape, DType::uint8); });
  }
}

TEST(Tensor, StartsEmpty) {
  const Tensor tensor;
  EXPECT_EQ(tensor.shape(), Shape{0});
  EXPECT_EQ(tensor.numel(), 0);
  EXPECT_EQ(tensor.dtype(), DType::float32);
  EXPECT_EQ(tensor.data(), nullptr);
  EXPECT_TRUE(tensor.span<float>().empty());
}

TEST(Tensor, HasAScalar) {
  const Tensor tensor = Tensor::from(std::vector<double>{2.5}, {});
  EXPECT_EQ(tensor.rank(), 0);
  EXPECT_EQ(tensor.numel(), 1);
  EXPECT_EQ(tensor.span<double>()[0], 2.5);
}

TEST(Tensor, ZerosAreZeroInReusedMemory) {
  for (const Device& device : devices_under_test()) {
    for (int round = 0; round < 3; ++round) {
      const Tensor dirty = Tensor::from(std::vector<float>(1000, 1.0f), {1000}, device);
      const Tensor tensor = Tensor::zeros({10, 100}, DType::float32, device);
      EXPECT_TRUE(same_bits(tensor, std::vector<float>(1000, 0.0f))) << to_string(device);
    }
  }
}

TEST(Tensor, KeepsEveryDtype) {
  const auto keeps = [](auto value) {
    using T = decltype(value);
    for (const Device& device : devices_under_test()) {
      const Tensor tensor = Tensor::from(std::vector<T>{value, T{}}, {2}, device);
      EXPECT_EQ(tensor.dtype(), dtype_of<T>);
      EXPECT_EQ(tensor.nbytes(), static_cast<std::int64_t>(2 * sizeof(T)));
      EXPECT_EQ(to_vector<T>(tensor), (std::vector<T>{value, T{}}));
    }
  };
  keeps(std::uint8_t{255});
  keeps(std::int32_t{-5});
  keeps(std::int64_t{-1} << 62);
  keeps(float16{0x3c00});
  keeps(bfloat16{0x3f80});
  keeps(1.5f);
  keeps(-1e300);
}

TEST(Tensor, FromChecksTheCount) {
  for (const std::int64_t count : {0, 5, 7}) {
    expect_error(ErrorCode::invalid_argument, {"tensor", std::to_string(count), "(2, 3)"}, [&] {
      Tensor::from(counted(count), {2, 3});
    });
  }
}

TEST(Tensor, CopiesShareMemoryAndClonesDoNot) {
  Tensor a = Tensor::from(counted(4), {4});
  const Tensor b = a;
  const Tensor c = a.clone();
  EXPECT_EQ(a.data(), b.data());
  EXPECT_NE(a.data(), c.data());
  a.mutable_span<float>()[1] = 9;
  EXPECT_EQ(b.span<float>()[1], 9);
  EXPECT_EQ(c.span<float>()[1], 1);
}

TEST(Tensor, MovesToADeviceAndBack) {
  const Tensor x = Tensor::from(counted(100), {4, 25});
  for (const Device& device : devices_under_test()) {
    const Tensor there = x.to(device);
    EXPECT_EQ(there.device(), device);
    EXPECT_EQ(there.shape(), x.shape());
    EXPECT_EQ(there.data() == x.data(), device == cpu_device) << "only a move to where it is shares memory";
    EXPECT_TRUE(same_bits(there.cpu(), counted(100)));
    EXPECT_TRUE(same_bits(there.clone(), counted(100)));
    EXPECT_EQ(Tensor::empty({0, 3}, DType::int32, device).cpu().shape(), (Shape{0, 3}));
  }
}

TEST(Tensor, ReshapesTheSameMemory) {
  const Tensor x = Tensor::from(counted(12), {3, 4});
  const Tensor y = x.reshape({2, 6});
  EXPECT_EQ(y.data(), x.data());
  EXPECT_EQ(y.shape(), (Shape{2, 6}));
  EXPECT_EQ(x.shape(), (Shape{3, 4}));
  EXPECT_EQ(x.reshape({12, 1, 1}).rank(), 3);
  for (const Shape& bad : {Shape{}, Shape{11}, Shape{13}, Shape{0}, Shape{kHuge}}) {
    expect_error(ErrorCode::invalid_argument, {to_string(bad)}, [&] { x.reshape(bad); });
  }
  EXPECT_EQ(Tensor::empty({0, 5}, DType::int32).reshape({0}).numel(), 0);
}

TEST(Tensor, SpanIsOfTheDtype) {
  Tensor x = Tensor::from(counted(3), {3});
  expect_error(ErrorCode::invalid_argument, {"float64", "float32"}, [&] { x.span<double>(); });
  expect_error(ErrorCode::invalid_argument, {"int32", "float32"}, [&] { x.mutable_span<std::int32_t>(); });
  if (cuda::is_available()) {
    expect_error(ErrorCode::invalid_argument, {"cuda", "cpu()"}, [&] { x.to(Device::parse("cuda")).span<float>(); });
  }
}

TEST(Tensor, ReadOnlyIsNotWritable) {
  Tensor x = Tensor::from(counted(3), {3});
  Tensor view = x.as_read_only();
  EXPECT_TRUE(view.read_only());
  EXPECT_EQ(view.data(), x.data());
  expect_error(ErrorCode::invalid_argument, {"read-only"}, [&] { view.mutable_data(); });
  expect_error(ErrorCode::invalid_argument, {"read-only"}, [&] { view.mutable_span<float>(); });
  expect_error(ErrorCode::invalid_argument, {"read-only"}, [&] { relu_(view); });
  EXPECT_TRUE(view.reshape({3, 1}).read_only());
  EXPECT_FALSE(x.read_only());
  EXPECT_FALSE(view.clone().read_only());
  EXPECT_TRUE(same_bits(x, counted(3)));
}

TEST(Wrap, UsesTheMemoryAndReleasesOnce) {
  std::vector<float> memory = counted(6);
  int released = 0;
  {
    Tensor x = Tensor::wrap(memory.data(), {2, 3}, DType::float32, cpu_device, [&] { ++released; });
    EXPECT_EQ(x.data(), memory.data());
    Tensor y = x.reshape({6});
    x = Tensor();
    EXPECT_EQ(released, 0);
    y.mutable_span<float>()[5] = -1;
    const Tensor z = y;
    y = Tensor();
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
  EXPECT_EQ(memory[5], -1);
}

TEST(Wrap, ReleasesOnceWhenItThrows) {
  std::vector<double> memory(4);
  auto* const bytes = reinterpret_cast<char*>(memory.data());
  const auto throws = [&](void* data, Shape shape, const std::string& word) {
    int released = 0;
    expect_error(ErrorCode::invalid_argument, {word},
                 [&] { Tensor::wrap(data, std::move(shape), DType::float64, cpu_device, [&] { ++released; }); });
    EXPECT_EQ(released, 1) << word;
  };
  throws(nullptr, {4}, "null");
  throws(bytes + 4, {2}, "aligned");
  throws(bytes, {-1}, "negative");
  throws(bytes, {kHuge / 4}, "overflow");
}

TEST(Wrap, CanBeReadOnlyOrEmpty) {
  const float value = 3;
  Tensor x = Tensor::wrap(
      const_cast<float*>(&value), {1}, DType::float32, cpu_device, [] {}, true);
  expect_error(ErrorCode::invalid_argument, {"read-only"}, [&] { x.mutable_data(); });
  int released = 0;
  {
    const Tensor none = Tensor::wrap(nullptr, {0, 4}, DType::float32, cpu_device, [&] { ++released; });
  }
  EXPECT_EQ(released, 1);
}

TEST(Tensor, TooLargeIsOutOfMemoryNotACrash) {
  for (const Device& device : devices_under_test()) {
    expect_error(ErrorCode::out_of_memory, {to_string(device)},
                 [&] { Tensor::empty({1LL << 60}, DType::float32, device); });
  }
}

}  // namespace
}  // namespace sparsert::test
