// sparsert/interrupt.hpp — ending a long operation early: Ctrl-C in an interpreter, a timeout, a cancelled request.
#pragma once

namespace sparsert {

/// Called now and then, at most every 20 ms, while an operation runs on `cpu`, on the thread that called the operation.
/// It may throw: the operation then ends with that exception, and what it was writing to holds undefined values.
using InterruptCheck = void (*)();

/// The check of this process from now on; null for none. A Python module sets its own, which raises KeyboardInterrupt.
void set_interrupt_check(InterruptCheck check) noexcept;

}  // namespace sparsert
