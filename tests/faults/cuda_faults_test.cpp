// tests/faults/cuda_faults_test.cpp — every CUDA call of every operation fails once, with each kind of error.
//
// The fake runtime's kernels do nothing, so results are not looked at: what is proven is the typed error that names
// operation and sizes, that nothing leaks, that inputs and `out` stay, and that the next operation works, or the device
// is lost and the CPU goes on. Each scenario runs in a process of its own, each sticky error too.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "tests/fake_cudart/fake_cudart.hpp"
#include "tests/faults/allocations.hpp"
#include "tests/faults/child.hpp"
#include "tests/faults/scenarios.hpp"

namespace sparsert::test {
namespace {

constexpr Device kCuda{Device::Type::cuda, 0};

// What the campaigns are to reach.
constexpr std::int64_t kInjectedCodes = 2000;
constexpr std::int64_t kDeviceAllocations = 1000;
constexpr std::int64_t kHostAllocations = 3000;

constexpr std::array kPassing = {cudaErrorMemoryAllocation, cudaErrorNotSupported, cudaErrorLaunchOutOfResources};
constexpr std::array kSticky = {cudaErrorECCUncorrectable,
                                cudaErrorIllegalAddress,
                                cudaErrorLaunchTimeout,
                                cudaErrorContextIsDestroyed,
                                cudaErrorAssert,
                                cudaErrorHardwareStackError,
                                cudaErrorIllegalInstruction,
                                cudaErrorMisalignedAddress,
                                cudaErrorInvalidAddressSpace,
                                cudaErrorInvalidPc,
                                cudaErrorLaunchFailure,
                                cudaErrorExternalDevice,
                                cudaErrorNvlinkUncorrectable,
                                cudaErrorContained,
                                cudaErrorTensorMemoryLeak,
                                cudaErrorMpsClientTerminated,
                                cudaErrorUnknown};

struct Outcome {
  bool threw = false;
  ErrorCode code = ErrorCode::internal;
  std::string message;
};

/// Runs the operation; `stop` ends the disturbance at once, before anything else is called.
Outcome run(
    const Scenario& scenario, const Prepared& prepared, const std::function<void()>& stop = [] {}) {
  Outcome outcome;
  try {
    prepared.run();
    stop();
  } catch (const Error& error) {
    stop();
    const bool expected = scenario.idle_kernels_fail && error.code() == ErrorCode::invalid_argument;
    outcome = {!expected, error.code(), error.what()};
  }
  prepared.results();
  return outcome;
}

bool is_named(const std::string& message, const std::string& op) {
  return message.starts_with(op + ":") && message.find("operands:") != std::string::npos;
}

std::string first_misuse() {
  const auto all = fake_cudart::misuses();
  return all.empty() ? "" : "misuse of the runtime: " + all.front();
}

/// "" or what is left of an operation that is over.
std::string leftovers(std::size_t blocks, std::size_t events) {
  trim_pool(kCuda);
  if (fake_cudart::live_blocks() != blocks) {
    return std::to_string(fake_cudart::live_blocks()) + " device blocks, expected " + std::to_string(blocks);
  }
  if (fake_cudart::live_events() != events) return "events leaked";
  return first_misuse();
}

/// After a fault that passes: nothing leaked, nothing changed, the next run works.
std::string check_after(const Scenario& scenario, const Prepared& prepared,
                        const std::vector<std::vector<std::byte>>& inputs, std::size_t blocks, bool threw) {
  fake_cudart::stop_failing();
  if (const std::string left = leftovers(blocks, 0); !left.empty()) return left;
  if (threw && contents(prepared.inputs) != inputs) return "an input or out has changed";
  prepared.reset();
  const Outcome next = run(scenario, prepared);
  if (next.threw) return "the next run throws: " + next.message;
  prepared.reset();
  return "";
}

/// Lets the operation's n-th call, device allocation or host allocation fail, for every n. "count" or what is wrong.
std::string fail_each(const Scenario& scenario, const std::function<void(std::int64_t)>& arm,
                      const std::function<void()>& stop, const std::function<bool()>& has_failed,
                      const std::function<bool(ErrorCode)>& is_right) {
  const Prepared prepared = scenario.prepare(kCuda);
  run(scenario, prepared);
  prepared.reset();
  const auto inputs = contents(prepared.inputs);
  trim_pool(kCuda);
  const std::size_t blocks = fake_cudart::live_blocks();
  std::int64_t count = 0;
  for (std::int64_t n = 1;; ++n) {
    trim_pool(kCuda);
    arm(n);
    const Outcome outcome = run(scenario, prepared, stop);
    if (!has_failed()) break;
    ++count;
    const std::string at = " (point " + std::to_string(n) + ")";
    if (outcome.threw && !is_right(outcome.code)) return "a wrong type of error: " + outcome.message + at;
    if (outcome.threw && !is_named(outcome.message, scenario.op)) return "not named: " + outcome.message + at;
    const std::string wrong = check_after(scenario, prepared, inputs, blocks, outcome.threw);
    if (!wrong.empty()) return wrong + at + (outcome.threw ? " after " + outcome.message : "");
    if (n > 10'000) return "no end";
  }
  return "count " + std::to_string(count);
}

/// The number in "count N", or -1 for anything else, which is then a failure of the test.
std::int64_t counted(const std::string& report, const Scenario& scenario) {
  std::istringstream words(report);
  std::string word;
  std::int64_t count = -1;
  if (!(words >> word >> count) || word != "count") {
    ADD_FAILURE() << scenario.name << ": " << report;
    return 0;
  }
  return count;
}

std::int64_t calls_of(const Scenario& scenario) {
  const std::string report = in_child([&] {
    const Prepared prepared = scenario.prepare(kCuda);
    run(scenario, prepared);
    prepared.reset();
    trim_pool(kCuda);
    const std::int64_t before = fake_cudart::calls();
    const Outcome outcome = run(scenario, prepared);
    if (outcome.threw) return "throws without a fault: " + outcome.message;
    return "count " + std::to_string(fake_cudart::calls() - before);
  });
  return counted(report, scenario);
}

/// One sticky error in one call, in this process, which is spoilt by it.
std::string lose_device(const Scenario& scenario, std::int64_t call, cudaError_t error) {
  const Tensor here = equivalence::make_values(equivalence::Values::normal, {100}, DType::float32, 1);
  const auto expected = contents({relu(here)});
  {
    const Prepared prepared = scenario.prepare(kCuda);
    run(scenario, prepared);
    prepared.reset();
    trim_pool(kCuda);
    fake_cudart::fail_call(call, error);
    const Outcome outcome = run(scenario, prepared);
    if (!fake_cudart::has_failed()) return "the call was never made";
    if (outcome.threw && outcome.code != ErrorCode::device_lost) return "a wrong type of error: " + outcome.message;
    if (outcome.threw && !is_named(outcome.message, scenario.op)) return "not named: " + outcome.message;
    try {
      prepared.reset();
    } catch (const DeviceLost&) {
      // what was copied to the device cannot be any more
    }
    const Outcome next = run(scenario, prepared);
    if (!next.threw || next.code != ErrorCode::device_lost) return "the lost device was used: " + next.message;
    if (contents({relu(here)}) != expected) return "the CPU does not go on";
  }
  trim_pool(kCuda);
  if (contents({relu(here)}) != expected) return "the CPU does not go on after the destructors";
  const std::string misuse = first_misuse();
  return misuse.empty() ? "ok" : misuse;
}

TEST(CudaFaults, EveryCallFailsOnce) {
  std::int64_t injected = 0;
  for (const Scenario& scenario : scenarios()) {
    for (const cudaError_t error : kPassing) {
      const auto is_right = [error](ErrorCode code) {
        return code == (error == cudaErrorMemoryAllocation ? ErrorCode::out_of_memory : ErrorCode::internal);
      };
      const std::string report = in_child([&] {
        return fail_each(
            scenario, [error](std::int64_t n) { fake_cudart::fail_call(n, error); }, &fake_cudart::stop_failing,
            &fake_cudart::has_failed, is_right);
      });
      injected += counted(report, scenario);
    }
  }
  std::printf("%lld passing errors injected\n", static_cast<long long>(injected));
  EXPECT_GE(injected, kInjectedCodes);
}

TEST(CudaFaults, EveryStickyErrorLosesTheDevice) {
  std::int64_t injected = 0;
  std::size_t code = 0;
  for (const Scenario& scenario : scenarios()) {
    const std::int64_t calls = calls_of(scenario);
    for (std::int64_t call = 1; call <= calls; ++call) {
      const cudaError_t error = kSticky[code++ % kSticky.size()];
      const std::string report = in_child([&] { return lose_device(scenario, call, error); });
      EXPECT_EQ(report, "ok") << scenario.name << ", call " << call << " of " << calls << ", error " << error;
      if (report != "ok") break;
      ++injected;
    }
  }
  std::printf("%lld sticky errors injected\n", static_cast<long long>(injected));
  EXPECT_GE(injected, kInjectedCodes);
}

TEST(CudaFaults, EveryDeviceAllocationFails) {
  std::int64_t points = 0;
  for (const Scenario& scenario : scenarios()) {
    const std::string report = in_child([&] {
      return fail_each(scenario, &fake_cudart::fail_allocation, &fake_cudart::stop_failing, &fake_cudart::has_failed,
                       [](ErrorCode code) { return code == ErrorCode::out_of_memory; });
    });
    points += counted(report, scenario);
  }
  std::printf("%lld device allocation points\n", static_cast<long long>(points));
  EXPECT_GE(points, kDeviceAllocations);
}

TEST(CudaFaults, EveryHostAllocationFailsOnce) {
  allocations::exempt = &fake_cudart::inside;
  std::int64_t points = 0;
  for (const Scenario& scenario : scenarios()) {
    const std::string report = in_child([&] {
      return fail_each(
          scenario, &allocations::fail, [] { allocations::stop(); }, &allocations::has_failed,
          [](ErrorCode code) { return code == ErrorCode::out_of_memory; });
    });
    points += counted(report, scenario);
  }
  std::printf("%lld host allocation points\n", static_cast<long long>(points));
  EXPECT_GE(points, kHostAllocations);
}

// ---- The process around it.

TEST(CudaProcess, KernelsAreLaunchedAndNothingIsLeft) {
  EXPECT_EQ(in_child([] {
              {
                const Stream stream = Stream::create(kCuda);
                const Tensor x = Tensor::zeros({1000}, DType::float32, kCuda, stream);
                const Event event(stream);
                relu(x, stream);
                stream.wait(event);
                event.synchronize();
                Buffer pinned = pinned_buffer(4096);
                copy_bytes_async(pinned.data(), cpu_device, x.data(), kCuda, 4000, stream);
                stream.synchronize();
              }
              trim_pool(kCuda);
              std::string report = first_misuse();
              if (fake_cudart::launches() == 0) report += "no kernel was launched; ";
              if (kernel_launches(kCuda) == 0) report += "no launch was counted; ";
              if (fake_cudart::live_blocks() != 0) report += "blocks are left; ";
              if (fake_cudart::live_events() != 0) report += "events are left; ";
              if (fake_cudart::live_streams() != 0) report += "streams are left; ";
              return report;
            }),
            "");
}

std::string status_on(const fake_cudart::Machine& machine) {
  return in_child([&] {
    fake_cudart::set_machine(machine);
    const cuda::Status& status = cuda::status();
    std::string text = std::string(cuda::to_string(status.reason)) + ": " + status.detail;
    if (status.available || devices().back().type == Device::Type::cuda) text += " BUT usable";
    if (default_device().device != cpu_device || default_device().reason != status.detail) text += " BUT no reason";
    try {
      Tensor::zeros({2}, DType::float32, kCuda);
      text += " BUT a tensor was made";
    } catch (const DeviceUnavailable& error) {
      if (std::string(error.what()).find(status.detail) == std::string::npos) text += " BUT the error has no reason";
    }
    if (relu(Tensor::zeros({2}, DType::float32)).numel() != 2) text += " BUT the CPU does not work";
    return text;
  });
}

TEST(CudaProcess, WithoutADriver) {
  EXPECT_EQ(status_on({.probe = cudaErrorInsufficientDriver, .driver_version = 0}),
            "no_driver: no CUDA driver is installed");
}

TEST(CudaProcess, WithADriverThatIsTooOld) {
  const std::string text = status_on({.probe = cudaErrorInsufficientDriver, .driver_version = 11040});
  EXPECT_NE(text.find("driver_too_old: the driver knows CUDA 11.4"), std::string::npos) << text;
}

TEST(CudaProcess, WithADriverButNoGpu) {
  unsetenv("CUDA_VISIBLE_DEVICES");
  EXPECT_EQ(status_on({.probe = cudaErrorNoDevice}), "no_device: the driver finds no CUDA device");
  EXPECT_EQ(status_on({.devices = 0}), "no_device: the driver finds no CUDA device");
}

TEST(CudaProcess, WithTheGpusHidden) {
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  EXPECT_EQ(status_on({.probe = cudaErrorNoDevice}),
            "no_device: the driver finds no CUDA device (CUDA_VISIBLE_DEVICES is \"\")");
  unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST(CudaProcess, WithABrokenDriver) {
  const std::string text = status_on({.probe = cudaErrorUnknown});
  EXPECT_TRUE(text.starts_with("error: the CUDA runtime failed")) << text;
  EXPECT_EQ(text.find("BUT"), std::string::npos) << text;
}

TEST(CudaProcess, AnImageForAnotherGpuNamesBothArchitectures) {
  const std::string text = in_child([] {
    fake_cudart::set_machine({.has_image = false});
    const Tensor x = Tensor::zeros({100}, DType::float32, kCuda);
    try {
      relu(x);
    } catch (const Error& error) {
      return std::string(to_string(error.code())) + " " + error.what();
    }
    return std::string("no error");
  });
  EXPECT_TRUE(text.starts_with("not_supported relu: ")) << text;
  EXPECT_NE(text.find("compute capability 5.0"), std::string::npos) << text;
  EXPECT_NE(text.find("built for " SPARSERT_CUDA_ARCHITECTURES), std::string::npos) << text;
}

TEST(CudaProcess, AChildOfAForkSaysThatItCannot) {
  EXPECT_EQ(in_child([] {
              const Tensor x = Tensor::zeros({100}, DType::float32, kCuda);
              return in_child([&x]() -> std::string {
                try {
                  relu(x);
                  return "the device was used";
                } catch (const DeviceUnavailable& error) {
                  if (std::string(error.what()).find("fork") == std::string::npos) return error.what();
                }
                if (cuda::is_available()) return "CUDA is said to be usable";
                return relu(Tensor::zeros({5}, DType::float32)).numel() == 5 ? "" : "the CPU does not work";
              });
            }),
            "");
}

TEST(CudaProcess, ExitsQuietlyWithLiveTensors) {
  const std::string text = in_child([]() -> std::string {
    static const Tensor* const leaked = new Tensor(Tensor::zeros({100}, DType::float32, kCuda));
    static const Tensor destroyed_late = Tensor::zeros({100}, DType::float32, kCuda);
    static const Stream stream = Stream::create(kCuda);
    relu(*leaked);
    relu(destroyed_late);
    std::exit(0);  // runs the destructors of what is static
  });
  EXPECT_EQ(text, "");
}

}  // namespace
}  // namespace sparsert::test
