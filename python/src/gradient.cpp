// python/src/gradient.cpp — compressed gradients, and ranks that exchange them.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <cmath>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "bindings.hpp"

namespace sparsert::python {
namespace {

using gradient::Compressor;
using gradient::NamedTensors;
using gradient::Packet;
using Named = std::vector<std::pair<std::string, ArrayLike>>;
using TensorDict = nb::typed<nb::dict, std::string, Tensor>;

NamedTensors named_of(const char* op, const Named& tensors) {
  NamedTensors named;
  for (const auto& [name, x] : tensors) named.emplace_back(name, as_tensor(op, name.c_str(), x));
  return named;
}

TensorDict dict_of(NamedTensors tensors) {
  nb::dict dict;
  for (auto& [name, tensor] : tensors) dict[nb::cast(name)] = nb::cast(std::move(tensor));
  return TensorDict(dict);
}

template <class Code>
Code choose(const char* what, const std::string& name, const std::vector<std::pair<const char*, Code>>& known) {
  std::string names;
  for (const auto& [known_name, code] : known) {
    if (name == known_name) return code;
    names += std::string(names.empty() ? "" : ", ") + known_name;
  }
  throw Error(ErrorCode::invalid_argument, std::string("gradient: ") + what + " is " + name + ", expected " + names);
}

gradient::CompressorOptions options_of(double ratio, std::optional<std::int64_t> k, const std::string& selection,
                                       double threshold, std::int64_t carry_steps, bool error_feedback, double momentum,
                                       const std::string& scope, const std::string& wire, std::int64_t warmup_steps,
                                       double warmup_ratio, const std::string& non_finite, std::uint64_t seed) {
  using gradient::NonFinite;
  using gradient::Scope;
  using gradient::Selection;
  gradient::CompressorOptions options;
  options.ratio = ratio;
  options.k = k;
  options.selection = choose<Selection>(
      "selection", selection,
      {{"topk", Selection::topk}, {"threshold", Selection::threshold}, {"random", Selection::random}});
  options.threshold = threshold;
  options.carry_steps = carry_steps;
  options.error_feedback = error_feedback;
  options.momentum = momentum;
  options.scope = choose<Scope>("scope", scope, {{"tensor", Scope::tensor}, {"global", Scope::global}});
  options.wire = dtype_from_string(wire);
  options.warmup_steps = warmup_steps;
  options.warmup_ratio = warmup_ratio;
  options.non_finite =
      choose<NonFinite>("non_finite", non_finite, {{"error", NonFinite::error}, {"skip", NonFinite::skip}});
  options.seed = seed;
  return options;
}

nb::bytes bytes_of(const Packet& packet) { return nb::bytes(packet.bytes().data(), packet.bytes().size()); }

void bind_packet(nb::module_& module) {
  nb::class_<Packet>(module, "Packet", "What goes on the wire: the entries of each tensor that are sent.")
      .def(
          "__init__",
          [](Packet* self, const nb::bytes& bytes) {
            const auto* const data = static_cast<const std::byte*>(bytes.data());
            const std::span<const std::byte> span(data, bytes.size());
            unlocked([&] { new (self) Packet(Packet::from_bytes(span)); });
          },
          nb::arg("bytes"), "From a peer's bytes. ValueError that says what is wrong with them, and where.")
      .def("to_bytes", &bytes_of, "What is sent.")
      .def("__bytes__", &bytes_of)
      .def_prop_ro("nbytes", &Packet::nbytes, "Bytes on the wire, header included.")
      .def_prop_ro("entries", &Packet::entries, "Entries sent.")
      .def_prop_ro("numel", &Packet::numel, "Elements of all tensors.")
      .def_prop_ro("density", &Packet::density, "entries / numel.")
      .def_prop_ro("k", &Packet::k, "Entries asked for.")
      .def_prop_ro("step", &Packet::step)
      .def_prop_ro(
          "wire", [](const Packet& packet) { return std::string(to_string(packet.wire())); }, "Type of the values.")
      .def(
          "decompress",
          [](const Packet& packet, const std::optional<std::string>& device) {
            const Device target = as_device(device, cpu_device);
            return dict_of(unlocked([&] { return packet.decompress(target); }));
          },
          nb::arg("device") = nb::none(), "Dense tensors by name: what was sent, zeros elsewhere.")
      .def(
          "__reduce__",
          [](const Packet& packet) { return nb::make_tuple(nb::type<Packet>(), nb::make_tuple(bytes_of(packet))); },
          nb::sig("def __reduce__(self) -> tuple[typing.Any, ...]"))
      .def("__repr__", [](const Packet& packet) {
        return "Packet(entries=" + std::to_string(packet.entries()) + ", numel=" + std::to_string(packet.numel()) +
               ", nbytes=" + std::to_string(packet.nbytes()) + ")";
      });
}

void bind_compressor(nb::module_& module) {
  nb::class_<Compressor>(module, "Compressor", "Behind sparsert.gradient.TopK, Threshold and RandomK.")
      .def(
          "__init__",
          [](Compressor* self, double ratio, std::optional<std::int64_t> k, const std::string& selection,
             double threshold, std::int64_t carry_steps, bool error_feedback, double momentum, const std::string& scope,
             const std::string& wire, std::int64_t warmup_steps, double warmup_ratio, const std::string& non_finite,
             std::uint64_t seed) {
            new (self) Compressor(options_of(ratio, k, selection, threshold, carry_steps, error_feedback, momentum,
                                             scope, wire, warmup_steps, warmup_ratio, non_finite, seed));
          },
          nb::arg("ratio"), nb::arg("k").none(), nb::arg("selection"), nb::arg("threshold"), nb::arg("carry_steps"),
          nb::arg("error_feedback"), nb::arg("momentum"), nb::arg("scope"), nb::arg("wire"), nb::arg("warmup_steps"),
          nb::arg("warmup_ratio"), nb::arg("non_finite"), nb::arg("seed"))
      .def("compress",
           [](Compressor& compressor, const Named& gradients) {
             const NamedTensors named = named_of("gradient", gradients);
             return unlocked([&] { return compressor.compress(named); });
           })
      .def("restore",
           [](Compressor& compressor, const Packet& packet) { unlocked([&] { compressor.restore(packet); }); })
      .def("ratio_at", &Compressor::ratio_at)
      .def_prop_ro("steps", &Compressor::steps)
      .def_prop_ro("skipped", &Compressor::skipped)
      .def("state",
           [](const Compressor& compressor) {
             Compressor::State state = unlocked([&] { return compressor.state(); });
             nb::dict limits;
             for (const auto& [name, limit] : state.limits) limits[nb::cast(name)] = limit;
             return nb::make_tuple(dict_of(std::move(state.residuals)), dict_of(std::move(state.velocities)),
                                   state.step, limits);
           })
      .def("load_state", [](Compressor& compressor, const Named& residuals, const Named& velocities, std::int64_t step,
                            const std::vector<std::pair<std::string, double>>& limits) {
        const Compressor::State state{named_of("residuals", residuals), named_of("velocities", velocities), step,
                                      limits};
        unlocked([&] { compressor.load_state(state); });
      });
}

dist::GroupOptions group_options(double deadline, std::int64_t max_message, const std::string& algorithm) {
  using dist::Algorithm;
  require(deadline > 0 && deadline < 1e6,
          [&] { return "dist: deadline is " + std::to_string(deadline) + " s, expected above 0 and below 1e6"; });
  return {std::chrono::milliseconds(std::max<std::int64_t>(1, std::llround(deadline * 1e3))), max_message,
          choose<Algorithm>(
              "algorithm", algorithm,
              {{"automatic", Algorithm::automatic}, {"packets", Algorithm::packets}, {"ranges", Algorithm::ranges}})};
}

nb::typed<nb::dict, std::string, float> traffic_of(const dist::Group& group) {
  const dist::Traffic& traffic = group.traffic();
  nb::dict dict;
  dict["bytes_sent"] = traffic.bytes_sent;
  dict["bytes_received"] = traffic.bytes_received;
  dict["messages"] = traffic.messages;
  dict["entries"] = traffic.entries;
  dict["union_entries"] = traffic.union_entries;
  dict["numel"] = traffic.numel;
  dict["density"] =
      traffic.numel == 0 ? 0.0 : static_cast<double>(traffic.entries) / static_cast<double>(traffic.numel);
  dict["by_ranges"] = traffic.by_ranges;
  dict["seconds"] = traffic.seconds;
  return nb::typed<nb::dict, std::string, float>(dict);
}

/// All ranks of a loopback group, each with a thread of its own while a collective runs.
class LoopbackGroup {
 public:
  LoopbackGroup(int size, const dist::GroupOptions& options) {
    for (auto& end : dist::loopback(size)) groups_.push_back(std::make_unique<dist::Group>(std::move(end), options));
  }
  LoopbackGroup(const LoopbackGroup&) = delete;
  LoopbackGroup& operator=(const LoopbackGroup&) = delete;

  int size() const { return static_cast<int>(groups_.size()); }
  dist::Group& member(int rank) {
    require(rank >= 0 && rank < size(),
            [&] { return "dist: rank is " + std::to_string(rank) + ", expected 0 to " + std::to_string(size() - 1); });
    return *groups_[static_cast<std::size_t>(rank)];
  }

  NamedTensors allreduce(const std::vector<Packet>& packets) {
    require(packets.size() == groups_.size(), [&] {
      return "dist: allreduce got " + std::to_string(packets.size()) + " packets, expected one for each of " +
             std::to_string(groups_.size()) + " ranks";
    });
    std::vector<NamedTensors> results(groups_.size());
    std::vector<std::exception_ptr> errors(groups_.size());
    std::vector<std::thread> threads;
    for (std::size_t r = 0; r < groups_.size(); ++r) {
      threads.emplace_back([&, r] {
        try {
          results[r] = groups_[r]->allreduce(packets[r]);
        } catch (...) {
          errors[r] = std::current_exception();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& error : errors) {
      if (error) std::rethrow_exception(error);
    }
    return results.front();
  }

 private:
  std::vector<std::unique_ptr<dist::Group>> groups_;
};

void bind_dist(nb::module_& module) {
  nb::class_<dist::Group>(module, "Group", "One rank's side of a group.")
      .def_prop_ro("rank", &dist::Group::rank)
      .def_prop_ro("size", &dist::Group::size)
      .def_prop_ro("poisoned", &dist::Group::poisoned, "True after an error: every later collective is one too.")
      .def_prop_ro("traffic", &traffic_of, "Bytes, messages, entries, density and seconds of the last collective.")
      .def(
          "allreduce",
          [](dist::Group& group, const Packet& packet) {
            return dict_of(unlocked([&] { return group.allreduce(packet); }));
          },
          nb::arg("packet"),
          "The sum of all ranks' packets, dense: entry by entry in ascending rank order, the same bits on every "
          "rank.\n\n"
          "CommError, with `rank` and `phase`, on all ranks where one died, stalled or disagreed.");
  nb::class_<LoopbackGroup>(module, "LoopbackGroup", "All ranks of a group inside this process.")
      .def_prop_ro("size", &LoopbackGroup::size)
      .def("member", &LoopbackGroup::member, nb::arg("rank"), nb::rv_policy::reference_internal,
           "One rank's side, for a thread of its own.")
      .def(
          "allreduce",
          [](LoopbackGroup& group, const std::vector<Packet>& packets) {
            return dict_of(unlocked([&] { return group.allreduce(packets); }));
          },
          nb::arg("packets"), "One packet of each rank, in order; the sum that every rank has. Errors as of `Group`.");
  module.def("dist_loopback", [](int size, double deadline, std::int64_t max_message, const std::string& algorithm) {
    return std::make_unique<LoopbackGroup>(size, group_options(deadline, max_message, algorithm));
  });
  module.def("dist_mpi", [](double deadline, std::int64_t max_message, const std::string& algorithm) {
    return std::make_unique<dist::Group>(dist::mpi(), group_options(deadline, max_message, algorithm));
  });
  module.def("dist_sum",
             [](const std::vector<Packet>& packets) { return dict_of(unlocked([&] { return dist::sum(packets); })); });
}

}  // namespace

void bind_gradient(nb::module_& module) {
  bind_packet(module);
  bind_compressor(module);
  bind_dist(module);
}

}  // namespace sparsert::python
