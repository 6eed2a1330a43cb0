#include "arithmetic.cuh"
#include "launch.cuh"
#include "norms.hpp"
#include "reduce.cuh"

namespace fastcka::cuda {
namespace {

constexpr int threads = 256;
// fp16 numbers reach 65504.
constexpr int gram_headroom = 15;

// One block of threads for a representation.
__global__ void __launch_bounds__(threads)
    traces_kernel(std::int64_t rows, const double* k, double* traces, int* exponent) {
  const double* own = k + blockIdx.x * rows;
  double sum = 0, largest = 0;
  for (std::int64_t a = threadIdx.x; a < rows; a += threads) {
    sum += own[a];
    largest = Larger()(largest, own[a]);
  }
  sum = reduce_block<threads>(sum, Add());
  largest = reduce_block<threads>(largest, Larger());
  if (threadIdx.x != 0) return;
  traces[blockIdx.x] = sum;
  if (exponent != nullptr)
    exponent[blockIdx.x] = largest > 0 && is_finite(largest) ? ilogb(largest) + 1 - gram_headroom : 0;
}

}  // namespace

void norm_products(std::int64_t m, std::int64_t rows, double* k, double* norms, double* traces, int* exponent,
                   Cublas& cublas, cudaStream_t stream) {
  launch(&traces_kernel, dim3(extent(m)), dim3(threads), stream, rows, k, traces, exponent);
  cublas.multiply(Products::float64, Depth::columns, m, m, rows, {k, rows}, {k, rows}, false, {norms, m});
}

}  // namespace fastcka::cuda
