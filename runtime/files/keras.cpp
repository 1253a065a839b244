// runtime/files/keras.cpp — what Keras' configurations say of weights.
#include "runtime/files/keras.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace sparsert::files::keras {
namespace {

constexpr std::size_t kMaxConfig = std::size_t{64} << 20;
constexpr std::size_t kMaxDepth = 200;
constexpr std::size_t kMaxLayers = 100'000;
constexpr std::size_t kLayerDepth = 2;  // objects around a layer of the model: the model and its configuration

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Collects (class_name, config.name) pairs event by event: no document is built, and nesting is bounded.
class ClassHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<Layer> layers;

  bool start_object(std::size_t) override {
    objects_.push_back({std::exchange(key_, {}), {}, {}, {}});
    return objects_.size() <= kMaxDepth;
  }
  bool end_object() override {
    const Object ended = std::move(objects_.back());
    objects_.pop_back();
    // The name of a layer is that of its configuration, one level below its class.
    if (ended.key == "config" && !objects_.empty() && !ended.name.empty()) objects_.back().config_name = ended.name;
    if (ended.class_name.empty() || ended.config_name.empty()) return true;
    layers.push_back({ended.class_name, ended.config_name, objects_.size() != kLayerDepth});
    return layers.size() <= kMaxLayers;
  }
  bool start_array(std::size_t) override {
    key_.clear();
    return ++arrays_ <= kMaxDepth;
  }
  bool end_array() override {
    --arrays_;
    return true;
  }
  bool key(std::string& name) override {
    key_ = std::move(name);
    return true;
  }
  bool string(std::string& text) override {
    if (!objects_.empty() && key_ == "class_name") objects_.back().class_name = std::move(text);
    else if (!objects_.empty() && key_ == "name") objects_.back().name = std::move(text);
    key_.clear();
    return true;
  }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(std::int64_t) override { return true; }
  bool number_unsigned(std::uint64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool binary(nlohmann::json::binary_t&) override { return false; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override { return false; }

 private:
  struct Object {
    std::string key;  // under which it lies
    std::string class_name;
    std::string name;
    std::string config_name;
  };
  std::vector<Object> objects_;
  std::size_t arrays_ = 0;
  std::string key_;
};

/// "Conv2DTranspose" is "conv2d_transpose".
std::string snake_case(std::string_view name) {
  const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool begins_word =
        i > 0 && is_upper(name[i]) && (is_lower(name[i - 1]) || (i + 1 < name.size() && is_lower(name[i + 1])));
    if (begins_word) out += '_';
    out += is_upper(name[i]) ? static_cast<char>(name[i] - 'A' + 'a') : name[i];
  }
  return out;
}

struct Rule {
  std::string_view layer;
  std::string_view weight;
  std::size_t rank;
  std::string_view axes;
};

constexpr std::array<Rule, 13> kRules{{
    {"Dense", "kernel", 2, "IO"},
    {"Conv1D", "kernel", 3, "WIO"},
    {"Conv2D", "kernel", 4, "HWIO"},
    {"Conv3D", "kernel", 5, "DHWIO"},
    {"Conv2DTranspose", "kernel", 4, "HWOI"},
    {"DepthwiseConv2D", "depthwise_kernel", 4, "HWCM"},
    {"DepthwiseConv2D", "kernel", 4, "HWCM"},
    {"SeparableConv2D", "depthwise_kernel", 4, "HWCM"},
    {"SeparableConv2D", "pointwise_kernel", 4, "HWIO"},
    {"LSTM", "kernel", 2, "IO"},
    {"LSTM", "recurrent_kernel", 2, "IO"},
    {"GRU", "kernel", 2, "IO"},
    {"GRU", "recurrent_kernel", 2, "IO"},
}};

}  // namespace

bool natural_less(std::string_view a, std::string_view b) noexcept {
  std::size_t i = 0;
  std::size_t k = 0;
  while (i < a.size() && k < b.size()) {
    if (!is_digit(a[i]) || !is_digit(b[k])) {
      if (a[i] != b[k]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[k]);
      ++i;
      ++k;
      continue;
    }
    const auto number = [](std::string_view text, std::size_t& at) {
      const std::size_t begin = std::min(text.find_first_not_of('0', at), text.size());
      at = begin;
      while (at < text.size() && is_digit(text[at])) ++at;
      return text.substr(begin, at - begin);
    };
    const std::string_view first = number(a, i);
    const std::string_view second = number(b, k);
    if (first.size() != second.size()) return first.size() < second.size();
    if (first != second) return first < second;
  }
  if (a.size() - i != b.size() - k) return a.size() - i < b.size() - k;
  return a < b;
}

std::vector<Layer> layers_of(const std::string& config) {
  ClassHandler handler;
  if (config.size() > kMaxConfig) return {};
  nlohmann::json::sax_parse(config, &handler);
  return std::move(handler.layers);
}

std::map<std::string, std::string, std::less<>> layer_classes(const std::string& config) {
  std::map<std::string, std::string, std::less<>> classes;
  for (Layer& layer : layers_of(config)) classes.emplace(std::move(layer.name), std::move(layer.class_name));
  return classes;
}

std::vector<std::pair<std::string, Layer>> saved_paths(const std::vector<Layer>& layers) {
  std::vector<std::pair<std::string, Layer>> paths;
  std::map<std::string, std::size_t> used;
  for (const Layer& layer : layers) {
    if (layer.is_nested) continue;
    const std::string name = snake_case(layer.class_name);
    const std::size_t before = used[name]++;
    std::string path = "layers/";
    path.append(name);
    if (before != 0) path.append("_").append(std::to_string(before));
    paths.emplace_back(std::move(path), layer);
  }
  return paths;
}

std::string_view axes_of(std::string_view path, std::size_t rank,
                         const std::map<std::string, std::string, std::less<>>& classes) {
  std::string_view weight = path.substr(path.rfind('/') + 1);
  weight = weight.substr(0, weight.find(':'));
  // Keras 3 numbers the weights of a layer: its kernel is the first.
  constexpr std::string_view kFirst = "/vars/0";
  if (path.ends_with(kFirst)) {
    path.remove_suffix(kFirst.size() - 1);
    weight = "kernel";
  }
  // The innermost part of the path that is the name of a layer; the last part is the weight's own.
  while (path.find('/') != path.npos) {
    path = path.substr(0, path.rfind('/'));
    const auto layer = classes.find(path.substr(path.rfind('/') + 1));
    if (layer == classes.end()) continue;
    for (const Rule& rule : kRules) {
      if (rule.layer == layer->second && rule.weight == weight && rule.rank == rank) return rule.axes;
    }
    return {};
  }
  return {};
}

}  // namespace sparsert::files::keras
