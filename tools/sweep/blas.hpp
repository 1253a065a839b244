// tools/sweep/blas.hpp — a BLAS that this machine happens to have, opened at run time: the yardstick of a sweep.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace sparsert::tools::sweep {

/// Single-precision products of OpenBLAS or MKL.
class Blas {
 public:
  /// How long its idle threads may spin and take time from whoever runs next: OpenBLAS's do for 2^26 cycles.
  static constexpr std::chrono::milliseconds kPause{40};

  /// The first of OpenBLAS and MKL that can be opened, set to as many threads as ours; nothing where there is neither.
  static std::optional<Blas> find();

  /// "OpenBLAS 0.3.21" and the like.
  const std::string& name() const noexcept { return name_; }

  /// y = act(x·wᵀ + bias): x (batch, in), w (out, in), y (batch, out), row-major.
  void linear(const float* x, const float* w, const float* bias, bool relu, std::int64_t batch, std::int64_t in,
              std::int64_t out, float* y) const;

 private:
  using Sgemm = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
  Blas(Sgemm sgemm, std::string name);

  Sgemm sgemm_;
  std::string name_;
};

}  // namespace sparsert::tools::sweep
