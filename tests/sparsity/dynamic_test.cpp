// tests/sparsity/dynamic_test.cpp — dynamic sparse training: what is dropped, what grows, and what it costs.
#include "sparsert/dynamic.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

using prune::DynamicSparse;
using sparsert::to_string;

struct Entry {
  float value;
  std::int64_t number;  // in the matrix
};

std::map<std::int64_t, Entry> entries_of(const Csr& a) {
  const auto offsets = to_vector<std::int32_t>(a.row_offsets());
  const auto columns = to_vector<std::int32_t>(a.columns());
  const auto values = to_vector<float>(a.values());
  std::map<std::int64_t, Entry> entries;
  for (std::int64_t r = 0; r < a.rows(); ++r) {
    for (auto e = static_cast<std::size_t>(offsets[static_cast<std::size_t>(r)]);
         e < static_cast<std::size_t>(offsets[static_cast<std::size_t>(r) + 1]); ++e) {
      entries[r * a.cols() + columns[e]] = {values[e], static_cast<std::int64_t>(e)};
    }
  }
  return entries;
}

/// RigL by sorting: the places of the new matrix, and the value of each.
std::map<std::int64_t, float> rigl_oracle(const Csr& a, const std::vector<float>& grad, std::int64_t drop) {
  const auto entries = entries_of(a);
  std::vector<std::int64_t> order;
  for (const auto& [place, entry] : entries) order.push_back(place);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t p, std::int64_t q) {
    return std::abs(entries.at(p).value) > std::abs(entries.at(q).value);
  });
  order.resize(order.size() - static_cast<std::size_t>(drop));
  std::map<std::int64_t, float> result;
  for (const std::int64_t place : order) result[place] = entries.at(place).value;
  std::vector<std::int64_t> free;
  for (std::int64_t place = 0; place < a.rows() * a.cols(); ++place) {
    if (!result.contains(place)) free.push_back(place);
  }
  const auto size = [&](std::int64_t p) {
    const float g = std::abs(grad[static_cast<std::size_t>(p)]);
    return std::isnan(g) ? 0.0f : g;
  };
  std::stable_sort(free.begin(), free.end(), [&](std::int64_t p, std::int64_t q) { return size(p) > size(q); });
  for (std::int64_t i = 0; i < drop; ++i) result[free[static_cast<std::size_t>(i)]] = 0;
  return result;
}

TEST(DynamicSparse, StartsFromTheLargest) {
  for (const Device& device : devices_under_test()) {
    for (const Shape& shape : {Shape{1, 1}, Shape{13, 17}, Shape{0, 4}, Shape{64, 33}}) {
      for (const Values kind : {Values::normal, Values::small_integers, Values::zeros}) {
        const std::int64_t n = element_count(shape);
        const std::vector<float> w = make_values(kind, n, 1);
        for (const double density : {0.0, 0.05, 0.5, 1.0}) {
          const DynamicSparse dynamic(Tensor::from(w, shape, device), density);
          const auto count = static_cast<std::int64_t>(std::nearbyint(density * static_cast<double>(n)));
          EXPECT_EQ(dynamic.weight().nnz(), count);
          EXPECT_EQ(dynamic.weight().device(), device);
          // The same entries as magnitude pruning leaves, zeros among them.
          std::vector<std::size_t> order(w.size());
          std::iota(order.begin(), order.end(), 0);
          std::stable_sort(order.begin(), order.end(),
                           [&](std::size_t a, std::size_t b) { return std::abs(w[a]) > std::abs(w[b]); });
          order.resize(static_cast<std::size_t>(count));
          const auto entries = entries_of(dynamic.weight());
          EXPECT_EQ(entries.size(), order.size());
          for (const std::size_t i : order) EXPECT_TRUE(entries.contains(static_cast<std::int64_t>(i)));
        }
      }
    }
  }
}

TEST(DynamicSparse, RiglDropsTheSmallestAndGrowsByTheGradient) {
  for (const Device& device : devices_under_test()) {
    for (const Values kind : {Values::normal, Values::small_integers, Values::special, Values::zeros}) {
      const Shape shape{23, 31};
      const std::int64_t n = element_count(shape);
      DynamicSparse dynamic(Tensor::from(make_values(Values::normal, n, 2), shape, device), 0.1);
      for (int step = 0; step < 5; ++step) {
        const Csr before = dynamic.weight();
        const std::vector<float> grad = make_values(kind, n, 3 + static_cast<std::uint64_t>(step));
        const std::int64_t drop = std::lround(0.3 * static_cast<double>(before.nnz()) - 0.01);
        const auto expected = rigl_oracle(before, grad, drop);
        const auto before_entries = entries_of(before);
        const DynamicSparse::Change change = dynamic.step(Tensor::from(grad, shape, device));
        EXPECT_EQ(change.dropped, drop);
        EXPECT_EQ(change.grown, drop);
        EXPECT_EQ(dynamic.weight().nnz(), before.nnz());
        const auto entries = entries_of(dynamic.weight());
        ASSERT_EQ(entries.size(), expected.size());
        std::int64_t moved = 0;
        for (const auto& [place, value] : expected) {
          ASSERT_TRUE(entries.contains(place)) << to_string(device) << " " << to_string(kind) << " step " << step;
          EXPECT_EQ(entries.at(place).value, value);
          moved += before_entries.contains(place) ? 0 : 1;
        }
        EXPECT_EQ(change.moved, moved);
        EXPECT_EQ(entries_of(before).size(), before_entries.size()) << "the old matrix changed";
        // What training does: values written in place.
        Tensor values = dynamic.weight().values();
        const Tensor fresh = Tensor::from(make_values(Values::normal, values.numel(), 9), {values.numel()}, device);
        dynamic.set_weight(dynamic.weight().with_values(fresh));
      }
    }
  }
}

TEST(DynamicSparse, SetDrawsTheSamePatternEverywhere) {
  const Shape shape{40, 50};
  const Tensor w = Tensor::from(make_values(Values::normal, 2000, 4), shape);
  std::vector<std::vector<std::int32_t>> first;
  for (const Device& device : devices_under_test()) {
    std::vector<std::vector<std::int32_t>> columns;
    DynamicSparse dynamic(w.to(device), 0.1,
                          {.method = prune::Growth::set, .pattern = prune::Pattern::random, .seed = 11});
    for (int step = 0; step < 4; ++step) {
      columns.push_back(to_vector<std::int32_t>(dynamic.weight().columns()));
      const DynamicSparse::Change change = dynamic.step();
      EXPECT_EQ(change.dropped, 60);
      EXPECT_GT(change.moved, 40);  // few fall where one has just left
    }
    EXPECT_EQ(dynamic.steps(), 4);
    EXPECT_NE(columns[1], columns[2]);
    if (first.empty()) first = columns;
    EXPECT_EQ(columns, first) << to_string(device);
  }
}

TEST(DynamicSparse, ARunGoesOnWhereItWasSaved) {
  const Tensor w = Tensor::from(make_values(Values::normal, 600, 5), {20, 30});
  const prune::DynamicOptions options{.method = prune::Growth::set, .seed = 3};
  DynamicSparse whole(w, 0.2, options);
  for (int i = 0; i < 3; ++i) whole.step();
  const Csr saved = whole.weight();
  DynamicSparse resumed(w, 0.2, options);
  resumed.set_weight(saved);
  resumed.set_steps(whole.steps());
  whole.step();
  resumed.step();
  EXPECT_TRUE(same_bits(resumed.weight().columns(), to_vector<std::int32_t>(whole.weight().columns())));
  EXPECT_TRUE(same_bits(resumed.weight().values(), to_vector<float>(whole.weight().values())));
}

TEST(DynamicSparse, OptimizerStateMovesWithItsEntries) {
  for (const Device& device : devices_under_test()) {
    const Shape shape{15, 20};
    DynamicSparse dynamic(Tensor::from(make_values(Values::normal, 300, 6), shape, device), 0.3);
    const std::int64_t nnz = dynamic.weight().nnz();
    const auto before = entries_of(dynamic.weight());
    std::vector<float> moment(static_cast<std::size_t>(nnz));
    std::iota(moment.begin(), moment.end(), 1.0f);
    const std::vector<double> second(moment.begin(), moment.end());
    Tensor first_state = Tensor::from(moment, {nnz}, device);
    Tensor second_state = Tensor::from(second, {nnz}, device);
    dynamic.step(Tensor::from(make_values(Values::normal, 300, 7), shape, device), {&first_state, &second_state});
    const auto got = to_vector<float>(first_state);
    const auto got_second = to_vector<double>(second_state);
    for (const auto& [place, entry] : entries_of(dynamic.weight())) {
      const auto at = static_cast<std::size_t>(entry.number);
      const bool kept = before.contains(place) && got[at] != 0;
      EXPECT_EQ(got[at], kept ? moment[static_cast<std::size_t>(before.at(place).number)] : 0.0f);
      EXPECT_EQ(got_second[at], static_cast<double>(got[at]));
      EXPECT_TRUE(kept || entry.value == 0.0f);
    }
    EXPECT_EQ(std::count(got.begin(), got.end(), 0.0f), 27);  // 0.3 of 90
  }
}

TEST(DynamicSparse, CostsItsEntriesAndLittleMore) {
  const Shape shape{1024, 1024};
  const Tensor w = equivalence::make_values(Values::normal, shape, DType::float32, 8);
  const std::size_t before = pool_statistics(cpu_device).in_use;
  DynamicSparse dynamic(w, 0.1);
  const auto entries = static_cast<double>(dynamic.weight().nnz()) * (sizeof(float) + sizeof(std::int32_t));
  EXPECT_LE(static_cast<double>(dynamic.nbytes()), 1.3 * entries);
  EXPECT_LE(static_cast<double>(pool_statistics(cpu_device).in_use - before), 1.3 * entries);
  const Tensor grad = equivalence::make_values(Values::normal, shape, DType::float32, 9);
  const std::size_t with_grad = pool_statistics(cpu_device).in_use;
  for (int i = 0; i < 3; ++i) dynamic.step(grad);
  EXPECT_LE(static_cast<double>(pool_statistics(cpu_device).in_use - before), 1.3 * entries + 4.0 * 1024 * 1024 + 4096)
      << with_grad;
}

TEST(DynamicSparse, OtherDtypesAndIndices) {
  for (const Device& device : devices_under_test()) {
    for (const DType dtype : {DType::float64, DType::float16, DType::bfloat16}) {
      const Tensor w = equivalence::make_values(Values::normal, {12, 18}, dtype, 10).to(device);
      const Tensor grad = equivalence::make_values(Values::wide, {12, 18}, dtype, 11).to(device);
      DynamicSparse dynamic(w, 0.25, {.index_dtype = DType::int64});
      EXPECT_EQ(dynamic.weight().index_dtype(), DType::int64);
      const Tensor dense = dynamic.weight().to_dense();
      EXPECT_EQ(count_nonzero(dense), 54);
      EXPECT_FALSE(equivalence::first_difference(dense, prune::magnitude(w, 0.75)));
      dynamic.step(grad);
      EXPECT_EQ(dynamic.weight().nnz(), 54);
      EXPECT_EQ(count_nonzero(dynamic.weight().values()), 54 - 16);
    }
  }
}

TEST(DynamicSparse, ErrorsNameWhatIsWrong) {
  const Tensor w = Tensor::from(make_values(Values::normal, 12, 12), {3, 4});
  const auto bad = ErrorCode::invalid_argument;
  expect_error(bad, {"DynamicSparse", "density is 1.5"}, [&] { DynamicSparse(w, 1.5); });
  expect_error(bad, {"DynamicSparse", "fraction is -1"}, [&] { DynamicSparse(w, 0.5, {.fraction = -1}); });
  expect_error(bad, {"DynamicSparse", "(12,)", "2 dimension"}, [&] { DynamicSparse(w.reshape({12}), 0.5); });
  expect_error(bad, {"DynamicSparse", "2", "NaNs"}, [&] {
    DynamicSparse(Tensor::from(std::vector<float>{NAN, NAN, 1, 2}, {2, 2}), 0.25);
  });
  expect_error(ErrorCode::not_supported, {"int32"}, [&] { DynamicSparse(Tensor::zeros({2, 2}, DType::int32), 0.5); });
  DynamicSparse dynamic(w, 0.5);
  expect_error(bad, {"rigl", "dense_grad"}, [&] { dynamic.step(); });
  expect_error(bad, {"dense_grad", "(4, 3)", "(3, 4)"}, [&] { dynamic.step(w.reshape({4, 3})); });
  Tensor state = Tensor::zeros({5}, DType::float32);
  expect_error(bad, {"state", "(5,)", "(6,)"}, [&] { dynamic.step(w, {&state}); });
  expect_error(bad, {"weight", "entries"}, [&] { dynamic.set_weight(to_csr(w)); });
  EXPECT_EQ(dynamic.steps(), 0);
}

}  // namespace
}  // namespace sparsert::test
