// tests/fake_cudart/kernels.cpp — kernels of the fake runtime: they are registered, counted, and do nothing.
#include "tests/fake_cudart/state.hpp"

using namespace fake_cudart;  // NOLINT: the functions below have the runtime's own names

extern "C" {

void** __cudaRegisterFatBinary(void* binary) { return static_cast<void**>(binary); }
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }
void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int) {}
void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  state().kernels[host] = name;
}

static cudaError_t count_launch(const void* kernel, cudaStream_t stream) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  if (!state().machine.has_image) return give(cudaErrorNoKernelImageForDevice);
  if (!state().kernels.contains(kernel)) {
    misuse("a launch of what is no kernel");
    return give(cudaErrorInvalidDeviceFunction);
  }
  if (queue_of(stream) == nullptr) return give(cudaErrorInvalidResourceHandle);
  ++state().launches;
  return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void* kernel, dim3, dim3, void**, std::size_t, cudaStream_t stream) {
  return count_launch(kernel, stream);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void**) {
  return count_launch(kernel, config->stream);
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3, dim3, void**, std::size_t, cudaStream_t stream) {
  return count_launch(kernel, stream);
}

struct CallConfiguration {
  dim3 grid;
  dim3 block;
  std::size_t shared;
  void* stream;
};
static thread_local std::vector<CallConfiguration> configurations;

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared, CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
  if (configurations.empty()) return give(cudaErrorMissingConfiguration);
  *grid = configurations.back().grid;
  *block = configurations.back().block;
  *shared = configurations.back().shared;
  *static_cast<void**>(stream) = configurations.back().stream;
  configurations.pop_back();
  return cudaSuccess;
}

cudaError_t cudaFuncGetName(const char** name, const void* kernel) {
  const auto found = state().kernels.find(kernel);
  if (found == state().kernels.end()) return give(cudaErrorInvalidDeviceFunction);
  *name = found->second.c_str();
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  return state().machine.has_image ? cudaSuccess : give(cudaErrorNoKernelImageForDevice);
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  if (!state().machine.has_image) return give(cudaErrorNoKernelImageForDevice);
  *attributes = {};
  attributes->ptxVersion = 80;
  attributes->binaryVersion = 80;
  attributes->maxThreadsPerBlock = 1024;
  attributes->numRegs = 32;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, std::size_t,
                                                                   unsigned) {
  const Call call;
  if (call.error != cudaSuccess) return call.error;
  *blocks = 2;
  return cudaSuccess;
}

}  // extern "C"
