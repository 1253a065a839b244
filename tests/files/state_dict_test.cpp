// tests/files/state_dict_test.cpp — names to tensors, close names, globs.
#include "tests/support.hpp"

namespace sparsert::test {
namespace {

StateDict example() {
  StateDict state;
  state.insert("encoder.layer.0.weight", Tensor::from(std::vector<float>{1, 2}, {2}));
  state.insert("encoder.layer.0.bias", Tensor::from(std::vector<float>{3}, {1}));
  state.insert("head", Tensor::from(std::vector<std::int64_t>{4}, {1}));
  state.metadata()["format"] = "pt";
  return state;
}

TEST(StateDict, KeepsOrderAndFindsByName) {
  const StateDict state = example();
  ASSERT_EQ(state.size(), 3u);
  EXPECT_EQ(state.entries()[2].first, "head");
  EXPECT_TRUE(state.contains("head"));
  EXPECT_FALSE(state.contains("Head"));
  EXPECT_EQ(to_vector<float>(state.at("encoder.layer.0.bias")), std::vector<float>{3});
  EXPECT_EQ(state.nbytes(), 8 + 4 + 8);
  EXPECT_EQ(StateDict().nbytes(), 0);
}

TEST(StateDict, RefusesANameTwiceAndStaysAsItWas) {
  StateDict state = example();
  expect_error(ErrorCode::invalid_argument, {"insert", "\"head\"", "already"}, [&] { state.insert("head", Tensor()); });
  EXPECT_EQ(state.size(), 3u);
  EXPECT_EQ(state.at("head").numel(), 1);
}

TEST(StateDict, NamesCloseNames) {
  const StateDict state = example();
  expect_error(ErrorCode::invalid_argument, {"\"haed\"", "close names: \"head\""}, [&] { state.at("haed"); });
  expect_error(ErrorCode::invalid_argument, {"\"encoder.layer.0.weight\""}, [&] { state.at("layer.0.weight"); });
  expect_error(ErrorCode::invalid_argument, {"\"encoder.layer.0.weight\""},
               [&] { state.at("encoder.layer.0.weigth"); });
  expect_error(ErrorCode::invalid_argument, {"\"qqqqqq\"", "among 3"}, [&] { state.at("qqqqqq"); });
  expect_error(ErrorCode::invalid_argument, {"\"\"", "among 3"}, [&] { state.at(""); });
  expect_error(ErrorCode::invalid_argument, {"among 0"}, [] { StateDict().at("x"); });
  // A name of any length, with control characters, makes a message that is short and printable.
  try {
    state.at("a\x1b[31m" + std::string(100'000, 'x'));
    FAIL();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_LT(message.size(), 300u);
    EXPECT_NE(message.find("\\x1b"), std::string::npos);
    EXPECT_EQ(message.find('\x1b'), std::string::npos);
  }
}

TEST(StateDict, MovesToEveryDevice) {
  const StateDict state = example();
  for (const Device& device : devices_under_test()) {
    const StateDict moved = state.to(device);
    EXPECT_EQ(moved.metadata(), state.metadata());
    ASSERT_EQ(moved.size(), state.size());
    for (std::size_t i = 0; i < moved.size(); ++i) {
      EXPECT_EQ(moved.entries()[i].first, state.entries()[i].first);
      EXPECT_EQ(moved.entries()[i].second.device(), device);
    }
    EXPECT_EQ(to_vector<float>(moved.at("encoder.layer.0.weight")), (std::vector<float>{1, 2}));
  }
}

TEST(Glob, MatchesTheWholeName) {
  for (const auto& [pattern, name, expected] :
       std::vector<std::tuple<std::string, std::string, bool>>{{"", "", true},
                                                               {"", "a", false},
                                                               {"*", "", true},
                                                               {"*", "a/b.c", true},
                                                               {"a", "a", true},
                                                               {"a", "ab", false},
                                                               {"a*", "abc", true},
                                                               {"*c", "abc", true},
                                                               {"*b*", "abc", true},
                                                               {"*d*", "abc", false},
                                                               {"a?c", "abc", true},
                                                               {"a?c", "ac", false},
                                                               {"?", "", false},
                                                               {"??", "ab", true},
                                                               {"*?", "a", true},
                                                               {"**a**", "a", true},
                                                               {"a*b*c", "aXbYc", true},
                                                               {"a*b*c", "aXcYb", false},
                                                               {"*.weight", "fc.weight", true},
                                                               {"*.weight", "fc.weights", false},
                                                               {"[a]", "a", false},
                                                               {"[a]", "[a]", true},
                                                               {"\\*", "\\x", true},
                                                               {"?", "\xc3\xa9", true},
                                                               {"?", "\xf0\x9f\x98\x80", true},
                                                               {"??", "\xc3\xa9", false},
                                                               {"a", "A", false}}) {
    EXPECT_EQ(glob_match(pattern, name), expected) << pattern << " on " << name;
  }
}

TEST(Glob, IsNotSlowOnPatternsMadeToBe) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "a*";
  EXPECT_FALSE(glob_match(pattern + "b", std::string(10'000, 'a')));
}

}  // namespace
}  // namespace sparsert::test
