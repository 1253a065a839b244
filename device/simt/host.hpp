// device/simt/host.hpp — CUDA's spellings for the host compiler: qualifiers, coordinates, barriers, warp operations,
// launch.
#pragma once

// Where a CUDA toolkit's headers are on the default path, Thrust (device/thrust.cuh) includes them, and they define the
// qualifiers as attributes that the host compiler does not know. Included first, they are done with it.
#if __has_include(<cuda_runtime_api.h>)
#include <cuda_runtime_api.h>
#endif
#undef __global__
#undef __device__
#undef __host__
#undef __forceinline__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "device/launches.hpp"
#include "device/simt/engine.hpp"
#include "device/simt/pointers.hpp"

namespace sparsert::backend {
inline namespace simt_ {

inline constexpr const ::sparsert::simt::Coordinates& threadIdx = ::sparsert::simt::position.thread;
inline constexpr const ::sparsert::simt::Coordinates& blockIdx = ::sparsert::simt::position.block;
inline constexpr const ::sparsert::simt::Coordinates& blockDim = ::sparsert::simt::position.block_size;
inline constexpr const ::sparsert::simt::Coordinates& gridDim = ::sparsert::simt::position.grid_size;
inline constexpr int warpSize = 32;

// ---- Barriers of the block.

inline void __syncthreads(SourceLocation where = SourceLocation::current()) {
  ::sparsert::simt::block_barrier("__syncthreads()", false, where);
}

inline int __syncthreads_count(int predicate, SourceLocation where = SourceLocation::current()) {
  return static_cast<int>(::sparsert::simt::block_barrier("__syncthreads_count()", predicate != 0, where));
}

inline int __syncthreads_or(int predicate, SourceLocation where = SourceLocation::current()) {
  return ::sparsert::simt::block_barrier("__syncthreads_or()", predicate != 0, where) != 0;
}

inline int __syncthreads_and(int predicate, SourceLocation where = SourceLocation::current()) {
  return ::sparsert::simt::block_barrier("__syncthreads_and()", predicate == 0, where) == 0;
}

// ---- Warp operations.

namespace checked {

template <class T>
inline std::uint64_t to_bits(T value) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "as CUDA has it");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <class T>
inline T from_bits(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <class T>
inline T shuffle(const char* name, unsigned mask, T value, std::uint32_t source, SourceLocation where) {
  return from_bits<T>(engine::warp_operation(engine::WarpOp::shuffle, name, mask, to_bits(value), source, where));
}

inline std::uint32_t lane() { return engine::position.lane; }

inline std::uint32_t warp_result(engine::WarpOp op, const char* name, unsigned mask, std::uint64_t value,
                                 SourceLocation where) {
  return static_cast<std::uint32_t>(engine::warp_operation(op, name, mask, value, 0, where));
}

}  // namespace checked

inline void __syncwarp(unsigned mask = 0xffffffffu, SourceLocation where = SourceLocation::current()) {
  checked::engine::warp_operation(checked::engine::WarpOp::sync, "__syncwarp()", mask, 0, 0, where);
}

inline unsigned __activemask() { return checked::engine::active_mask(); }

// A segment of `width` lanes, a power of two, shuffles within itself.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, SourceLocation where = SourceLocation::current()) {
  const std::uint32_t w = static_cast<std::uint32_t>(width);
  const std::uint32_t from = (checked::lane() & ~(w - 1)) | (static_cast<std::uint32_t>(source) & (w - 1));
  return checked::shuffle("__shfl_sync()", mask, value, from, where);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 SourceLocation where = SourceLocation::current()) {
  const std::uint32_t lane = checked::lane();
  const std::uint32_t within = lane & (static_cast<std::uint32_t>(width) - 1);
  return checked::shuffle("__shfl_up_sync()", mask, value, within >= delta ? lane - delta : lane, where);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   SourceLocation where = SourceLocation::current()) {
  const std::uint32_t lane = checked::lane();
  const std::uint32_t w = static_cast<std::uint32_t>(width);
  const std::uint32_t within = lane & (w - 1);
  return checked::shuffle("__shfl_down_sync()", mask, value, within + delta < w ? lane + delta : lane, where);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, SourceLocation where = SourceLocation::current()) {
  const std::uint32_t lane = checked::lane();
  const std::uint32_t from = lane ^ static_cast<std::uint32_t>(lanes);
  // A lane of a later segment cannot be read, one of an earlier segment can.
  const std::uint32_t segment_end = (lane | (static_cast<std::uint32_t>(width) - 1)) + 1;
  return checked::shuffle("__shfl_xor_sync()", mask, value, from < segment_end ? from : lane, where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, SourceLocation where = SourceLocation::current()) {
  return checked::warp_result(checked::engine::WarpOp::ballot, "__ballot_sync()", mask, predicate != 0, where);
}

inline int __any_sync(unsigned mask, int predicate, SourceLocation where = SourceLocation::current()) {
  return checked::warp_result(checked::engine::WarpOp::bit_or, "__any_sync()", mask, predicate != 0, where) != 0;
}

inline int __all_sync(unsigned mask, int predicate, SourceLocation where = SourceLocation::current()) {
  return checked::warp_result(checked::engine::WarpOp::bit_and, "__all_sync()", mask, predicate != 0, where) != 0;
}

template <class T>
unsigned __match_any_sync(unsigned mask, T value, SourceLocation where = SourceLocation::current()) {
  return checked::warp_result(checked::engine::WarpOp::match_any, "__match_any_sync()", mask, checked::to_bits(value),
                              where);
}

template <class T>
unsigned __match_all_sync(unsigned mask, T value, int* all, SourceLocation where = SourceLocation::current()) {
  const unsigned result = checked::warp_result(checked::engine::WarpOp::match_all, "__match_all_sync()", mask,
                                               checked::to_bits(value), where);
  *all = result != 0;
  return result;
}

inline unsigned __reduce_add_sync(unsigned mask, unsigned value, SourceLocation where = SourceLocation::current()) {
  return checked::warp_result(checked::engine::WarpOp::add, "__reduce_add_sync()", mask, value, where);
}
inline int __reduce_add_sync(unsigned mask, int value, SourceLocation where = SourceLocation::current()) {
  return static_cast<int>(__reduce_add_sync(mask, static_cast<unsigned>(value), where));
}

inline unsigned __reduce_min_sync(unsigned mask, unsigned value, SourceLocation where = SourceLocation::current()) {
  return checked::warp_result(checked::engine::WarpOp::min_unsigned, "__reduce_min_sync()", mask, value, where);
}
inline int __reduce_min_sync(unsigned mask, int value, SourceLocation where = SourceLocation::current()) {
  return static_cast<int>(checked::warp_result(checked::engine::WarpOp::min_signed, "__reduce_min_sync()", mask,
                                               static_cast<unsigned>(value), where));
}

inline unsigned __reduce_max_sync(unsigned mask, unsigned value, SourceLocation where = SourceLocation::current()) {
  return checked::warp_result(checked::engine::WarpOp::max_unsigned, "__reduce_max_sync()", mask, value, where);
}
inline int __reduce_max_sync(unsigned mask, int value, SourceLocation where = SourceLocation::current()) {
  return static_cast<int>(checked::warp_result(checked::engine::WarpOp::max_signed, "__reduce_max_sync()", mask,
                                               static_cast<unsigned>(value), where));
}

inline unsigned __reduce_and_sync(unsigned mask, unsigned value, SourceLocation where = SourceLocation::current()) {
  return checked::warp_result(checked::engine::WarpOp::bit_and, "__reduce_and_sync()", mask, value, where);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, SourceLocation where = SourceLocation::current()) {
  return checked::warp_result(checked::engine::WarpOp::bit_or, "__reduce_or_sync()", mask, value, where);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, SourceLocation where = SourceLocation::current()) {
  return checked::warp_result(checked::engine::WarpOp::bit_xor, "__reduce_xor_sync()", mask, value, where);
}

// ---- Fences order what other threads see; here one thread runs at a time. The race check knows no fences: a protocol
// between blocks that needs one is two launches.

inline void __threadfence() {}
inline void __threadfence_block() {}

// ---- Bits, as CUDA spells them.

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline int __ffsll(long long x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(x)) + 1; }
inline unsigned __brev(unsigned x) {
  x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
  x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
  x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
  return __builtin_bswap32(x);
}
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

using std::fma;
using std::max;
using std::min;

// ---- Launch.

namespace checked {

template <class F>
void call(const void* closure) {
  (*static_cast<const F*>(closure))();
}

inline engine::Coordinates coordinates(const Extent& e) {
  return {static_cast<std::uint32_t>(e.x), static_cast<std::uint32_t>(e.y), static_cast<std::uint32_t>(e.z)};
}

}  // namespace checked

/// Runs a kernel to its end; nothing where the grid is empty. Throws what the checker found.
template <class... Parameters>
void launch(const Stream& stream, const LaunchConfig& config, void (*kernel)(Parameters...),
            std::type_identity_t<Parameters>... args) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...));
  require(stream.device().type == Device::Type::simt,
          [&] { return "launch: got a stream of " + to_string(stream.device()) + ", expected one of simt"; });
  if (is_empty_launch(config)) return;
  const auto body = [&] { kernel(args...); };
  checked::engine::run({checked::coordinates(config.grid), checked::coordinates(config.block), config.shared},
                       reinterpret_cast<const void*>(kernel), &checked::call<decltype(body)>, &body);
  count_launch(Device::Type::simt);
}

/// Multiprocessors of the stream's device: what a grid-stride launch fills. Few, so that such loops go round.
inline int multiprocessors(const Stream&) { return 2; }

}  // namespace simt_
}  // namespace sparsert::backend
