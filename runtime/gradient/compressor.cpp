// runtime/gradient/compressor.cpp — which entries of a gradient are sent, and what is kept of the others.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "kernels/contract/random.hpp"
#include "kernels/dispatch.hpp"
#include "runtime/ops/check.hpp"
#include "runtime/ops/gradient.hpp"
#include "runtime/ops/memory.hpp"
#include "sparsert/gradient.hpp"
#include "sparsert/ops.hpp"
#include "sparsert/prune.hpp"

namespace sparsert::gradient {
namespace {

constexpr const char* kOp = "gradient";

DType sum_dtype(DType gradient) { return gradient == DType::float64 ? DType::float64 : DType::float32; }

/// Ascending indices of all magnitudes above a limit.
std::vector<std::int64_t> above(const Tensor& flat, double limit) {
  const Csr csr = to_csr(prune::hard_threshold(flat, limit).reshape({1, flat.numel()}), DType::int64);
  const Tensor columns = csr.columns().device().is_host() ? csr.columns() : csr.columns().cpu();
  const auto span = columns.span<std::int64_t>();
  return {span.begin(), span.end()};
}

/// The limit that entries of at least `magnitude` are above.
double just_below(double magnitude, DType dtype) {
  if (magnitude == 0) return 0;
  return dtype == DType::float64 ? std::nextafter(magnitude, 0.0)
                                 : static_cast<double>(std::nextafter(static_cast<float>(magnitude), 0.0f));
}

/// The least magnitude of the entries at some indices.
double least_magnitude(const Tensor& flat, const Tensor& indices) {
  const Tensor values = cast(prune::take(flat, indices), DType::float64).cpu();
  double least = std::numeric_limits<double>::infinity();
  for (const double value : values.span<double>()) least = std::min(least, std::abs(value));
  return least;
}

/// k distinct indices below n, ascending: Floyd's sampling with a counter-based generator.
std::vector<std::int64_t> drawn(std::int64_t n, std::int64_t k, std::uint64_t seed, std::uint64_t stream) {
  std::set<std::int64_t> chosen;
  for (std::int64_t j = n - k; j < n; ++j) {
    const backend::Philox random(static_cast<std::uint64_t>(j), stream, seed);
    const std::uint64_t wide = std::uint64_t{random.word[0]} << 32 | random.word[1];
    const auto i = static_cast<std::int64_t>(wide % static_cast<std::uint64_t>(j + 1));
    chosen.insert(chosen.contains(i) ? j : i);
  }
  return {chosen.begin(), chosen.end()};
}

/// The k largest of all tensors together: ties to the earlier tensor, then to the lower index.
std::vector<std::vector<std::int64_t>> largest_of_all(const std::vector<Tensor>& flats, std::int64_t k) {
  struct Candidate {
    double magnitude;
    std::size_t tensor;
    std::int64_t index;
  };
  std::vector<Candidate> all;
  for (std::size_t t = 0; t < flats.size(); ++t) {
    const Topk top = topk(flats[t], std::min(k, flats[t].numel()));
    const Tensor values = cast(top.values, DType::float64).cpu();
    const Tensor indices = top.indices.cpu();
    for (std::size_t j = 0; j < values.span<double>().size(); ++j) {
      all.push_back({std::abs(values.span<double>()[j]), t, indices.span<std::int64_t>()[j]});
    }
  }
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    if (a.magnitude != b.magnitude) return a.magnitude > b.magnitude;
    return a.tensor != b.tensor ? a.tensor < b.tensor : a.index < b.index;
  });
  std::vector<std::vector<std::int64_t>> chosen(flats.size());
  for (std::size_t j = 0; j < std::min(all.size(), static_cast<std::size_t>(k)); ++j) {
    chosen[all[j].tensor].push_back(all[j].index);
  }
  for (auto& indices : chosen) std::sort(indices.begin(), indices.end());
  return chosen;
}

void check_share(const char* name, double share) {
  require(share > 0 && share <= 1, [&] {
    return std::string(kOp) + ": " + name + " is " + std::to_string(share) + ", expected above 0 and at most 1";
  });
}

/// The index part of a stream's name, so that each tensor draws numbers of its own.
std::uint64_t hash_of(const std::string& name) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace

Compressor::Compressor(const CompressorOptions& options) : options_(options) {
  check_share("ratio", options.ratio);
  check_share("warmup_ratio", options.warmup_ratio);
  require(!options.k || *options.k >= 0,
          [&] { return std::string(kOp) + ": k is " + std::to_string(*options.k) + ", expected at least 0"; });
  require(options.threshold >= 0 && std::isfinite(options.threshold), [&] {
    return std::string(kOp) + ": threshold is " + std::to_string(options.threshold) + ", expected at least 0";
  });
  require(options.momentum >= 0 && options.momentum < 1, [&] {
    return std::string(kOp) + ": momentum is " + std::to_string(options.momentum) + ", expected 0 to below 1";
  });
  require(options.scope == Scope::tensor || options.selection == Selection::topk,
          [] { return std::string(kOp) + ": scope global takes the largest, expected selection topk"; });
  require(options.carry_steps >= 1, [&] {
    return std::string(kOp) + ": carry_steps is " + std::to_string(options.carry_steps) + ", expected at least 1";
  });
  require(options.carry_steps == 1 || (options.selection == Selection::topk && options.scope == Scope::tensor),
          [] { return std::string(kOp) + ": carry_steps is above 1, expected selection topk and scope tensor"; });
  require(options.warmup_steps >= 0, [&] {
    return std::string(kOp) + ": warmup_steps is " + std::to_string(options.warmup_steps) + ", expected at least 0";
  });
  require(options.wire == DType::float32 || options.wire == DType::float16 || options.wire == DType::bfloat16, [&] {
    return std::string(kOp) + ": wire is " + std::string(to_string(options.wire)) +
           ", expected float32, float16 or bfloat16";
  });
}

double Compressor::ratio_at(std::int64_t step) const {
  if (step >= options_.warmup_steps) return options_.ratio;
  const double t = static_cast<double>(step) / static_cast<double>(options_.warmup_steps);
  return options_.warmup_ratio * std::pow(options_.ratio / options_.warmup_ratio, t);
}

Compressor::Memory& Compressor::memory_of(const std::string& name, const Tensor& gradient) {
  const DType sums = sum_dtype(gradient.dtype());
  const auto known = memory_.find(name);
  if (known != memory_.end()) {
    Memory& memory = known->second;
    check_shape(kOp, name.c_str(), gradient, memory.residual.shape());
    require(memory.residual.dtype() == sums, [&] {
      return std::string(kOp) + ": " + name + " is " + std::string(to_string(gradient.dtype())) +
             ", expected a gradient whose sums are " + std::string(to_string(memory.residual.dtype()));
    });
    check_device(kOp, name.c_str(), gradient.device(), memory.residual.device());
    return memory;
  }
  require(!loaded_, [&] { return std::string(kOp) + ": " + name + " is not in the state that was loaded"; });
  Memory memory{Tensor::zeros(gradient.shape(), sums, gradient.device()), {}, {}};
  if (options_.momentum > 0) memory.velocity = Tensor::zeros(gradient.shape(), sums, gradient.device());
  return memory_.emplace(name, std::move(memory)).first->second;
}

/// How many entries of n are asked for.
std::int64_t Compressor::wanted(std::int64_t n) const {
  const double share = ratio_at(step_) * static_cast<double>(n);
  return std::min(options_.k ? *options_.k : std::max<std::int64_t>(1, std::llround(share)), n);
}

/// Indices of all that reach the limit that is carried.
Tensor Compressor::reaching_limit(Memory& memory) const {
  const Tensor flat = memory.residual.reshape({memory.residual.numel()});
  const std::vector<std::int64_t> indices = above(flat, *memory.limit);
  return Tensor::from(indices, {static_cast<std::int64_t>(indices.size())}, flat.device());
}

/// Indices to send of each tensor, on its device, where they were not found while accumulating.
std::vector<Tensor> Compressor::select(const NamedTensors& gradients, std::int64_t k) const {
  std::vector<Tensor> flats;
  for (const auto& [name, gradient] : gradients) {
    const Tensor& residual = memory_.at(name).residual;
    flats.push_back(residual.reshape({residual.numel()}));
  }
  std::vector<std::vector<std::int64_t>> chosen;
  if (options_.selection == Selection::topk) {
    chosen = largest_of_all(flats, k);
  } else {
    for (std::size_t t = 0; t < flats.size(); ++t) {
      const auto stream = static_cast<std::uint64_t>(step_) ^ hash_of(gradients[t].first);
      chosen.push_back(options_.selection == Selection::threshold
                           ? above(flats[t], options_.threshold)
                           : drawn(flats[t].numel(), wanted(flats[t].numel()), options_.seed, stream));
    }
  }
  std::vector<Tensor> indices;
  for (std::size_t t = 0; t < flats.size(); ++t) {
    indices.push_back(Tensor::from(chosen[t], {static_cast<std::int64_t>(chosen[t].size())}, flats[t].device()));
  }
  return indices;
}

Packet Compressor::compress(const NamedTensors& gradients) try {
  std::set<std::string> names;
  for (const NamedTensors::value_type& named : gradients) {  // clang 14's lambdas capture no structured bindings
    const std::string& name = named.first;
    const Tensor& gradient = named.second;
    require(names.insert(name).second, [&] { return std::string(kOp) + ": " + name + " is there twice"; });
    if (!is_floating(gradient.dtype())) backend::throw_unsupported_dtype(kOp, gradient.dtype());
    memory_of(name, gradient);  // checks
  }
  const bool together = options_.selection == Selection::topk && options_.scope == Scope::tensor;
  std::int64_t skipped = 0;
  std::int64_t k = 0;
  std::int64_t total = 0;
  std::vector<Tensor> indices;
  for (const auto& [name, gradient] : gradients) {
    Memory& memory = memory_.at(name);
    Tensor* const velocity = options_.momentum > 0 ? &memory.velocity : nullptr;
    total += gradient.numel();
    k += wanted(gradient.numel());
    const bool carried = memory.limit && step_ % options_.carry_steps != 0;
    if (together && carried) {
      skipped += accumulate(gradient, options_.momentum, velocity, memory.residual);
      indices.push_back(reaching_limit(memory));
    } else if (together) {
      Largest largest =
          accumulate_largest(gradient, options_.momentum, velocity, memory.residual, wanted(gradient.numel()));
      skipped += largest.skipped;
      if (options_.carry_steps > 1 && largest.indices.numel() > 0) {
        const Tensor flat = memory.residual.reshape({memory.residual.numel()});
        memory.limit = just_below(least_magnitude(flat, largest.indices), flat.dtype());
      }
      indices.push_back(std::move(largest.indices));
    } else {
      skipped += accumulate(gradient, options_.momentum, velocity, memory.residual);
    }
  }
  skipped_ += skipped;
  sent_.clear();
  require(skipped == 0 || options_.non_finite == NonFinite::skip, [&] {
    return std::string(kOp) + ": " + std::to_string(skipped) +
           " entries are NaN or infinite, expected finite gradients (or NonFinite::skip)";
  });

  if (options_.scope == Scope::global) k = wanted(total);
  if (!together) indices = select(gradients, k);
  std::vector<Section> sections;
  for (std::size_t t = 0; t < gradients.size(); ++t) {
    const auto& [name, gradient] = gradients[t];
    Memory& memory = memory_.at(name);
    Sent sent{name, indices[t], {}};
    Tensor* const velocity = options_.momentum > 0 ? &memory.velocity : nullptr;
    if (velocity != nullptr) {
      sent.velocities = prune::take(velocity->reshape({velocity->numel()}), indices[t]);
    }
    const Tensor values = emit(indices[t], options_.wire, memory.residual, velocity).cpu();
    const Tensor host_indices = indices[t].cpu();
    Section section{name, gradient.shape(), memory.residual.dtype(), {}, {}};
    section.indices.assign(host_indices.span<std::int64_t>().begin(), host_indices.span<std::int64_t>().end());
    section.values.assign(values.span<float>().begin(), values.span<float>().end());
    sections.push_back(std::move(section));
    sent_.push_back(std::move(sent));
    if (!options_.error_feedback) {
      zero_bytes(memory.residual.mutable_data(), static_cast<std::size_t>(memory.residual.nbytes()),
                 Stream(memory.residual.device()));
    }
  }
  return Packet(std::move(sections), options_.wire, k, step_++);
} catch (...) {
  rethrow_named("gradient", {gradients.empty() ? nullptr : &gradients.front().second});
}

void Compressor::restore(const Packet& packet) {
  require(packet.step() + 1 == step_ && packet.sections().size() == sent_.size(), [&] {
    return std::string(kOp) + ": restore takes the packet of the last step, " + std::to_string(step_ - 1) + ", got " +
           std::to_string(packet.step());
  });
  for (std::size_t t = 0; t < sent_.size(); ++t) {
    const Section& section = packet.sections()[t];
    require(
        section.name == sent_[t].name && static_cast<std::int64_t>(section.indices.size()) == sent_[t].indices.numel(),
        [&] { return std::string(kOp) + ": restore got a packet that was not compressed here"; });
  }
  for (std::size_t t = 0; t < sent_.size(); ++t) {
    const Section& section = packet.sections()[t];
    Memory& memory = memory_.at(section.name);
    const auto put_back = [&](Tensor& array, const auto& change) {
      Tensor host = array.device() == cpu_device ? array : array.cpu();
      if (array.dtype() == DType::float64) change(static_cast<double*>(host.mutable_data()));
      else change(static_cast<float*>(host.mutable_data()));
      if (array.device() != cpu_device) array = host.to(array.device());
    };
    put_back(memory.residual, [&](auto* residual) {
      for (std::size_t j = 0; j < section.indices.size(); ++j) residual[section.indices[j]] += section.values[j];
    });
    if (options_.momentum <= 0) continue;
    const Tensor before = sent_[t].velocities.cpu();
    put_back(memory.velocity, [&](auto* velocity) {
      const auto* const from = static_cast<const std::remove_pointer_t<decltype(velocity)>*>(before.data());
      for (std::size_t j = 0; j < section.indices.size(); ++j) velocity[section.indices[j]] = from[j];
    });
  }
  sent_.clear();
}

Compressor::State Compressor::state() const {
  State state;
  for (const auto& [name, memory] : memory_) {
    state.residuals.emplace_back(name, memory.residual.clone());
    if (memory.limit) state.limits.emplace_back(name, *memory.limit);
    if (options_.momentum > 0) state.velocities.emplace_back(name, memory.velocity.clone());
  }
  state.step = step_;
  return state;
}

void Compressor::load_state(const State& state) {
  const bool with_velocity = options_.momentum > 0;
  require(state.velocities.size() == (with_velocity ? state.residuals.size() : 0), [&] {
    return std::string(kOp) + ": the state has " + std::to_string(state.velocities.size()) + " velocities, expected " +
           (with_velocity ? "one for each residual" : "none without momentum");
  });
  require(state.step >= 0,
          [&] { return std::string(kOp) + ": step is " + std::to_string(state.step) + ", expected at least 0"; });
  std::map<std::string, Memory> memory;
  for (std::size_t t = 0; t < state.residuals.size(); ++t) {
    const std::string& name = state.residuals[t].first;
    const Tensor& residual = state.residuals[t].second;
    require(residual.dtype() == DType::float32 || residual.dtype() == DType::float64, [&] {
      return std::string(kOp) + ": the residual of " + name + " is " + std::string(to_string(residual.dtype())) +
             ", expected float32 or float64";
    });
    Memory entry{residual.clone(), {}, {}};
    if (with_velocity) {
      const std::string& velocity_name = state.velocities[t].first;
      const Tensor& velocity = state.velocities[t].second;
      require(velocity_name == name && velocity.shape() == residual.shape() && velocity.dtype() == residual.dtype() &&
                  velocity.device() == residual.device(),
              [&] { return std::string(kOp) + ": the velocity of " + velocity_name + " does not match its residual"; });
      entry.velocity = velocity.clone();
    }
    require(memory.emplace(name, std::move(entry)).second,
            [&] { return std::string(kOp) + ": " + name + " is in the state twice"; });
  }
  for (const auto& limited : state.limits) {
    const auto entry = memory.find(limited.first);
    require(entry != memory.end() && limited.second >= 0,
            [&] { return std::string(kOp) + ": the limit of " + limited.first + " has no residual or is negative"; });
    entry->second.limit = limited.second;
  }
  if (!memory_.empty()) {
    for (const auto& loaded : memory) {
      const std::string& name = loaded.first;
      const Memory& entry = loaded.second;
      const auto known = memory_.find(name);
      require(known != memory_.end(),
              [&] { return std::string(kOp) + ": the state has " + name + ", which is unknown"; });
      const Tensor& mine = known->second.residual;
      require(mine.shape() == entry.residual.shape() && mine.dtype() == entry.residual.dtype(), [&] {
        return std::string(kOp) + ": the state's " + name + " is " + std::string(to_string(entry.residual.dtype())) +
               " " + to_string(entry.residual.shape()) + ", expected " + std::string(to_string(mine.dtype())) + " " +
               to_string(mine.shape());
      });
    }
    for (const auto& known : memory_) {
      const std::string& name = known.first;
      require(memory.contains(name), [&] { return std::string(kOp) + ": the state has no " + name; });
    }
    for (auto& [name, entry] : memory) {
      const Device device = memory_.at(name).residual.device();
      entry = {entry.residual.to(device), entry.velocity.to(device), entry.limit};
    }
  }
  memory_ = std::move(memory);
  sent_.clear();
  loaded_ = true;
  step_ = state.step;
}

}  // namespace sparsert::gradient
