// runtime/sparsity/schedule.cpp — amounts over time, and layer by layer.
#include "sparsert/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "sparsert/files.hpp"

namespace sparsert::prune {
namespace {

void check_amount(const std::string& op, double amount) {
  require(amount >= 0 && amount <= 1,
          [&] { return op + ": amount is " + std::to_string(amount) + ", expected 0 to 1"; });
}

/// How far a step is between begin and end.
double progress(const char* op, std::int64_t step, std::int64_t begin, std::int64_t end, double initial, double last) {
  check_amount(op, initial);
  check_amount(op, last);
  require(begin <= end, [&] {
    return std::string(op) + ": end is " + std::to_string(end) + ", expected at least begin, " + std::to_string(begin);
  });
  if (step >= end) return 1;
  if (step <= begin) return 0;
  return static_cast<double>(step - begin) / static_cast<double>(end - begin);
}

std::string text_of(double x) {
  std::string text = std::to_string(x);
  text.erase(text.find_last_not_of('0') + 1);
  return text.back() == '.' ? text + '0' : text;
}

std::string span_text(const char* name, std::int64_t begin, std::int64_t end, double initial, double last) {
  return std::string(name) + "(begin=" + std::to_string(begin) + ", end=" + std::to_string(end) +
         ", initial=" + text_of(initial) + ", last=" + text_of(last) + ")";
}

bool is_kept_dense(const std::string& name, const std::vector<std::string>& globs) {
  return std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) { return glob_match(glob, name); });
}

double size_of_layer(const Layer& layer) { return static_cast<double>(element_count(layer.shape)); }

double total_size(const std::vector<Layer>& layers) {
  double total = 0;
  for (const Layer& layer : layers) total += size_of_layer(layer);
  return total;
}

/// Shares the entries that stay out by weight: the density of a layer is weight · scale, no more than 1.
Budget share_out(const char* op, const std::vector<Layer>& layers, double amount, std::vector<double> weights) {
  check_amount(op, amount);
  const double wanted = (1 - amount) * total_size(layers);
  std::vector<bool> full(layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) full[i] = std::isinf(weights[i]);
  double scale = 0;
  for (bool changed = true; changed;) {
    double left = wanted;
    double weight = 0;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (full[i]) left -= size_of_layer(layers[i]);
      else weight += weights[i] * size_of_layer(layers[i]);
    }
    require(left >= -0.5, [&] {
      return std::string(op) + ": amount " + std::to_string(amount) +
             " removes more than there is in the layers that "
             "are not kept dense";
    });
    scale = weight > 0 ? std::max(0.0, left) / weight : 0;
    changed = false;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (full[i] || weights[i] * scale <= 1) continue;
      full[i] = changed = true;
    }
  }
  Budget budget;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    budget.emplace_back(layers[i].name, full[i] ? 0.0 : 1 - weights[i] * scale);
  }
  return budget;
}

/// The largest amount at which the loss has risen by no more than `rise`.
double amount_at(const Sensitivity& scan, double rise) {
  const double limit = scan.loss.front().second + rise;
  double amount = scan.loss.front().first;
  for (std::size_t i = 1; i < scan.loss.size(); ++i) {
    const auto& [before, loss_before] = scan.loss[i - 1];
    const auto& [after, loss_after] = scan.loss[i];
    if (loss_after <= limit) {
      amount = after;
    } else {
      return std::max(amount, loss_before >= limit
                                  ? amount
                                  : before + (after - before) * (limit - loss_before) / (loss_after - loss_before));
    }
  }
  return amount;
}

}  // namespace

namespace schedule {

double one_shot(std::int64_t step, std::int64_t begin, double amount) {
  check_amount("schedule::one_shot", amount);
  return step < begin ? 0 : amount;
}

double stepwise(std::int64_t step, const std::vector<std::pair<std::int64_t, double>>& points) {
  double amount = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    check_amount("schedule::stepwise", points[i].second);
    require(i == 0 || points[i - 1].first < points[i].first,
            [&] { return "schedule::stepwise: point " + std::to_string(i) + " is not after the one before"; });
    if (step >= points[i].first) amount = points[i].second;
  }
  return amount;
}

double linear(std::int64_t step, std::int64_t begin, std::int64_t end, double initial, double last) {
  const double t = progress("schedule::linear", step, begin, end, initial, last);
  return t == 1 ? last : initial + (last - initial) * t;
}

double cubic(std::int64_t step, std::int64_t begin, std::int64_t end, double initial, double last) {
  const double rest = 1 - progress("schedule::cubic", step, begin, end, initial, last);
  return rest == 1 ? initial : last + (initial - last) * (rest * rest * rest);
}

double cosine(std::int64_t step, std::int64_t begin, std::int64_t end, double initial, double last) {
  const double t = progress("schedule::cosine", step, begin, end, initial, last);
  if (t == 0) return initial;
  return t == 1 ? last : last + (initial - last) * ((1 + std::cos(std::numbers::pi * t)) / 2);
}

}  // namespace schedule

Schedule::Schedule(std::string description, std::function<double(std::int64_t)> amount)
    : description_(std::move(description)), amount_(std::move(amount)) {
  require(static_cast<bool>(amount_), [] { return std::string("schedule: the function is empty"); });
}

Schedule Schedule::one_shot(std::int64_t begin, double amount) {
  return {"one_shot(begin=" + std::to_string(begin) + ", amount=" + text_of(amount) + ")",
          [=](std::int64_t step) { return schedule::one_shot(step, begin, amount); }};
}

Schedule Schedule::stepwise(std::vector<std::pair<std::int64_t, double>> points) {
  std::string text = "stepwise(";
  for (const auto& [step, amount] : points) {
    text += (text.back() == '(' ? "" : ", ") + std::to_string(step) + ": " + text_of(amount);
  }
  return {text + ")", [points = std::move(points)](std::int64_t step) { return schedule::stepwise(step, points); }};
}

Schedule Schedule::linear(std::int64_t begin, std::int64_t end, double initial, double last) {
  return {span_text("linear", begin, end, initial, last),
          [=](std::int64_t step) { return schedule::linear(step, begin, end, initial, last); }};
}

Schedule Schedule::cubic(std::int64_t begin, std::int64_t end, double initial, double last) {
  return {span_text("cubic", begin, end, initial, last),
          [=](std::int64_t step) { return schedule::cubic(step, begin, end, initial, last); }};
}

Schedule Schedule::cosine(std::int64_t begin, std::int64_t end, double initial, double last) {
  return {span_text("cosine", begin, end, initial, last),
          [=](std::int64_t step) { return schedule::cosine(step, begin, end, initial, last); }};
}

double Schedule::amount() const {
  const double amount = amount_(step_);
  check_amount("schedule " + description_ + " at step " + std::to_string(step_), amount);
  return amount;
}

double Schedule::advance() {
  const double now = amount();
  ++step_;
  return now;
}

void Schedule::load_state(const State& state) {
  require(state.schedule == description_,
          [&] { return "schedule: got the state of " + state.schedule + ", expected that of " + description_; });
  require(state.step >= 0, [&] { return "schedule: step is " + std::to_string(state.step) + ", expected at least 0"; });
  step_ = state.step;
}

Budget uniform_budget(const std::vector<Layer>& layers, double amount, const std::vector<std::string>& keep_dense) {
  std::vector<double> weights;
  for (const Layer& layer : layers) weights.push_back(is_kept_dense(layer.name, keep_dense) ? INFINITY : 1.0);
  return share_out("uniform_budget", layers, amount, std::move(weights));
}

Budget erk_budget(const std::vector<Layer>& layers, double amount, const std::vector<std::string>& keep_dense) {
  std::vector<double> weights;
  for (const Layer& layer : layers) {
    double sum = 0;
    for (const std::int64_t size : layer.shape) sum += static_cast<double>(size);
    const double size = size_of_layer(layer);
    const double weight = size == 0 ? 1.0 : sum / size;
    weights.push_back(is_kept_dense(layer.name, keep_dense) ? INFINITY : weight);
  }
  return share_out("erk_budget", layers, amount, std::move(weights));
}

Budget sensitivity_budget(const std::vector<Sensitivity>& scan, double amount) {
  constexpr const char* kOp = "sensitivity_budget";
  check_amount(kOp, amount);
  double total = 0;
  double highest = 0;
  double reachable = 0;
  for (const Sensitivity& layer : scan) {
    require(!layer.loss.empty() && layer.loss.front().first == 0 &&
                std::is_sorted(layer.loss.begin(), layer.loss.end(),
                               [](const auto& a, const auto& b) { return a.first < b.first; }),
            [&] { return std::string(kOp) + ": the amounts of " + layer.layer.name + " do not ascend from 0"; });
    for (const auto& [at, loss] : layer.loss) {
      check_amount(kOp, at);
      require(std::isfinite(loss),
              [&] { return std::string(kOp) + ": a loss of " + layer.layer.name + " is not finite"; });
      highest = std::max(highest, loss - layer.loss.front().second);
    }
    total += size_of_layer(layer.layer);
    reachable += size_of_layer(layer.layer) * layer.loss.back().first;
  }
  const double wanted = amount * total;
  require(wanted <= reachable * (1 + 1e-12), [&] {
    return std::string(kOp) + ": amount is " + std::to_string(amount) + ", expected no more than the scan covers, " +
           std::to_string(total == 0 ? 0 : reachable / total);
  });
  const auto removed = [&](double rise) {
    double sum = 0;
    for (const Sensitivity& layer : scan) sum += size_of_layer(layer.layer) * amount_at(layer, rise);
    return sum;
  };
  double low = 0;
  double high = highest;
  for (int i = 0; i < 100 && low < high; ++i) {
    const double middle = low + (high - low) / 2;
    (removed(middle) < wanted ? low : high) = middle;
  }
  // A flat curve jumps: what is too much is taken back evenly.
  const double got = removed(high);
  const double back = got > wanted && got > 0 ? wanted / got : 1;
  Budget budget;
  for (const Sensitivity& layer : scan) budget.emplace_back(layer.layer.name, amount_at(layer, high) * back);
  return budget;
}

}  // namespace sparsert::prune
