// tests/trace_test.cpp — the timeline of operations, and the ranges handed to NVTX.
#include "device/trace.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support.hpp"

namespace sparsert::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class Trace : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::path(::testing::TempDir()) / ("sparsert_trace_" + std::to_string(getpid()) + ".json");
    trace::start(path_.string());
  }
  void TearDown() override {
    trace::stop();
    fs::remove(path_);
  }
  json stop() {
    EXPECT_TRUE(trace::stop());
    std::ifstream file(path_);
    return json::parse(file);
  }

  fs::path path_;
};

TEST_F(Trace, TellsOperationShapesDeviceKernelAndTime) {
  for (const Device& device : devices_under_test()) {
    const Tensor x = Tensor::from(make_values(Values::normal, 257, 1), {257}, device);
    const Tensor y = relu(x);
  }
  const json events = stop();
  ASSERT_EQ(events.size(), devices_under_test().size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    const json& event = events[i];
    EXPECT_EQ(event["name"], "relu");
    EXPECT_EQ(event["ph"], "X");
    EXPECT_GE(event["dur"], 0);
    EXPECT_EQ(event["args"]["device"], to_string(devices_under_test()[i]));
    EXPECT_EQ(event["args"]["n"], 257);
    EXPECT_EQ(event["args"]["dtype"], "float32");
    const std::string kernel = event["args"]["kernel"];
    const Device::Type type = devices_under_test()[i].type;
    if (type == Device::Type::cpu) {
      EXPECT_EQ(kernel, cpu_info().simd);
    } else if (type != Device::Type::reference) {
      EXPECT_NE(kernel.find("kernel"), std::string::npos) << kernel;
    }
  }
}

TEST_F(Trace, NamesTheShapesOfProducts) {
  const Tensor dense = Tensor::from(std::vector<float>{1, 0, 2, 0, 0, 3}, {2, 3});
  const Csr a = to_csr(dense);
  const Tensor c = spmm(a, Tensor::zeros({3, 4}, DType::float32));
  const json events = stop();
  ASSERT_FALSE(events.empty());
  const json& args = events.back()["args"];
  EXPECT_EQ(events.back()["name"], "spmm");
  EXPECT_EQ(args["rows"], 2);
  EXPECT_EQ(args["cols"], 3);
  EXPECT_EQ(args["nnz"], 3);
  EXPECT_EQ(args["n"], 4);
  EXPECT_EQ(args["plan"], false);
}

TEST_F(Trace, EventsOfEveryThreadAreWhole) {
  constexpr int kThreads = 8;
  constexpr int kEach = 500;  // far more than the buffer holds
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([] {
      const Tensor x = Tensor::zeros({16}, DType::float32);
      for (int i = 0; i < kEach; ++i) const Tensor y = relu(x);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(stop().size(), static_cast<std::size_t>(kThreads * kEach));
}

TEST_F(Trace, AForkedChildLeavesTheFileAlone) {
  const Tensor x = Tensor::zeros({16}, DType::float32);
  const Tensor before = relu(x);
  const pid_t child = fork();
  if (child == 0) {
    const Tensor y = relu(x);
    trace::stop();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  const Tensor after = relu(x);
  EXPECT_EQ(stop().size(), 2u);
}

TEST_F(Trace, NothingIsRecordedAfterTheEnd) {
  const Tensor x = Tensor::zeros({16}, DType::float32);
  const Tensor first = relu(x);
  EXPECT_EQ(stop().size(), 1u);
  const Tensor second = relu(x);
  EXPECT_EQ(stop().size(), 1u);
}

TEST_F(Trace, AFileThatCannotBeWrittenIsAnError) {
  expect_error(ErrorCode::file, {"trace", "/no/such/folder"}, [] { trace::start("/no/such/folder/trace.json"); });
}

}  // namespace
}  // namespace sparsert::test
