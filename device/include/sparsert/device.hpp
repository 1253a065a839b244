// sparsert/device.hpp — which devices there are, what CUDA says of itself, and why it is unusable when it is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sparsert {

/// Where memory lives and operations run.
///
/// `cpu` is the product's CPU backend, `cuda` a CUDA GPU. `reference` (slow, obvious, serial) and
/// `simt` (the CUDA kernels executed on the CPU under a checker) are for proofs; both use host memory.
struct Device {
  enum class Type : std::uint8_t { cpu, cuda, reference, simt };

  Type type = Type::cpu;
  int index = 0;  ///< CUDA device id; 0 for the others

  /// Parses "cpu", "reference", "simt", "cuda" or "cuda:1". Throws `Error{invalid_argument}`.
  static Device parse(std::string_view name);

  /// True where the CPU can read the memory directly: everything but `cuda`.
  constexpr bool is_host() const noexcept { return type != Type::cuda; }

  friend constexpr bool operator==(const Device&, const Device&) = default;
};

inline constexpr Device cpu_device{Device::Type::cpu, 0};

/// "cpu", "cuda", "reference" or "simt".
const char* to_string(Device::Type type) noexcept;

/// "cpu", "reference", "simt" or "cuda:0".
std::string to_string(const Device& device);

/// The usable devices: cpu, reference, simt when built in, and every usable CUDA device.
std::vector<Device> devices();

/// A device, and why it is the default.
struct DefaultDevice {
  Device device;
  std::string reason;  ///< e.g. "cpu: no CUDA driver is installed"
};

/// The first CUDA device if one is usable, else the CPU; chosen once, with its reason.
const DefaultDevice& default_device();

/// Throws `DeviceUnavailable`, with the reason, unless `device` can be used here.
void require_usable(const Device& device);

/// Hand-written kernels that this process has launched on `cuda` or `simt` devices; 0 for the others, which have none.
std::int64_t kernel_launches(const Device& device) noexcept;

/// Threads the CPU backend uses from now on, in this process; 0 means all that the machine has.
void set_num_threads(int threads);
int num_threads() noexcept;

/// The CPU the process runs on.
struct CpuInfo {
  std::string name;
  int threads = 1;   ///< hardware threads this process may use
  std::string simd;  ///< the kernels' instruction set in use, e.g. "AVX2", "AVX3", "scalar"
};
CpuInfo cpu_info();

/// A vendor's library that is opened at run time, never linked. `order=fast` uses it; without it the library's own
/// kernels serve.
struct Library {
  std::string name;  ///< "cusparse", "cublas" or "blas"
  bool found = false;
  std::string version;  ///< as the library reports it, e.g. "12.6.3" or "OpenBLAS 0.3.21"; empty when not found
};

/// The CPU's BLAS: the file that SPARSERT_BLAS names ("none": no library), else OpenBLAS, BLIS or MKL, whichever the
/// loader finds first.
Library cpu_blas();

/// Queries of the CUDA device layer. None of them throws where CUDA is merely absent.
namespace cuda {

/// Why CUDA cannot be used. `none` means it can.
enum class Reason : std::uint8_t { none, not_built, no_driver, driver_too_old, no_device, error };

const char* to_string(Reason reason) noexcept;

/// What one GPU says of itself.
struct DeviceProperties {
  int id = 0;
  std::string name;
  int compute_capability_major = 0;
  int compute_capability_minor = 0;
  std::int64_t memory_total = 0;  ///< bytes
  std::int64_t memory_free = 0;   ///< bytes, at the time of the call
  int multiprocessors = 0;
};

/// The result of the one probe a process makes.
struct Status {
  bool built = false;      ///< compiled with a CUDA toolkit
  bool available = false;  ///< at least one device can be used
  Reason reason = Reason::not_built;
  std::string detail;       ///< the reason in a sentence; empty when available
  int runtime_version = 0;  ///< of the toolkit compiled in, as CUDA writes it (13000 is 13.0); 0 when not built
  int driver_version = 0;   ///< highest CUDA version of the driver; 0 without a driver
  int device_count = 0;
};

/// Probed once, lazily; never throws.
const Status& status() noexcept;

inline bool is_available() noexcept { return status().available; }
inline int device_count() noexcept { return status().device_count; }

/// The current device of the calling thread. Throws `DeviceUnavailable` without CUDA.
int current_device();

/// Makes `id` current for the calling thread. Throws `DeviceUnavailable`, or `Error{invalid_argument}` for a bad id.
void set_device(int id);

/// Throws `DeviceUnavailable` without CUDA, `Error{invalid_argument}` for a bad id.
DeviceProperties device_properties(int id);

/// Waits for all work on the current device. Throws `DeviceUnavailable` without CUDA.
void synchronize();

/// Looks for cuSPARSE and cuBLAS the first time it is called, which loads them. Where CUDA is not usable it does not
/// look.
const std::vector<Library>& libraries();

}  // namespace cuda
}  // namespace sparsert
