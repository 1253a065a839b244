// tests/files/packed_test.cpp — states without their zeros: every bit comes back, and nothing wrong is believed.
#include "sparsert/packed.hpp"

#include <filesystem>
#include <functional>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

using equivalence::first_difference;

StateDict with(const char* name, Tensor tensor) {
  StateDict state;
  state.insert("first", Tensor::from(std::vector<float>{1, 2}, {2}));
  state.insert(name, std::move(tensor));
  state.insert("last", Tensor::from(std::vector<std::int64_t>{3}, {}));
  state.metadata()["format"] = "pt";
  return state;
}

void expect_same(const StateDict& got, const StateDict& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < expected.entries().size(); ++i) {
    EXPECT_EQ(got.entries()[i].first, expected.entries()[i].first);
    const Tensor& x = expected.entries()[i].second;
    const Tensor& y = got.entries()[i].second;
    EXPECT_EQ(y.shape(), x.shape());
    EXPECT_EQ(y.dtype(), x.dtype());
    // The bits themselves: NaNs and negative zeros too.
    EXPECT_EQ(std::memcmp(x.data(), y.data(), static_cast<std::size_t>(x.nbytes())), 0) << expected.entries()[i].first;
  }
  EXPECT_EQ(got.metadata(), expected.metadata());
}

std::string encoding_of(const StateDict& state, const std::string& name) {
  std::vector<PackedTensor> report;
  pack_zeros(state, &report);
  for (const PackedTensor& tensor : report) {
    if (tensor.name == name) return tensor.encoding;
  }
  return "";
}

TEST(Packed, EveryBitComesBack) {
  for (const DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16, DType::int32, DType::int64,
                            DType::uint8, DType::boolean}) {
    for (const Shape& shape : {Shape{64, 100}, Shape{7, 3, 50}, Shape{4000}, Shape{0, 3}, Shape{1, 1}, Shape{3, 0}}) {
      for (const double amount : {0.0, 0.5, 0.9, 0.999, 1.0}) {
        const Tensor values = equivalence::make_values(Values::special, shape, DType::float32, 1);
        const Tensor mask = prune::random(
            Tensor::from(std::vector<float>(static_cast<std::size_t>(values.numel()), 1.0f), shape), amount, 2);
        Tensor x = cast(values, dtype);
        for (std::int64_t i = 0; i < x.numel(); ++i) {
          if (mask.span<float>()[static_cast<std::size_t>(i)] == 0) {
            std::memset(static_cast<std::byte*>(x.mutable_data()) + static_cast<std::size_t>(i) * size_of(dtype), 0,
                        size_of(dtype));
          }
        }
        const StateDict state = with("w", x);
        SCOPED_TRACE(std::string(to_string(dtype)) + " " + sparsert::to_string(shape) + " " + std::to_string(amount));
        expect_same(unpack_zeros(pack_zeros(state)), state);
      }
    }
  }
}

TEST(Packed, TheSmallestEncodingIsTaken) {
  const Tensor x = equivalence::make_values(Values::normal, {128, 512}, DType::float32, 3);
  EXPECT_EQ(encoding_of(with("w", x), "w"), "dense");
  EXPECT_EQ(encoding_of(with("w", prune::magnitude(x, 0.5)), "w"), "bitmap");
  EXPECT_EQ(encoding_of(with("w", prune::magnitude(x, 0.99)), "w"), "csr");
  EXPECT_EQ(encoding_of(with("w", prune::n_m(x, 1, 16)), "w"), "nm");
  EXPECT_EQ(encoding_of(with("w", prune::magnitude(x, 0.5)), "first"), "dense");  // too small to pay
  std::vector<PackedTensor> report;
  const StateDict packed = pack_zeros(with("w", prune::magnitude(x, 0.9)), &report);
  EXPECT_EQ(report[1].dense_bytes, 4 * 128 * 512);
  EXPECT_EQ(report[1].packed_bytes, 128 * 512 / 8 + 4 * 6554);
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : packed.entries()) bytes += name.starts_with("w::") ? tensor.nbytes() : 0;
  EXPECT_EQ(bytes, report[1].packed_bytes);
}

TEST(Packed, AFileIsLoadedAsIfItWereDense) {
  const auto path = std::filesystem::temp_directory_path() / "sparsert_packed_test.safetensors";
  const Tensor x = prune::magnitude(equivalence::make_values(Values::normal, {64, 100}, DType::float32, 4), 0.9);
  const StateDict state = with("layer.w", x);
  save(path, pack_zeros(state));
  EXPECT_LT(std::filesystem::file_size(path), 64u * 100 * 4 / 4);
  expect_same(load(path), state);
  LoadOptions options;
  options.include = {"layer.*"};
  options.rename = {{"layer.w", "v"}};
  const StateDict part = load(path, options);
  EXPECT_EQ(part.size(), 1u);
  EXPECT_FALSE(first_difference(part.at("v"), x));
  options = {};
  options.exclude = {"layer.*"};
  EXPECT_EQ(load(path, options).size(), 2u);
  options = {};
  options.max_bytes = 10'000;  // what is stored fits, what it expands to does not
  expect_error(ErrorCode::file, {"max_bytes"}, [&] { load(path, options); });
  options = {};
  options.include = {"nothing"};
  expect_error(ErrorCode::invalid_argument, {"nothing"}, [&] { load(path, options); });
  std::filesystem::remove(path);
}

TEST(Packed, WhatDoesNotHoldTogetherIsRefused) {
  const Tensor x = equivalence::make_values(Values::normal, {64, 100}, DType::float32, 5);
  for (const Tensor& w : {prune::magnitude(x, 0.5), prune::magnitude(x, 0.995), prune::n_m(x, 1, 16)}) {
    const StateDict packed = pack_zeros(with("w", w));
    ASSERT_TRUE(packed.metadata().contains(kPackedKey));
    // Each part lost, cut, longer, of another dtype, or with other contents.
    for (const auto& [part, tensor] : packed.entries()) {
      if (!part.starts_with("w::")) continue;
      for (int change = 0; change < 5; ++change) {
        StateDict wrong;
        for (const auto& [name, value] : packed.entries()) {
          if (name != part) {
            wrong.insert(name, value);
            continue;
          }
          const std::int64_t n = value.numel();
          if (change == 0) continue;
          if (change == 1) wrong.insert(name, prune::take(value, Tensor::from(std::vector<std::int64_t>{0}, {1})));
          if (change == 2) wrong.insert(name, Tensor::zeros({n + 9}, value.dtype()));
          if (change == 3)
            wrong.insert(name, Tensor::zeros({n}, value.dtype() == DType::int64 ? DType::int32 : DType::boolean));
          if (change == 4) {
            Tensor other = value.clone();
            std::memset(other.mutable_data(), 0xff, static_cast<std::size_t>(other.nbytes()));
            wrong.insert(name, other);
          }
        }
        wrong.metadata() = packed.metadata();
        if (change == 4 && part == "w::values") continue;  // other values are no fault
        expect_error(ErrorCode::file, {"packed tensors"}, [&] { unpack_zeros(wrong); });
      }
    }
    for (const std::string& text :
         {std::string("{}"), std::string("no json"), std::string(R"({"version":2,"tensors":{}})"),
          std::string(R"({"version":1,"tensors":{"w":{}}})"),
          std::string(R"({"version":1,"tensors":{"w":{"encoding":"zip","dtype":"float32","shape":[64,100]}}})"),
          std::string(R"({"version":1,"tensors":{"w":{"encoding":"bitmap","dtype":"float32","shape":[-1]}}})"),
          std::string(R"({"version":1,"tensors":{"w":{"encoding":"bitmap","dtype":"float9","shape":[4]}}})")}) {
      StateDict wrong = packed;
      wrong.metadata()[kPackedKey] = text;
      expect_error(ErrorCode::file, {"packed tensors"}, [&] { unpack_zeros(wrong); });
    }
    expect_error(ErrorCode::invalid_argument, {"packed already"}, [&] { pack_zeros(packed); });
  }
}

}  // namespace
}  // namespace sparsert::test
