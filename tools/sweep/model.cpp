// tools/sweep/model.cpp — reads the network and the images of a sweep, and refuses what is not an MLP and its data.
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "tools/sweep/sweep.hpp"

namespace sparsert::tools::sweep {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kBias = ".bias";

std::string file_of(const std::filesystem::path& path) { return path.filename().string(); }

/// The numbers in a name, and the name without them.
std::pair<std::string, std::vector<std::uint64_t>> split_numbers(const std::string& name) {
  std::pair<std::string, std::vector<std::uint64_t>> parts;
  for (std::size_t i = 0; i < name.size();) {
    if (std::isdigit(static_cast<unsigned char>(name[i])) == 0) {
      parts.first += name[i++];
      continue;
    }
    std::uint64_t number = 0;
    for (; i < name.size() && std::isdigit(static_cast<unsigned char>(name[i])) != 0; ++i) {
      number = number * 10 + static_cast<std::uint64_t>(name[i] - '0');
    }
    parts.first += '#';
    parts.second.push_back(number);
  }
  return parts;
}

/// Writers sort tensors by name, which puts fc10 before fc2: numbered layers go by their numbers.
void order_layers(std::vector<Layer>& layers) {
  const std::string pattern = split_numbers(layers.front().name).first;
  const bool numbered = std::all_of(layers.begin(), layers.end(),
                                    [&](const Layer& layer) { return split_numbers(layer.name).first == pattern; });
  if (!numbered) return;
  std::stable_sort(layers.begin(), layers.end(), [](const Layer& a, const Layer& b) {
    return split_numbers(a.name).second < split_numbers(b.name).second;
  });
}

Tensor as_float(const std::string& where, const Tensor& tensor) {
  require(is_floating(tensor.dtype()),
          [&] { return where + " is " + std::string(to_string(tensor.dtype())) + ", expected a floating type"; });
  return tensor.dtype() == DType::float32 ? tensor : cast(tensor, DType::float32);
}

Layer make_layer(const StateDict& state, const std::string& weight_name, const std::string& where) {
  const std::string name = weight_name.substr(0, weight_name.size() - kWeight.size());
  const Tensor& weight = state.at(weight_name);
  require(weight.rank() == 2, [&] {
    return where + weight_name + " has shape " + to_string(weight.shape()) +
           ", expected (out, in): only MLPs can be swept";
  });
  const std::string bias_name = name + std::string(kBias);
  if (!state.contains(bias_name)) {
    return {name, as_float(where + weight_name, weight), Tensor::zeros({weight.size(0)}, DType::float32)};
  }
  const Tensor& bias = state.at(bias_name);
  require(bias.shape() == Shape{weight.size(0)}, [&] {
    return where + bias_name + " has shape " + to_string(bias.shape()) + ", expected " +
           to_string(Shape{weight.size(0)});
  });
  return {name, as_float(where + weight_name, weight), as_float(where + bias_name, bias)};
}

void check_chain(const std::vector<Layer>& layers, const std::string& where) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    require(layers[i].weight.numel() > 0, [&] { return where + layers[i].name + ".weight is empty"; });
    if (i == 0) continue;
    require(layers[i].weight.size(1) == layers[i - 1].weight.size(0), [&] {
      return where + layers[i].name + ".weight has shape " + to_string(layers[i].weight.shape()) + ", expected (out, " +
             std::to_string(layers[i - 1].weight.size(0)) + ") behind " + layers[i - 1].name +
             ": the layers form no MLP";
    });
  }
}

/// Whole numbers of any integer type.
std::vector<std::int64_t> whole_numbers(const Tensor& tensor, const std::string& where, std::int64_t count) {
  require(tensor.shape() == Shape{count},
          [&] { return where + " has shape " + to_string(tensor.shape()) + ", expected " + to_string(Shape{count}); });
  require(!is_floating(tensor.dtype()),
          [&] { return where + " is " + std::string(to_string(tensor.dtype())) + ", expected an integer type"; });
  const Tensor wide = tensor.dtype() == DType::int64 ? tensor : cast(tensor, DType::int64);
  const auto values = wide.span<std::int64_t>();
  return {values.begin(), values.end()};
}

const Tensor& member(const StateDict& state, const std::string& name, const std::string& where) {
  require(state.contains(name),
          [&] { return where + "no tensor \"" + name + "\", expected images, labels and, optionally, split"; });
  return state.at(name);
}

std::vector<std::size_t> held_out_rows(const StateDict& state, std::int64_t count, const std::string& where) {
  std::vector<std::int64_t> split(static_cast<std::size_t>(count), 1);
  if (state.contains("split")) split = whole_numbers(state.at("split"), where + "split", count);
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < split.size(); ++i) {
    if (split[i] != 0) rows.push_back(i);
  }
  require(!rows.empty(), [&] { return where + "split holds out no image"; });
  return rows;
}

}  // namespace

std::filesystem::path data_file(const std::string& name) {
  std::vector<std::filesystem::path> places;
  if (const char* const chosen = std::getenv("SPARSERT_DATA"); chosen != nullptr && *chosen != '\0') {
    places.emplace_back(chosen);
  } else {
    std::error_code unknown;
    const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", unknown);
    constexpr int kLevels = 4;  // prefix/bin, or source/build/preset/tools
    std::filesystem::path folder = program.parent_path();
    for (int level = 0; level < kLevels && !folder.empty(); ++level, folder = folder.parent_path()) {
      places.push_back(folder / "share" / "sparsert");
      places.push_back(folder / "data");
    }
  }
  std::string tried;
  for (const std::filesystem::path& place : places) {
    std::error_code missing;
    if (std::filesystem::is_regular_file(place / name, missing)) return place / name;
    tried += (tried.empty() ? "" : ", ") + place.string();
  }
  throw FileError("sweep: " + name + " is in none of: " + tried + " (SPARSERT_DATA names another folder)");
}

Network load_network(const std::filesystem::path& path) {
  const StateDict state = load(path);
  const std::string where = "sweep: " + file_of(path) + ": ";
  Network network{file_of(path), {}};
  for (const auto& entry : state.entries()) {
    const std::string& name = entry.first;
    if (name.ends_with(kWeight)) {
      network.layers.push_back(make_layer(state, name, where));
      continue;
    }
    const bool of_a_layer =
        name.ends_with(kBias) && state.contains(name.substr(0, name.size() - kBias.size()) + std::string(kWeight));
    require(of_a_layer,
            [&] { return where + "got a tensor \"" + name + "\", expected *.weight and *.bias of an MLP"; });
  }
  require(!network.layers.empty(), [&] { return where + "no tensor *.weight, expected the layers of an MLP"; });
  order_layers(network.layers);
  check_chain(network.layers, where);
  return network;
}

HeldOut load_held_out(const std::filesystem::path& path, const Network& network) {
  const StateDict state = load(path);
  const std::string where = "sweep: " + file_of(path) + ": ";
  const Tensor& raw = member(state, "images", where);
  require(raw.rank() >= 2,
          [&] { return where + "images has shape " + to_string(raw.shape()) + ", expected (n, features)"; });
  const std::int64_t count = raw.size(0);
  require(count > 0 && raw.numel() == count * network.features(), [&] {
    return where + "images has shape " + to_string(raw.shape()) + ", expected " + std::to_string(network.features()) +
           " values for each image, as " + network.name + " takes";
  });
  const Tensor images = as_float(where + "images", raw);
  const auto labels = whole_numbers(member(state, "labels", where), where + "labels", count);
  const auto pixels = images.span<float>();
  const auto width = static_cast<std::size_t>(network.features());
  std::vector<float> chosen;
  HeldOut held_out;
  for (const std::size_t row : held_out_rows(state, count, where)) {
    require(labels[row] >= 0 && labels[row] < network.classes(), [&] {
      return where + "labels[" + std::to_string(row) + "] is " + std::to_string(labels[row]) + ", expected 0 to " +
             std::to_string(network.classes() - 1);
    });
    const auto first = pixels.begin() + static_cast<std::ptrdiff_t>(row * width);
    chosen.insert(chosen.end(), first, first + static_cast<std::ptrdiff_t>(width));
    held_out.labels.push_back(labels[row]);
  }
  held_out.images = Tensor::from(chosen, {static_cast<std::int64_t>(held_out.labels.size()), network.features()});
  return held_out;
}

}  // namespace sparsert::tools::sweep
