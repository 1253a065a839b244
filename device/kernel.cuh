// device/kernel.cuh — what a kernel and its launcher include: memory, shared memory, vectors, atomics, launch.
//
// The same source is compiled by nvcc for the `cuda` device and by the host compiler for `simt`, where every thread is
// a fiber and every access is checked (device/simt/). Everything lives in an inline namespace of its compiler, since
// one name with two bodies in one binary would let one silently stand for the other.
//
//   Global<T> p             device memory: p[i], p + n. A kernel takes Global, never a raw pointer; no &p[i].
//   SharedArray<T, N>       an array in shared memory; SharedPointer<T> points into shared memory.
//   shared<Shared>()        the block's static shared memory, a struct of SharedArrays.
//   dynamic_shared<T>()     the block's dynamic shared memory, a SharedPointer<T>.
//   load_vec<N>(p, i)       Vec<T, N> from p[i] on, in one access; p + i is aligned to the vector. store_vec likewise.
//   atomic_add(p, i, v)     and _max, _min, _or, _and, _exchange, _cas: on integers of 4 or 8 bytes; the old value.
//   launch(stream, {.grid = g, .block = b, .shared = bytes}, &kernel<Config, T>, args...)
//
// Thrust's algorithms on keys and integers take thrust_policy(stream), of device/thrust.cuh.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "device/launch.hpp"
#include "device/launches.hpp"
#include "sparsert/buffer.hpp"
#include "sparsert/dtype.hpp"
#include "sparsert/error.hpp"
#include "sparsert/stream.hpp"

#ifdef __CUDACC__
#define SPARSERT_BACKEND cuda
#include "device/nvcc.cuh"
#else
#define SPARSERT_BACKEND simt
#include "device/simt/host.hpp"
#endif
