// runtime/files/keras.hpp — what Keras' configurations say of weights, read as data: nothing is made from a class's
// name.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/files/format.hpp"

namespace sparsert::files::keras {

/// Less by text, with runs of digits compared as numbers: "conv2d_2" before "conv2d_10".
bool natural_less(std::string_view a, std::string_view b) noexcept;

/// A layer of a model's configuration.
struct Layer {
  std::string class_name;
  std::string name;
  bool is_nested = false;  ///< in another layer, or in a model within the model
};

/// The layers in their order; none where the configuration is not JSON of this kind.
std::vector<Layer> layers_of(const std::string& config);

/// The class of each layer by its name.
std::map<std::string, std::string, std::less<>> layer_classes(const std::string& config);

/// Under which path Keras 3 saves the weights of each layer of the model itself: "layers/conv2d_1" is the second one
/// of class Conv2D, whatever its name.
std::vector<std::pair<std::string, Layer>> saved_paths(const std::vector<Layer>& layers);

/// The order of the dimensions of a weight, as `TensorInfo::axes` has it; empty where the class of its layer, whose
/// name is a part of its path, does not say so.
std::string_view axes_of(std::string_view path, std::size_t rank,
                         const std::map<std::string, std::string, std::less<>>& classes);

}  // namespace sparsert::files::keras
