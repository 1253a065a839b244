// tools/verify/attention_cases.cpp — attention behind masks of many kinds, forward and backward.
#include "tools/verify/grid.hpp"

namespace sparsert::verify {
namespace {

using attention::Lengths;
using attention::Mask;
using equivalence::kAllValues;
using equivalence::make_values;
using equivalence::Values;

struct NamedMask {
  const char* name;
  Mask (*make)(Lengths n);
};

constexpr NamedMask kMasks[] = {
    {"full", [](Lengths n) { return attention::full(n); }},
    {"causal", [](Lengths n) { return attention::causal(n); }},
    {"window", [](Lengths n) { return attention::sliding_window(n, 9); }},
    {"strided", [](Lengths n) { return attention::strided(n, 5); }},
    {"bigbird", [](Lengths n) { return attention::bigbird(n, 7, 3, 20, 1); }},
    {"empty rows", [](Lengths n) { return attention::causal(n) & ~attention::sliding_window(n, 12); }},
};

struct Size {
  std::int64_t heads;
  std::int64_t key_heads;
  Lengths n;
  std::int64_t depth;
  std::int64_t value_depth;
};
constexpr Size kSizes[] = {{1, 1, {0, 5}, 3, 3},   {2, 1, {5, 0}, 3, 3},     {2, 2, {1, 70}, 8, 5},
                           {4, 2, {17, 33}, 7, 9}, {2, 1, {65, 64}, 16, 16}, {1, 1, {20, 130}, 40, 70}};

}  // namespace

void add_attention_cases(std::vector<Case>& grid) {
  for (const Size& size : kSizes) {
    for (const DType dtype : kFloats) {
      for (const Values kind : kAllValues) {
        // Every mask with every kind would only repeat: the masks take turns, all of them for each size.
        const NamedMask& named = kMasks[static_cast<std::size_t>(kind) % std::size(kMasks)];
        const std::string name = std::string(to_string(dtype)) + " " + std::to_string(size.n.query) + "x" +
                                 std::to_string(size.n.key) + "x" + std::to_string(size.depth) + " " + to_string(kind) +
                                 " " + named.name;
        const auto q = [=](const Device& d) {
          return make_values(kind, {2, size.heads, size.n.query, size.depth}, dtype, 21).to(d);
        };
        const auto k = [=](const Device& d) {
          return make_values(kind, {2, size.key_heads, size.n.key, size.depth}, dtype, 22).to(d);
        };
        const auto v = [=](const Device& d) {
          return make_values(kind, {2, size.key_heads, size.n.key, size.value_depth}, dtype, 23).to(d);
        };
        grid.push_back({"attend " + name, [=](const Device& d) {
                          const Tensor bias = make_values(kind, {size.n.query, size.n.key}, dtype, 24).to(d);
                          Tensor log_sum_exp;
                          attention::AttendOptions options;
                          options.log_sum_exp = &log_sum_exp;
                          if (dtype == DType::float32) options.bias = &bias;
                          Tensor out = attention::attend(q(d), k(d), v(d), named.make(size.n), options);
                          return std::vector{out, log_sum_exp};
                        }});
        grid.push_back(
            {"attend_backward " + name, [=](const Device& d) {
               const Tensor grad = make_values(kind, {2, size.heads, size.n.query, size.value_depth}, dtype, 25).to(d);
               auto gradients = attention::attend_backward(grad, q(d), k(d), v(d), named.make(size.n));
               return std::vector{gradients.q, gradients.k, gradients.v};
             }});
      }
    }
  }
}

}  // namespace sparsert::verify
