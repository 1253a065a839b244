// sparsert/gradient.hpp — compressed gradients: the largest entries are sent, the rest is remembered.
//
// For each entry, bit for bit: acc = fl(gradient + residual), or fl(velocity + residual) with momentum; acc is exactly
// what is sent plus the new residual. Nothing is lost, whatever the wire's type.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sparsert/tensor.hpp"

namespace sparsert::gradient {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// One tensor of a packet: the entries that were sent.
struct Section {
  std::string name;
  Shape shape;
  DType dtype = DType::float32;       ///< of sums: float64 for float64 gradients, else float32
  std::vector<std::int64_t> indices;  ///< ascending, in the flattened tensor
  std::vector<float> values;
};

/// How the indices of a section are written; the smallest is taken.
enum class IndexEncoding : std::uint8_t { int32, delta, bitmap };

/// What goes on the wire: docs/gradient.md has the format. Its header is versioned and checked.
class Packet {
 public:
  Packet() = default;

  /// Writes sections; `k` is how many entries were asked for, `step` the compressor's count.
  /// Throws `Error{invalid_argument}` for sections that do not hold together.
  Packet(std::vector<Section> sections, DType wire, std::int64_t k, std::int64_t step);

  /// Reads bytes from a peer. Throws `Error{invalid_argument}` that says what is wrong and where: magic, version,
  /// checksum, lengths, indices out of range or order.
  static Packet from_bytes(std::span<const std::byte> bytes);

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  std::int64_t nbytes() const noexcept { return static_cast<std::int64_t>(bytes_.size()); }  ///< on the wire
  const std::vector<Section>& sections() const noexcept { return sections_; }
  DType wire() const noexcept { return wire_; }
  std::int64_t k() const noexcept { return k_; }
  std::int64_t step() const noexcept { return step_; }
  std::int64_t entries() const noexcept;  ///< sent
  std::int64_t numel() const noexcept;    ///< of all tensors
  double density() const noexcept;        ///< entries / numel; 0 for no elements

  /// Dense tensors: what was sent, zeros elsewhere.
  NamedTensors decompress(const Device& device = cpu_device) const;

 private:
  std::vector<std::byte> bytes_;
  std::vector<Section> sections_;
  DType wire_ = DType::float32;
  std::int64_t k_ = 0;
  std::int64_t step_ = 0;
};

enum class Selection : std::uint8_t {
  topk,       ///< the k largest magnitudes, exactly; ties to the lower index
  threshold,  ///< all magnitudes above a limit
  random,     ///< k entries drawn by (seed, step): the same on every rank
};

enum class Scope : std::uint8_t {
  tensor,  ///< k of each tensor
  global,  ///< k of all tensors of a call together
};

/// What becomes of a NaN or an infinity.
enum class NonFinite : std::uint8_t {
  error,  ///< an error, after the finite entries went into the residual; nothing is sent
  skip,   ///< that entry of the gradient is left out, and counted
};

struct CompressorOptions {
  double ratio = 0.01;                 ///< share of the entries to send, at least one of a tensor that has any
  std::optional<std::int64_t> k = {};  ///< instead of a ratio
  Selection selection = Selection::topk;
  double threshold = 0;  ///< for Selection::threshold
  /// Above 1 an approximation, for topk of each tensor: its k-th magnitude is found every so many steps alone, and in
  /// between all that reach it are sent, more or fewer than k.
  std::int64_t carry_steps = 1;
  bool error_feedback = true;  ///< without it what is not sent is forgotten
  double momentum = 0;         ///< momentum correction: velocity = momentum · velocity + gradient is accumulated
  Scope scope = Scope::tensor;
  DType wire = DType::float32;    ///< float32, float16 or bfloat16
  std::int64_t warmup_steps = 0;  ///< the ratio falls from warmup_ratio to ratio, by the same factor each step
  double warmup_ratio = 0.25;
  NonFinite non_finite = NonFinite::error;
  std::uint64_t seed = 0;  ///< for Selection::random
};

/// Compresses gradients and keeps what was not sent, by tensor name.
class Compressor {
 public:
  /// Throws `Error{invalid_argument}` for options out of range.
  explicit Compressor(const CompressorOptions& options = {});

  /// One step: accumulates, selects, takes out what is sent. With momentum, the velocity of what is sent becomes 0
  /// (momentum factor masking). Throws `Error{invalid_argument}` for a name twice, a shape, dtype or device other than
  /// before, a name that a loaded state lacks, or a NaN or infinity under NonFinite::error.
  Packet compress(const NamedTensors& gradients);

  /// Puts a packet of the last step back, where it could not be delivered: residuals and velocities are as if nothing
  /// had been sent. Throws `Error{invalid_argument}` for another packet.
  void restore(const Packet& packet);

  double ratio_at(std::int64_t step) const;  ///< with the warm-up
  std::int64_t steps() const noexcept { return step_; }
  std::int64_t skipped() const noexcept { return skipped_; }  ///< entries left out because not finite, so far
  const CompressorOptions& options() const noexcept { return options_; }

  /// Everything that a step depends on, by tensor name.
  struct State {
    NamedTensors residuals;
    NamedTensors velocities;
    std::int64_t step = 0;
    std::vector<std::pair<std::string, double>> limits;  ///< magnitudes that are carried; none: found anew
  };
  State state() const;
  /// Takes a state over. Where the compressor has seen tensors, names, shapes and dtypes must be theirs; from then on
  /// no name is new. Throws `Error{invalid_argument}`.
  void load_state(const State& state);

 private:
  struct Memory {
    Tensor residual;
    Tensor velocity;
    std::optional<double> limit;  // the magnitude from which on entries are sent, while it is carried
  };
  struct Sent {
    std::string name;
    Tensor indices;
    Tensor velocities;  // before they were masked
  };

  Memory& memory_of(const std::string& name, const Tensor& gradient);
  std::int64_t wanted(std::int64_t n) const;
  Tensor reaching_limit(Memory& memory) const;
  std::vector<Tensor> select(const NamedTensors& gradients, std::int64_t k) const;

  CompressorOptions options_;
  std::map<std::string, Memory> memory_;
  std::vector<Sent> sent_;
  bool loaded_ = false;
  std::int64_t step_ = 0;
  std::int64_t skipped_ = 0;
};

}  // namespace sparsert::gradient
