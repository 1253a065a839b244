// tests/faults/cuda_streams_test.cpp — streams, events, pinned memory and threads on the fake CUDA runtime, which runs
// a stream's work only when somebody waits for it: what relies on luck is found.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "tests/fake_cudart/fake_cudart.hpp"
#include "tests/faults/child.hpp"
#include "tests/faults/scenarios.hpp"

namespace sparsert::test {
namespace {

constexpr Device kCuda{Device::Type::cuda, 0};
constexpr std::size_t kBytes = 4096;

bool holds(const Buffer& buffer, unsigned char value) {
  const auto* const bytes = static_cast<const unsigned char*>(buffer.data());
  return std::all_of(bytes, bytes + buffer.bytes(), [value](unsigned char byte) { return byte == value; });
}

Buffer pinned_with(unsigned char value) {
  Buffer buffer = pinned_buffer(kBytes);
  std::memset(buffer.data(), value, kBytes);
  return buffer;
}

std::string misuse() {
  const auto all = fake_cudart::misuses();
  return all.empty() ? "" : "misuse of the runtime: " + all.front();
}

TEST(CudaStreams, CopyWithoutWaitingInBothDirectionsAndOnTheDevice) {
  EXPECT_EQ(in_child([]() -> std::string {
              const Stream stream = Stream::create(kCuda);
              const Buffer from = pinned_with(7);
              const Buffer to = pinned_with(0);
              const Buffer first(kBytes, stream);
              const Buffer second(kBytes, stream);
              copy_bytes_async(first.data(), kCuda, from.data(), cpu_device, kBytes, stream);
              copy_bytes_async(second.data(), kCuda, first.data(), kCuda, kBytes, stream);
              copy_bytes_async(to.data(), cpu_device, second.data(), kCuda, kBytes, stream);
              if (!holds(to, 0)) return "a copy was waited for";
              stream.synchronize();
              return holds(to, 7) ? misuse() : "the copies did not arrive";
            }),
            "");
}

TEST(CudaStreams, AnEventOrdersTwo) {
  EXPECT_EQ(in_child([]() -> std::string {
              const Stream first = Stream::create(kCuda);
              const Stream second = Stream::create(kCuda);
              const Buffer from = pinned_with(7);
              const Buffer to = pinned_with(0);
              const Buffer between(kBytes, first);
              copy_bytes_async(between.data(), kCuda, from.data(), cpu_device, kBytes, first);
              const Event arrived(first);
              second.wait(arrived);
              copy_bytes_async(to.data(), cpu_device, between.data(), kCuda, kBytes, second);
              second.synchronize();
              return holds(to, 7) ? misuse() : "the second stream did not wait";
            }),
            "");
}

TEST(CudaStreams, MemoryIsReusedInTheirOrder) {
  EXPECT_EQ(in_child([]() -> std::string {
              const Stream first = Stream::create(kCuda);
              const Stream second = Stream::create(kCuda);
              const Buffer from = pinned_with(7);
              const Buffer to = pinned_with(0);
              void* freed = nullptr;
              {
                const Buffer block(kBytes, first);
                freed = block.data();
                copy_bytes_async(block.data(), kCuda, from.data(), cpu_device, kBytes, first);
                copy_bytes_async(to.data(), cpu_device, block.data(), kCuda, kBytes, first);
              }
              const Buffer block(kBytes, second);
              if (block.data() != freed) return "the pool gave another block, which proves nothing";
              zero_bytes(block.data(), kBytes, second);
              second.synchronize();
              first.synchronize();
              return holds(to, 7) ? misuse() : "the block was reused before its first user was done";
            }),
            "");
}

/// Another library in the process works with a device and memory of its own. That the context is the primary one, and
/// is never reset, shows in what is linked: the fake has no function that makes, sets or resets one.
TEST(CudaStreams, LeaveAnotherUserOfCudaAlone) {
  EXPECT_EQ(in_child([]() -> std::string {
              fake_cudart::set_machine({.devices = 2});
              void* theirs = nullptr;
              if (cudaSetDevice(1) != cudaSuccess || cudaMalloc(&theirs, kBytes) != cudaSuccess) return "no machine";
              {
                const Stream stream = Stream::create(kCuda);
                relu(Tensor::zeros({100}, DType::float32, kCuda, stream), stream);
                stream.synchronize();
              }
              trim_pool(kCuda);
              int current = -1;
              if (cudaGetDevice(&current) != cudaSuccess || current != 1) return "the current device has changed";
              if (!fake_cudart::is_device_memory(theirs, kBytes)) return "their memory is gone";
              if (fake_cudart::live_blocks() != 1) return "memory of ours is left";
              return cudaFree(theirs) == cudaSuccess ? misuse() : "their memory cannot be freed";
            }),
            "");
}

TEST(CudaStreams, ServeManyThreads) {
  constexpr int kThreads = 8;
  constexpr int kOperations = 250;
  EXPECT_EQ(in_child([]() -> std::string {
              std::vector<Scenario> all = scenarios();
              // Kernels do nothing here, so operations that read a size back would read what the pool's block held.
              const std::set<std::string> whole{"multiply",  "relu",     "leaky_relu", "matmul",
                                                "transpose", "row_sums", "scale_rows", "clone"};
              std::erase_if(all, [&](const Scenario& scenario) { return !whole.contains(scenario.op); });
              std::mutex mutex;
              std::string failures;
              std::vector<std::thread> threads;
              for (int t = 0; t < kThreads; ++t) {
                threads.emplace_back([&, t] {
                  std::mt19937_64 random(static_cast<std::uint64_t>(t));
                  for (int i = 0; i < kOperations; ++i) {
                    const Scenario& scenario = all[random() % all.size()];
                    try {
                      const Prepared prepared = scenario.prepare(kCuda);
                      prepared.run();
                      prepared.results();
                    } catch (const std::exception& error) {
                      const std::lock_guard lock(mutex);
                      failures = scenario.name + ": " + error.what();
                    }
                  }
                });
              }
              for (std::thread& thread : threads) thread.join();
              trim_pool(kCuda);
              if (!failures.empty()) return failures;
              if (fake_cudart::live_blocks() != 0) return "blocks are left";
              return misuse();
            }),
            "");
}

TEST(CudaStreams, ExitIsQuietWithTensorsInThreads) {
  EXPECT_EQ(in_child([]() -> std::string {
              constexpr int kThreads = 4;
              static std::atomic<int> ready{0};
              for (int t = 0; t < kThreads; ++t) {
                std::thread([] {
                  thread_local const Tensor mine = relu(Tensor::zeros({100}, DType::float32, kCuda));
                  ++ready;
                  while (mine.numel() != 0) std::this_thread::sleep_for(std::chrono::seconds(1));
                }).detach();
              }
              while (ready < kThreads) std::this_thread::yield();
              std::exit(0);
            }),
            "");
}

}  // namespace
}  // namespace sparsert::test
