// tests/device_test.cpp — devices and their reasons, threads, streams and events, buffers and their pool.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <limits>
#include <mutex>
#include <set>
#include <thread>

#include "device/cpu.hpp"
#include "device/parallel.hpp"
#include "sparsert/interrupt.hpp"
#include "tests/support.hpp"

// Asking for more memory than there is must give null here too, as malloc does.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace sparsert::test {
namespace {

constexpr Device kReference{Device::Type::reference, 0};

TEST(DeviceName, RoundTrips) {
  for (const char* name : {"cpu", "reference", "simt", "cuda:0", "cuda:7"}) {
    EXPECT_EQ(to_string(Device::parse(name)), name);
  }
  EXPECT_EQ(Device::parse("cuda"), (Device{Device::Type::cuda, 0}));
}

TEST(DeviceName, RejectsEverythingElse) {
  for (const char* name : {"", "gpu", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:1x", "cuda: 1", "cuda:99999999999"}) {
    expect_error(ErrorCode::invalid_argument, {"device:", name, "expected"}, [&] { Device::parse(name); });
  }
}

TEST(DType, RoundTripsByName) {
  for (int i = 0; i <= static_cast<int>(DType::float64); ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(dtype_from_string(to_string(dtype)), dtype);
    EXPECT_GT(size_of(dtype), 0u);
  }
  expect_error(ErrorCode::invalid_argument, {"dtype:", "float8", "bfloat16"}, [] { dtype_from_string("float8"); });
}

TEST(Error, CarriesCodeAndPlace) {
  const Error error(ErrorCode::file, "text");
  EXPECT_EQ(error.code(), ErrorCode::file);
  EXPECT_NE(std::string(error.where().file).find("device_test.cpp"), std::string::npos);
  for (int i = 0; i <= static_cast<int>(ErrorCode::internal); ++i) {
    EXPECT_STRNE(to_string(static_cast<ErrorCode>(i)), "unknown");
  }
}

TEST(Devices, StartWithTheCpuAndAreAllUsable) {
  const auto all = devices();
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.front(), cpu_device);
  for (const Device& device : all) {
    EXPECT_NO_THROW(require_usable(device)) << to_string(device);
    Stream(device).synchronize();
  }
}

TEST(Devices, DefaultSaysWhy) {
  const DefaultDevice& chosen = default_device();
  EXPECT_FALSE(chosen.reason.empty());
  EXPECT_EQ(chosen.device.type, cuda::is_available() ? Device::Type::cuda : Device::Type::cpu);
}

TEST(Cuda, StatusIsWhole) {
  const cuda::Status& status = cuda::status();
  EXPECT_EQ(status.available, status.reason == cuda::Reason::none);
  EXPECT_EQ(status.available, status.detail.empty());
  EXPECT_EQ(status.available, status.device_count > 0);
  EXPECT_EQ(status.built, status.runtime_version > 0);
  EXPECT_EQ(status.built, status.reason != cuda::Reason::not_built);
  EXPECT_EQ(&status, &cuda::status());
  for (int i = 0; i < static_cast<int>(cuda::Reason::error); ++i) {
    EXPECT_STRNE(cuda::to_string(static_cast<cuda::Reason>(i)), "error");
  }
}

TEST(Cuda, WithoutItEveryQuerySaysWhy) {
  if (cuda::is_available()) return;  // CudaDevice.* below covers that machine
  const std::vector<std::string> why{cuda::status().detail};
  expect_error(ErrorCode::device_unavailable, why, [] { cuda::current_device(); });
  expect_error(ErrorCode::device_unavailable, why, [] { cuda::set_device(0); });
  expect_error(ErrorCode::device_unavailable, why, [] { cuda::device_properties(0); });
  expect_error(ErrorCode::device_unavailable, why, [] { cuda::synchronize(); });
  expect_error(ErrorCode::device_unavailable, why, [] { Stream::create(Device::parse("cuda")); });
  expect_error(ErrorCode::device_unavailable, why, [] { Tensor::empty({2}, DType::float32, Device::parse("cuda")); });
  EXPECT_THROW(Stream(Device::parse("cuda:1")), DeviceUnavailable);
}

TEST(Cuda, PropertiesOfEveryDevice) {
  for (int id = 0; id < cuda::device_count(); ++id) {
    const cuda::DeviceProperties properties = cuda::device_properties(id);
    EXPECT_EQ(properties.id, id);
    EXPECT_FALSE(properties.name.empty());
    EXPECT_GE(properties.compute_capability_major, 7);
    EXPECT_GT(properties.memory_total, 0);
    EXPECT_LE(properties.memory_free, properties.memory_total);
    EXPECT_GT(properties.multiprocessors, 0);
    cuda::set_device(id);
    EXPECT_EQ(cuda::current_device(), id);
    cuda::synchronize();
  }
  if (!cuda::is_available()) return;
  for (const int bad : {-1, cuda::device_count()}) {
    expect_error(ErrorCode::invalid_argument, {"set_device", std::to_string(bad)}, [&] { cuda::set_device(bad); });
    EXPECT_THROW(require_usable({Device::Type::cuda, bad}), DeviceUnavailable);
  }
}

TEST(Cpu, SaysWhatItIs) {
  const CpuInfo info = cpu_info();
  EXPECT_FALSE(info.name.empty());
  EXPECT_GE(info.threads, 1);
  EXPECT_EQ(info.simd, cpu_target());
}

TEST(Cpu, TargetIsTheOneForced) {
  const std::string before = cpu_target();
  const auto targets = cpu_targets();
  ASSERT_FALSE(targets.empty());
  EXPECT_EQ(targets.back(), "scalar");
  for (const std::string& target : targets) {
    set_cpu_target(target);
    EXPECT_EQ(cpu_info().simd, target);
  }
  expect_error(ErrorCode::invalid_argument, {"cpu target", "MMX", "scalar"}, [] { set_cpu_target("MMX"); });
  set_cpu_target("");
  EXPECT_EQ(cpu_target(), targets.front());
  set_cpu_target(before);
}

TEST(Threads, AreChecked) {
  const int before = num_threads();
  for (const int bad : {-1, 4097, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    expect_error(ErrorCode::invalid_argument, {"set_num_threads", std::to_string(bad)}, [&] { set_num_threads(bad); });
    EXPECT_EQ(num_threads(), before);
  }
  set_num_threads(3);
  EXPECT_EQ(num_threads(), 3);
  set_num_threads(0);
  EXPECT_EQ(num_threads(), cpu_info().threads);
  set_num_threads(before);
}

TEST(ParallelFor, VisitsEachItemOnce) {
  for (const int threads : kThreadCounts) {
    const Threads set(threads);
    for (const std::int64_t n : {0, 1, 2, 99, 100, 101, 1000}) {
      for (const std::int64_t grain : {0, 1, 7, 100, 5000}) {
        std::vector<std::atomic<int>> visits(static_cast<std::size_t>(n));
        parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
          EXPECT_LT(begin, end);
          for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
        });
        for (const auto& count : visits) ASSERT_EQ(count, 1) << n << " " << grain << " " << threads;
      }
    }
  }
}

TEST(ParallelFor, RunsOnAsManyThreadsAsAsked) {
  constexpr int kWanted = 5;  // more than a small machine has
  const Threads set(kWanted);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  parallel_for(kWanted, 1, [&](std::int64_t, std::int64_t) {
    // Every part stays on its thread until all parts have one.
    for (bool all = false; !all && std::chrono::steady_clock::now() < deadline; std::this_thread::yield()) {
      const std::lock_guard lock(mutex);
      seen.insert(std::this_thread::get_id());
      all = seen.size() == kWanted;
    }
  });
  EXPECT_EQ(seen.size(), kWanted);
}

TEST(ParallelFor, PassesAnExceptionOut) {
  for (const int threads : kThreadCounts) {
    const Threads set(threads);
    const auto throws_at_the_end = [](std::int64_t, std::int64_t end) {
      if (end == 1000) throw OutOfMemory("here");
    };
    EXPECT_THROW(parallel_for(1000, 10, throws_at_the_end), OutOfMemory);
    EXPECT_THROW(parallel_for(1000, 1000, throws_at_the_end), OutOfMemory);
  }
}

TEST(ParallelFor, CanBeInterrupted) {
  struct Interrupted {};
  static std::atomic<bool> ask{false};
  set_interrupt_check([] {
    if (ask) throw Interrupted{};
  });
  for (const int threads : kThreadCounts) {
    const Threads set(threads);
    std::atomic<int> parts{0};
    const auto slow = [&](std::int64_t, std::int64_t) {
      if (++parts == 3) ask = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    };
    EXPECT_THROW(parallel_for(10'000, 1, slow), Interrupted);
    EXPECT_LT(parts, 1000);
    ask = false;
    parts = 0;
    parallel_for(10, 1, [&](std::int64_t, std::int64_t) { ++parts; });
    EXPECT_EQ(parts, 10);
  }
  set_interrupt_check(nullptr);
}

TEST(ParallelFor, WorksInTheChildOfAFork) {
  const Threads set(2);
  std::atomic<std::int64_t> sum{0};
  const auto add_up = [&](std::int64_t begin, std::int64_t end) { sum += end - begin; };
  parallel_for(1 << 20, 1 << 10, add_up);  // the parent's workers exist
  sum = 0;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);  // a child that hangs is killed, and counts as failed
    parallel_for(1 << 20, 1 << 10, add_up);
    const Tensor x = Tensor::zeros({1 << 20}, DType::float32);
    const bool works = sum == 1 << 20 && equal(relu(x), x);
    _exit(works ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(Stream, BelongsToItsDevice) {
  const Stream none;
  EXPECT_EQ(none.on(kReference).device(), kReference);
  const Stream stream = Stream::create(cpu_device);
  EXPECT_EQ(stream.on(cpu_device).device(), cpu_device);
  EXPECT_EQ(stream.native_handle(), nullptr);
  expect_error(ErrorCode::invalid_argument, {"stream", "cpu", "reference"}, [&] { stream.on(kReference); });
  expect_error(ErrorCode::invalid_argument, {"stream", "cpu", "reference"},
               [&] { relu(Tensor::zeros({2}, DType::float32, kReference), stream); });
}

TEST(Event, MeasuresTimeAndOrders) {
  for (const Device& device : devices_under_test()) {
    const Stream stream = Stream::create(device);
    const Event start(stream);
    const Tensor x = Tensor::zeros({4096}, DType::float32, device, stream);
    const Event end(stream);
    stream.wait(start);
    Stream(cpu_device).wait(end);
    end.synchronize();
    EXPECT_GE(end.milliseconds_since(start), 0) << to_string(device);
    EXPECT_EQ(end.device(), device);
  }
  const Event here((Stream(cpu_device)));
  const Event there((Stream(kReference)));
  expect_error(ErrorCode::invalid_argument, {"milliseconds_since", "cpu", "reference"},
               [&] { here.milliseconds_since(there); });
}

TEST(Buffer, IsAlignedAndWritable) {
  for (const Device& device : devices_under_test()) {
    for (const std::size_t bytes : {1, 255, 256, 257, 1000, 1025, 65'537}) {
      const Buffer buffer(bytes, Stream(device));
      EXPECT_EQ(buffer.bytes(), bytes);
      EXPECT_EQ(buffer.device(), device);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 256, 0u);
      zero_bytes(buffer.data(), bytes, Stream(device));
    }
  }
}

TEST(Buffer, OfNothingIsNull) {
  const Buffer buffer(0, Stream(cpu_device));
  EXPECT_EQ(buffer.data(), nullptr);
  zero_bytes(nullptr, 0, Stream(cpu_device));
  copy_bytes(nullptr, cpu_device, nullptr, cpu_device, 0, Stream(cpu_device));
}

TEST(Buffer, TooLargeIsOutOfMemory) {
  for (const Device& device : devices_under_test()) {
    const PoolStatistics before = pool_statistics(device);
    for (const std::size_t bytes :
         {std::size_t{1} << 62, (std::size_t{1} << 63) - 1, std::size_t{1} << 63,
          std::numeric_limits<std::size_t>::max() - 255, std::numeric_limits<std::size_t>::max()}) {
      expect_error(ErrorCode::out_of_memory, {std::to_string(bytes), to_string(device)},
                   [&] { Buffer(bytes, Stream(device)); });
    }
    EXPECT_EQ(pool_statistics(device).in_use, before.in_use);
  }
}

TEST(Buffer, MovesItsMemory) {
  Buffer a(100, Stream(cpu_device));
  void* const data = a.data();
  Buffer b(std::move(a));
  EXPECT_EQ(a.data(), nullptr);  // NOLINT(bugprone-use-after-move): what a moved-from buffer is, is the point
  EXPECT_EQ(b.data(), data);
  a = std::move(b);
  EXPECT_EQ(a.data(), data);
  Buffer& same = a;  // under another name: compilers warn of a plain a = std::move(a)
  a = std::move(same);
  EXPECT_EQ(a.data(), data);
}

TEST(Buffer, ReleasesForeignMemoryOnce) {
  int released = 0;
  int memory = 0;
  {
    Buffer a(&memory, sizeof memory, cpu_device, [&] { ++released; });
    Buffer b(std::move(a));
    Buffer c;
    c = std::move(b);
    EXPECT_EQ(released, 0);
    c = Buffer();
    EXPECT_EQ(released, 1);
    const Buffer quiet(&memory, sizeof memory, cpu_device, [&] {
      ++released;
      throw Error(ErrorCode::internal, "a destructor has nobody to tell");
    });
  }
  EXPECT_EQ(released, 2);
}

TEST(Pool, KeepsFreedBlocksForReuse) {
  for (const Device& device : devices_under_test()) {
    trim_pool(device);
    const PoolStatistics before = pool_statistics(device);
    EXPECT_EQ(before.cached, 0u);
    void* data = nullptr;
    {
      const Buffer buffer(5000, Stream(device));
      data = buffer.data();
      EXPECT_GE(pool_statistics(device).in_use, before.in_use + 5000);
      EXPECT_GE(pool_statistics(device).peak, before.in_use + 5000);
    }
    EXPECT_EQ(pool_statistics(device).in_use, before.in_use);
    EXPECT_GE(pool_statistics(device).cached, 5000u);
    const Buffer again(4999, Stream(device));  // the same size class
    EXPECT_EQ(again.data(), data);
    EXPECT_EQ(pool_statistics(device).cached, 0u);
  }
}

TEST(Pool, WastesAQuarterAtMost) {
  for (std::size_t bytes = 1024; bytes < 100'000; bytes += 997) {
    const std::size_t before = pool_statistics(kReference).in_use;
    const Buffer buffer(bytes, Stream(kReference));
    const std::size_t taken = pool_statistics(kReference).in_use - before;
    EXPECT_GE(taken, bytes);
    EXPECT_LE(taken, bytes + bytes / 4 + 256);
  }
}

TEST(Pool, ServesManyThreads) {
  const std::size_t before = pool_statistics(cpu_device).in_use;
  std::vector<std::thread> threads;
  std::atomic<int> overlaps{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([t, &overlaps] {
      for (int i = 0; i < 1000; ++i) {
        Buffer buffer(static_cast<std::size_t>(64 + (i * 37) % 2000), Stream(cpu_device));
        auto* const mine = static_cast<unsigned char*>(buffer.data());
        std::memset(mine, t, buffer.bytes());
        for (std::size_t b = 0; b < buffer.bytes(); b += 16) overlaps += mine[b] != t;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(overlaps, 0);
  EXPECT_EQ(pool_statistics(cpu_device).in_use, before);
}

TEST(Copy, BetweenAllDevices) {
  std::vector<std::int32_t> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int32_t>(i * i);
  const std::size_t bytes = values.size() * sizeof(std::int32_t);
  for (const Device& from : devices_under_test()) {
    for (const Device& to : devices_under_test()) {
      const Stream order(to.is_host() ? from : to);
      const Buffer a(bytes, Stream(from));
      const Buffer b(bytes, Stream(to));
      std::vector<std::int32_t> got(values.size(), -1);
      copy_bytes(a.data(), from, values.data(), cpu_device, bytes, Stream(from));
      copy_bytes(b.data(), to, a.data(), from, bytes, order);
      copy_bytes(got.data(), cpu_device, b.data(), to, bytes, Stream(to));
      EXPECT_EQ(got, values) << to_string(from) << " to " << to_string(to);
    }
  }
}

TEST(Copy, AsynchronouslyThroughPinnedMemory) {
  constexpr std::size_t kBytes = 1 << 16;
  Buffer pinned = pinned_buffer(kBytes);
  EXPECT_TRUE(pinned.device().is_host());
  std::memset(pinned.data(), 7, kBytes);
  for (const Device& device : devices_under_test()) {
    const Stream stream = Stream::create(device);
    const Buffer there(kBytes, stream);
    Buffer back = pinned_buffer(kBytes);
    copy_bytes_async(there.data(), device, pinned.data(), cpu_device, kBytes, stream);
    copy_bytes_async(back.data(), cpu_device, there.data(), device, kBytes, stream);
    stream.synchronize();
    EXPECT_EQ(std::memcmp(back.data(), pinned.data(), kBytes), 0) << to_string(device);
  }
  EXPECT_EQ(pinned_buffer(0).data(), nullptr);
  EXPECT_THROW(pinned_buffer(std::numeric_limits<std::size_t>::max()), OutOfMemory);
}

}  // namespace
}  // namespace sparsert::test
