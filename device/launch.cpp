// device/launch.cpp — which launches a CUDA device can make at all.
#include "device/launch.hpp"

#include <limits>
#include <string>

#include "sparsert/error.hpp"

namespace sparsert::backend {
namespace {

bool is_within(const Extent& e, std::int64_t x, std::int64_t y, std::int64_t z) {
  return e.x >= 0 && e.y >= 0 && e.z >= 0 && e.x <= x && e.y <= y && e.z <= z;
}

std::string to_string(const Extent& e) {
  std::string text = "(";
  text.append(std::to_string(e.x)).append(", ").append(std::to_string(e.y)).append(", ").append(std::to_string(e.z));
  return text.append(")");
}

}  // namespace

bool is_empty_launch(const LaunchConfig& config) {
  const Extent& grid = config.grid;
  const Extent& block = config.block;
  require(is_within(grid, std::numeric_limits<std::int32_t>::max(), 65535, 65535),
          [&] { return "launch: grid is " + to_string(grid) + ", expected at most (2147483647, 65535, 65535)"; });
  const std::int64_t threads = is_within(block, 1024, 1024, 64) ? block.x * block.y * block.z : 0;
  require(threads > 0 && threads <= 1024, [&] {
    return "launch: block is " + to_string(block) + ", expected 1 to 1024 threads, at most (1024, 1024, 64)";
  });
  return grid.x == 0 || grid.y == 0 || grid.z == 0;
}

}  // namespace sparsert::backend
