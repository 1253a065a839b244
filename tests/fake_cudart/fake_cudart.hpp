// tests/fake_cudart/fake_cudart.hpp — how a test talks to the fake CUDA runtime that it is linked with.
//
// The fake is a shared libcudart. Device memory is guarded host memory; streams run their work when somebody waits for
// it; kernels are counted and do nothing, so that what they would have written stays zero. Whatever a correct program
// never does (a free of nothing, a copy past the end, a destroyed stream) is kept as a misuse.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fake_cudart {

/// The machine to be. To be set before the first call of the runtime.
struct Machine {
  cudaError_t probe = cudaSuccess;  ///< what cudaGetDeviceCount gives
  int devices = 1;
  int driver_version = 13000;  ///< 0: no driver
  std::size_t memory = std::size_t{1} << 28;
  bool has_image = true;  ///< false: no kernel image for the GPU
};
void set_machine(const Machine& machine);

/// Lets the n-th call from now on fail with `error`: 1 is the next one. A sticky error stays.
/// With `from_then_on` every later allocation fails too, as where memory has really run out.
void fail_call(std::int64_t n, cudaError_t error, bool from_then_on = false);

/// Lets the n-th allocation of device memory from now on fail with cudaErrorMemoryAllocation, and all after it.
void fail_allocation(std::int64_t n);

/// Lets no call fail any more. A sticky error stays.
void stop_failing();

/// Calls so far that can be made to fail, and allocations of device memory among them.
std::int64_t calls();
std::int64_t allocations();

/// True where the call that was to fail has been made.
bool has_failed();

std::int64_t launches();

/// Device and page-locked blocks, streams and events that are alive.
std::size_t live_blocks();
std::size_t live_streams();
std::size_t live_events();

/// True where `bytes` from `data` on are device memory that is alive.
bool is_device_memory(const void* data, std::size_t bytes);

/// Runs all work that was given to any stream.
void run_all();

/// What a correct program does not do, in words.
std::vector<std::string> misuses();
void report_misuse(const std::string& what);

/// True while this thread is in a call of the fake: what it allocates is not the library's doing.
bool inside();

/// True for errors after which every call gives the same error.
bool is_sticky(cudaError_t error);

}  // namespace fake_cudart
