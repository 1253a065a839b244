// device/trace.hpp — the timeline of operations: SPARSERT_TRACE=file.json, and NVTX ranges for a profiler that listens.
//
// The file is in the trace event format (a JSON array) that browsers' trace viewers and Perfetto open. It is complete
// after `stop` or at the end of the process; of a process that died, the viewers read what there is.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "sparsert/stream.hpp"

namespace sparsert::trace {

namespace detail {
enum class State : std::uint8_t { unknown, off, on };
inline std::atomic<State> state{State::unknown};

/// Reads the environment once. Throws `FileError` where SPARSERT_TRACE names a file that cannot be written.
bool initialize();
}  // namespace detail

/// Whether anybody listens: one load where nobody does.
inline bool enabled() {
  const detail::State state = detail::state.load(std::memory_order_relaxed);
  return state == detail::State::unknown ? detail::initialize() : state == detail::State::on;
}

/// Begins a timeline in `path`, ending the one before. Throws `FileError`.
void start(const std::string& path);

/// Ends and closes the timeline. False where not all of it could be written.
bool stop() noexcept;

/// One operation, from construction to destruction. On CUDA the stream is waited for at both ends, so that the time is
/// the operation's own: a traced program is slower than others.
class Span {
 public:
  /// `arguments` is the inside of a JSON object: shapes, dtype.
  Span(const char* op, const Stream& stream, std::string arguments);
  ~Span();
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

 private:
  friend void note_kernel(const std::string& name) noexcept;

  const char* op_;
  const Stream& stream_;
  std::string arguments_;
  std::string kernels_;
  Span* outer_;
  int exceptions_;
  std::int64_t begin_;
};

/// A kernel was launched by the operation that this thread is in.
void note_kernel(const std::string& name) noexcept;

}  // namespace sparsert::trace
