// sparsert/schedule.hpp — how much to prune: over time, and layer by layer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "sparsert/tensor.hpp"

namespace sparsert::prune {

/// The amount at a step. All throw `Error{invalid_argument}` for amounts outside [0, 1] or an end before the begin.
namespace schedule {

/// 0 before `begin`, then `amount`.
double one_shot(std::int64_t step, std::int64_t begin, double amount);

/// From each step of `points` (ascending) on, its amount: {{0, 0.3}, {100, 0.5}, {200, 0.7}}. 0 before the first.
double stepwise(std::int64_t step, const std::vector<std::pair<std::int64_t, double>>& points);

/// `initial` up to `begin`, `last` from `end` on; in between with t = (step − begin) / (end − begin):
/// linear: initial + (last − initial) · t.
double linear(std::int64_t step, std::int64_t begin, std::int64_t end, double initial, double last);
/// last + (initial − last) · (1 − t)³: fast at first, while there is much to remove (Zhu and Gupta 2017).
double cubic(std::int64_t step, std::int64_t begin, std::int64_t end, double initial, double last);
/// last + (initial − last) · (1 + cos(π t)) / 2.
double cosine(std::int64_t step, std::int64_t begin, std::int64_t end, double initial, double last);

}  // namespace schedule

/// A schedule and where it has come to, which can be saved and loaded.
class Schedule {
 public:
  /// Any function of the step; `description` tells schedules apart when a state is loaded.
  Schedule(std::string description, std::function<double(std::int64_t)> amount);

  static Schedule one_shot(std::int64_t begin, double amount);
  static Schedule stepwise(std::vector<std::pair<std::int64_t, double>> points);
  static Schedule linear(std::int64_t begin, std::int64_t end, double initial, double last);
  static Schedule cubic(std::int64_t begin, std::int64_t end, double initial, double last);
  static Schedule cosine(std::int64_t begin, std::int64_t end, double initial, double last);

  /// The amount at the current step. Throws `Error{invalid_argument}` where a function gives none in [0, 1].
  double amount() const;
  /// The same, and goes on to the next step.
  double advance();

  struct State {
    std::string schedule;
    std::int64_t step = 0;
  };
  State state() const { return {description_, step_}; }
  /// Throws `Error{invalid_argument}` for the state of another schedule.
  void load_state(const State& state);

 private:
  std::string description_;
  std::function<double(std::int64_t)> amount_;
  std::int64_t step_ = 0;
};

/// How an amount over all layers is shared out: names and amounts, in the order given.
using Budget = std::vector<std::pair<std::string, double>>;

/// A layer to be budgeted: its weight's name and shape.
struct Layer {
  std::string name;
  Shape shape;
};

/// The same amount for each layer that no glob of `keep_dense` matches: what those keep is taken from the others.
/// Throws `Error{invalid_argument}` where the others are too small for it.
Budget uniform_budget(const std::vector<Layer>& layers, double amount, const std::vector<std::string>& keep_dense = {});

/// Erdős–Rényi kernel: density in proportion to (sum of the sizes) / (their product), no more than 1 (Evci and others
/// 2020). Small layers stay denser.
Budget erk_budget(const std::vector<Layer>& layers, double amount, const std::vector<std::string>& keep_dense = {});

/// What a layer's loss is at some amounts, all else untouched: ascending amounts, the first 0.
struct Sensitivity {
  Layer layer;
  std::vector<std::pair<double, double>> loss;
};

/// Every layer as far as one common rise of the loss allows, read off its curve between the points; the rise is as
/// small as the total amount permits.
Budget sensitivity_budget(const std::vector<Sensitivity>& scan, double amount);

}  // namespace sparsert::prune
