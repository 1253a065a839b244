// kernels/cuda/each.cu — the whole-array steps of each.cuh.
#include "kernels/cuda/each.cuh"

#include <thrust/functional.h>
#include <thrust/reduce.h>
#include <thrust/scan.h>

#include "device/thrust.cuh"

namespace sparsert::backend::SPARSERT_BACKEND {

void running_sums(std::int32_t* first, std::int64_t n, const Stream& stream) {
  thrust::inclusive_scan(thrust_policy(stream), first, first + n, first);
}

void running_sums(std::int64_t* first, std::int64_t n, const Stream& stream) {
  thrust::inclusive_scan(thrust_policy(stream), first, first + n, first);
}

std::int64_t Each::least(const std::int64_t* first, std::int64_t n, const Stream& stream) {
  return thrust::reduce(thrust_policy(stream), first, first + n, std::int64_t{INT64_MAX},
                        thrust::minimum<std::int64_t>());
}

}  // namespace sparsert::backend::SPARSERT_BACKEND
