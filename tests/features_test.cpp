// tests/features_test.cpp — words counted into columns, triples put in order.
#include "sparsert/features.hpp"

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

using Texts = std::vector<std::string_view>;

std::vector<float> dense(const Csr& a) { return to_vector<float>(a.to_dense()); }

TEST(BagOfWords, CountsWordsInOrderOfTheirBytes) {
  const Texts texts{"The cat saw the other CAT.", "", "a b c", "d\xc3\xa9j\xc3\xa0 vu_2, vu_2"};
  const auto bag = features::bag_of_words(texts);
  EXPECT_EQ(bag.vocabulary, (std::vector<std::string>{"cat", "d\xc3\xa9j\xc3\xa0", "other", "saw", "the", "vu_2"}));
  bag.counts.validate();
  EXPECT_EQ(bag.counts.shape(), (Shape{4, 6}));
  EXPECT_TRUE(same_bits(dense(bag.counts), {2, 0, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2}));
}

TEST(BagOfWords, TakesAVocabulary) {
  const Texts texts{"one two three two"};
  const auto bag = features::bag_of_words(texts, {"two", "four", "one"});
  EXPECT_TRUE(same_bits(dense(bag.counts), {2, 0, 1}));
  expect_error(ErrorCode::invalid_argument, {"bag_of_words", "\"two\" twice"}, [&] {
    features::bag_of_words(texts, {"two", "two"});
  });
  EXPECT_EQ(features::bag_of_words(Texts{}).counts.shape(), (Shape{0, 0}));
}

TEST(Hashing, IsFnv1aModuloTheSize) {
  const Texts texts{"foobar foobar", "", "hello"};
  const Csr a = features::hashing(texts, 1000);
  a.validate();
  // 64-bit FNV-1a of "foobar" is 0x85944171f73967e8, of "hello" 0xa430d84680aabd0b: published values.
  std::vector<float> expected(3000);
  expected[0x85944171f73967e8u % 1000] = 2;
  expected[2000 + 0xa430d84680aabd0bu % 1000] = 1;
  EXPECT_TRUE(same_bits(dense(a), expected));
  EXPECT_TRUE(same_bits(dense(features::hashing(Texts{"aa bb cc"}, 1)), {3}));
  expect_error(ErrorCode::invalid_argument, {"hashing", "size", "0"}, [&] { features::hashing(texts, 0); });
}

TEST(FromTriples, SumsDuplicatesAndFindsTheShape) {
  for (const Device& device : devices_under_test()) {
    const Tensor rows = Tensor::from(std::vector<std::int64_t>{2, 0, 2}, {3}, device);
    const Tensor columns = Tensor::from(std::vector<std::int64_t>{1, 3, 1}, {3}, device);
    const Tensor values = Tensor::from(std::vector<float>{1.5f, 2.0f, 0.25f}, {3}, device);
    const Csr a = features::from_triples(rows, columns, values);
    EXPECT_EQ(a.shape(), (Shape{3, 4}));
    EXPECT_TRUE(same_bits(a.values(), std::vector<float>{2.0f, 1.75f}));
    EXPECT_EQ(features::from_triples(rows, columns, values, {5, 6}).shape(), (Shape{5, 6}));
    expect_error(ErrorCode::invalid_argument, {"columns[1]", "3", "0 to 2"}, [&] {
      features::from_triples(rows, columns, values, {3, 3});
    });
    expect_error(ErrorCode::invalid_argument, {"from_triples", "columns", "int32", "int64"},
                 [&] { features::from_triples(rows, Tensor::zeros({3}, DType::int32, device), values); });
  }
}

}  // namespace
}  // namespace sparsert::test
