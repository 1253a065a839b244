// tests/ops/embedding_test.cpp — rows of a table gathered into bags: bits, gradients, refusals, on every device.
#include "sparsert/embedding.hpp"

#include <set>

#include "tests/ops/product_support.hpp"

namespace sparsert::test {
namespace {

template <class T, class I>
struct Bags {
  std::int64_t rows;
  std::int64_t dim;
  std::vector<T> table;
  std::vector<I> indices;
  std::vector<I> starts;
  std::vector<T> weights;  // empty: none

  std::int64_t n() const { return static_cast<std::int64_t>(indices.size()); }
  std::int64_t count() const { return static_cast<std::int64_t>(starts.size()); }
  std::int64_t end_of(std::int64_t b) const { return b + 1 < count() ? std::int64_t{starts[b + 1]} : n(); }
};

template <class T, class I>
Bags<T, I> random_bags(std::int64_t rows, std::int64_t dim, std::int64_t count, Values kind, bool weighted) {
  Bags<T, I> bags{rows, dim, values_of<T>(kind, rows * dim, 5), {}, {}, {}};
  std::mt19937_64 random(9);
  for (std::int64_t b = 0; b < count; ++b) {
    bags.starts.push_back(static_cast<I>(bags.indices.size()));
    const auto size = b % 4 == 1 ? 0 : random() % 7;
    for (std::uint64_t e = 0; e < size; ++e) bags.indices.push_back(static_cast<I>(random() % rows));
  }
  if (weighted) bags.weights = values_of<T>(kind, bags.n(), 6);
  return bags;
}

template <class T, class I>
std::vector<Wide<T>> oracle(const Bags<T, I>& bags, BagMode mode) {
  std::vector<Wide<T>> out;
  for (std::int64_t b = 0; b < bags.count(); ++b) {
    for (std::int64_t d = 0; d < bags.dim; ++d) {
      Wide<T> r = 0;
      for (std::int64_t e = bags.starts[b]; e < bags.end_of(b); ++e) {
        const Wide<T> x = wide(bags.table[std::int64_t{bags.indices[e]} * bags.dim + d]);
        if (mode == BagMode::max) r = e == bags.starts[b] || std::isnan(x) || (x > r && !std::isnan(r)) ? x : r;
        else r = bags.weights.empty() ? r + x : std::fma(wide(bags.weights[e]), x, r);
      }
      if (mode == BagMode::mean && bags.end_of(b) > bags.starts[b])
        r /= static_cast<Wide<T>>(bags.end_of(b) - bags.starts[b]);
      out.push_back(wide(stored<T>(static_cast<double>(r + Wide<T>{0}))));
    }
  }
  return out;
}

template <class T, class I>
Tensor run(const Bags<T, I>& bags, BagMode mode, const Device& device, const std::vector<T>* table = nullptr) {
  const Tensor weights = Tensor::from(bags.weights, {static_cast<std::int64_t>(bags.weights.size())}, device);
  return embedding_bag(Tensor::from(table != nullptr ? *table : bags.table, {bags.rows, bags.dim}, device),
                       Tensor::from(bags.indices, {bags.n()}, device),
                       Tensor::from(bags.starts, {bags.count()}, device), mode,
                       bags.weights.empty() ? nullptr : &weights);
}

template <class T, class I>
void check(std::int64_t rows, std::int64_t dim, std::int64_t count, Values kind) {
  for (const Device& device : devices_under_test()) {
    SCOPED_TRACE(to_string(device) + " " + to_string(Shape{rows, dim, count}) + " " + to_string(kind));
    for (const BagMode mode : {BagMode::sum, BagMode::mean, BagMode::max}) {
      const auto bags = random_bags<T, I>(rows, dim, count, kind, false);
      EXPECT_TRUE(same_bits(widened(to_vector<T>(run(bags, mode, device))), oracle(bags, mode)));
    }
    const auto bags = random_bags<T, I>(rows, dim, count, kind, true);
    EXPECT_TRUE(same_bits(widened(to_vector<T>(run(bags, BagMode::sum, device))), oracle(bags, BagMode::sum)));
  }
}

TEST(EmbeddingBag, ShapesAndValues) {
  for (const std::int64_t dim : {0, 1, 7, 8, 9, 31, 64, 65, 130})
    check<float, std::int32_t>(50, dim, 20, Values::normal);
  for (const Values kind : kAllValues) check<float, std::int64_t>(30, 20, 15, kind);
  check<float, std::int32_t>(1, 4, 1, Values::normal);
  check<float, std::int32_t>(3, 4, 0, Values::normal);
}

TEST(EmbeddingBag, EveryDtype) {
  check<double, std::int32_t>(40, 33, 20, Values::normal);
  check<double, std::int64_t>(40, 33, 20, Values::special);
  check<float16, std::int32_t>(40, 33, 20, Values::normal);
  check<float16, std::int64_t>(40, 70, 20, Values::normal);
  check<bfloat16, std::int32_t>(40, 70, 20, Values::special);
}

TEST(EmbeddingBag, SameBitsWithAnyNumberOfThreads) {
  for (const int threads : kThreadCounts) {
    const Threads scope(threads);
    check<float, std::int32_t>(900, 64, 700, Values::normal);
  }
}

TEST(EmbeddingBag, GradientAgainstCentralDifferences) {
  for (const Device& device : devices_under_test()) {
    for (const BagMode mode : {BagMode::sum, BagMode::mean, BagMode::max}) {
      for (const bool weighted : {false, true}) {
        if (weighted && mode != BagMode::sum) continue;
        auto bags = random_bags<double, std::int32_t>(12, 5, 9, Values::normal, weighted);
        const auto upstream = make_values<double>(Values::normal, 9 * 5, 7);
        const Tensor weights = Tensor::from(bags.weights, {static_cast<std::int64_t>(bags.weights.size())}, device);
        const RowGradient grad =
            embedding_bag_backward(Tensor::from(upstream, {9, 5}, device), Tensor::from(bags.table, {12, 5}, device),
                                   Tensor::from(bags.indices, {bags.n()}, device),
                                   Tensor::from(bags.starts, {9}, device), mode, weighted ? &weights : nullptr);
        const std::set<std::int32_t> named(bags.indices.begin(), bags.indices.end());
        EXPECT_TRUE(same_bits(grad.rows, std::vector<std::int64_t>(named.begin(), named.end())));
        std::vector<double> dense(12 * 5);
        const auto rows = to_vector<std::int64_t>(grad.rows);
        const auto values = to_vector<double>(grad.values);
        for (std::size_t u = 0; u < rows.size(); ++u) std::copy_n(&values[u * 5], 5, &dense[rows[u] * 5]);
        const auto loss = [&](const std::vector<double>& table) {
          const auto out = to_vector<double>(run(bags, mode, device, &table));
          double sum = 0;
          for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * upstream[i];
          return sum;
        };
        for (std::size_t i = 0; i < dense.size(); ++i) {
          auto above = bags.table;
          auto below = bags.table;
          above[i] += 1e-6;
          below[i] -= 1e-6;
          const double expected = (loss(above) - loss(below)) / 2e-6;
          EXPECT_LE(std::abs(dense[i] - expected), 1e-5 + 1e-3 * std::abs(expected)) << to_string(device) << " " << i;
        }
      }
    }
  }
}

TEST(EmbeddingBag, GradientsHaveTheSameBitsEverywhere) {
  const auto bags = random_bags<float, std::int32_t>(40, 20, 30, Values::normal, false);
  const auto upstream = make_values(Values::normal, 30 * 20, 7);
  for (const BagMode mode : {BagMode::sum, BagMode::mean, BagMode::max}) {
    std::vector<float> expected;
    for (const Device& device : devices_under_test()) {
      const RowGradient grad = embedding_bag_backward(
          Tensor::from(upstream, {30, 20}, device), Tensor::from(bags.table, {40, 20}, device),
          Tensor::from(bags.indices, {bags.n()}, device), Tensor::from(bags.starts, {30}, device), mode);
      if (expected.empty()) expected = to_vector<float>(grad.values);
      EXPECT_TRUE(same_bits(grad.values, expected)) << to_string(device);
    }
  }
}

TEST(EmbeddingBag, RefusesBadArguments) {
  const auto bad = ErrorCode::invalid_argument;
  const Tensor table = Tensor::zeros({5, 3}, DType::float32);
  const auto indices = [](std::vector<std::int32_t> v) {
    const auto n = static_cast<std::int64_t>(v.size());
    return Tensor::from(v, {n});
  };
  expect_error(bad, {"embedding_bag", "indices[1]", "5", "0 to 4"}, [&] {
    embedding_bag(table, indices({0, 5}), indices({0}));
  });
  expect_error(bad, {"embedding_bag", "indices[0]", "-1"}, [&] { embedding_bag(table, indices({-1}), indices({0})); });
  expect_error(bad, {"embedding_bag", "offsets[0]", "1"}, [&] { embedding_bag(table, indices({0, 1}), indices({1})); });
  expect_error(bad, {"embedding_bag", "offsets[1]", "3", "at most 2"}, [&] {
    embedding_bag(table, indices({0, 1}), indices({0, 3}));
  });
  expect_error(bad, {"embedding_bag", "no offsets"}, [&] { embedding_bag(table, indices({0}), indices({})); });
  const Tensor weights = Tensor::zeros({1}, DType::float32);
  expect_error(bad, {"embedding_bag", "weights", "(1,)", "(2,)"}, [&] {
    embedding_bag(table, indices({0, 1}), indices({0}), BagMode::sum, &weights);
  });
  expect_error(bad, {"embedding_bag", "weights", "mean and max"},
               [&] { embedding_bag(table, indices({0}), indices({0}), BagMode::max, &weights); });
  expect_error(bad, {"embedding_bag", "table", "(5,)", "2 dim"},
               [&] { embedding_bag(Tensor::zeros({5}, DType::float32), indices({0}), indices({0})); });
}

}  // namespace
}  // namespace sparsert::test
