// device/trace.cpp — writes the timeline, and hands ranges to NVTX.
#include "device/trace.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>

#include "device/cpu.hpp"
#include "sparsert/error.hpp"

namespace sparsert::trace {
namespace {

constexpr std::size_t kFlushBytes = 64 << 10;

std::int64_t nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// The ranges of NVTX, where its library is installed and a profiler asks for them.
struct Nvtx {
  int (*push)(const char*) = nullptr;
  int (*pop)() = nullptr;

  Nvtx() {
    // A profiler names its library in the first variable; the second is for those that attach in other ways.
    if (std::getenv("NVTX_INJECTION64_PATH") == nullptr && std::getenv("SPARSERT_NVTX") == nullptr) return;
    for (const char* const name : {"libnvToolsExt.so.1", "libnvtx3interop.so.1"}) {
      void* const library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
      if (library == nullptr) continue;
      push = reinterpret_cast<int (*)(const char*)>(dlsym(library, "nvtxRangePushA"));
      pop = reinterpret_cast<int (*)()>(dlsym(library, "nvtxRangePop"));
      if (push != nullptr && pop != nullptr) return;
    }
    push = nullptr;
    pop = nullptr;
  }
  bool present() const noexcept { return push != nullptr; }
};

class Timeline {
 public:
  void open(const std::string& path) {
    const std::lock_guard lock(mutex_);
    close_locked();
    file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file_ < 0) throw FileError("trace: cannot write " + path);
    owner_ = getpid();
    begin_ = nanoseconds();
    buffer_ = "[\n";
    first_ = true;
    failed_ = false;
  }

  bool close() {
    const std::lock_guard lock(mutex_);
    return close_locked();
  }

  bool is_open() {
    const std::lock_guard lock(mutex_);
    return file_ >= 0;
  }

  /// A complete event; times in nanoseconds of the steady clock.
  void add(const char* name, std::int64_t begin, std::int64_t end, const std::string& arguments) {
    char head[256];
    const std::lock_guard lock(mutex_);
    if (file_ < 0 || getpid() != owner_) return;  // a forked child shares the file, and must not write to it
    std::snprintf(head, sizeof head,
                  R"({"name":"%s","cat":"op","ph":"X","pid":%d,"tid":%d,"ts":%.3f,"dur":%.3f,"args":{)", name, owner_,
                  thread_number(), static_cast<double>(begin - begin_) * 1e-3, static_cast<double>(end - begin) * 1e-3);
    if (!first_) buffer_ += ",\n";
    first_ = false;
    buffer_.append(head).append(arguments).append("}}");
    if (buffer_.size() >= kFlushBytes) flush();
  }

 private:
  static int thread_number() {
    static std::atomic<int> next{1};
    thread_local const int number = next++;
    return number;
  }

  void flush() {
    std::size_t done = 0;
    while (done < buffer_.size() && !failed_) {
      const ssize_t written = ::write(file_, buffer_.data() + done, buffer_.size() - done);
      if (written < 0) failed_ = true;
      else done += static_cast<std::size_t>(written);
    }
    buffer_.clear();
  }

  bool close_locked() {
    if (file_ < 0) return true;
    if (getpid() == owner_) {
      buffer_ += "\n]\n";
      flush();
    }
    failed_ |= ::close(file_) != 0;
    file_ = -1;
    return !failed_;
  }

  std::mutex mutex_;
  int file_ = -1;
  pid_t owner_ = 0;
  std::int64_t begin_ = 0;
  std::string buffer_;
  bool first_ = true;
  bool failed_ = false;
};

// Leaked on purpose: threads may still run operations while static objects are destroyed.
Timeline& timeline() {
  static auto* const instance = new Timeline;
  return *instance;
}

const Nvtx& nvtx() {
  static const auto* const instance = new Nvtx;
  return *instance;
}

void update_state() {
  const bool on = timeline().is_open() || nvtx().present();
  detail::state.store(on ? detail::State::on : detail::State::off, std::memory_order_relaxed);
}

thread_local Span* innermost = nullptr;

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return result + '"';
}

}  // namespace

namespace detail {

bool initialize() {
  static std::once_flag once;
  std::call_once(once, [] {
    const char* const path = std::getenv("SPARSERT_TRACE");
    if (path != nullptr && *path != '\0') {
      timeline().open(path);
      std::atexit([] { stop(); });
    }
    update_state();
  });
  return state.load(std::memory_order_relaxed) == State::on;
}

}  // namespace detail

void start(const std::string& path) {
  timeline().open(path);
  update_state();
}

bool stop() noexcept {
  try {
    const bool complete = timeline().close();
    update_state();
    return complete;
  } catch (...) {
    return false;  // no memory for the last bytes
  }
}

Span::Span(const char* op, const Stream& stream, std::string arguments)
    : op_(op),
      stream_(stream),
      arguments_(std::move(arguments)),
      outer_(innermost),
      exceptions_(std::uncaught_exceptions()) {
  if (stream.device().type == Device::Type::cuda) stream.synchronize();
  if (nvtx().present()) nvtx().push((std::string(op) + " {" + arguments_ + "}").c_str());
  innermost = this;
  begin_ = nanoseconds();
}

Span::~Span() {
  const bool failed = std::uncaught_exceptions() > exceptions_;
  innermost = outer_;
  try {
    const Device& device = stream_.device();
    // Where no kernel was launched, the CPU's instruction set tells which of its kernels ran.
    if (kernels_.empty() && device.type == Device::Type::cpu) kernels_ = cpu_target();
    if (device.type == Device::Type::cuda && !failed) stream_.synchronize();
    const std::int64_t end = nanoseconds();
    std::string text = R"("device":)" + quoted(to_string(device)) + R"(,"kernel":)" + quoted(kernels_);
    if (!arguments_.empty()) text += "," + arguments_;
    if (failed) text += R"(,"failed":true)";
    timeline().add(op_, begin_, end, text);
  } catch (...) {
    // A fault of the device comes out of the next operation; a timeline without memory has a gap.
  }
  if (nvtx().present()) nvtx().pop();
}

void note_kernel(const std::string& name) noexcept {
  if (innermost == nullptr) return;
  try {
    std::string& kernels = innermost->kernels_;
    constexpr std::size_t kEnough = 1 << 10;  // of an operation that launches in a loop
    if (kernels.size() < kEnough) kernels.append(kernels.empty() ? "" : ", ").append(name);
  } catch (...) {
    // The name is left out.
  }
}

}  // namespace sparsert::trace
