// tests/faults/allocations.hpp — counting host allocations, and letting one of them fail.
//
// A program that links allocations.cpp has its operator new and aligned_alloc replaced. Only the thread that asks is
// counted, so that a test's own threads and the library's do not blur the numbers.
#pragma once

#include <cstdint>

namespace sparsert::test::allocations {

/// Counts this thread's allocations from now on.
void count();

/// Lets this thread's n-th allocation from now on fail, once.
void fail(std::int64_t n);

/// Ends either. The number of allocations since.
std::int64_t stop();

/// True where the allocation that was to fail has been asked for.
bool has_failed();

/// Allocations less deallocations of operator new and delete, on all threads, since the program began.
std::int64_t live();

/// Where it returns true, an allocation is neither counted nor made to fail.
extern bool (*exempt)();

}  // namespace sparsert::test::allocations
