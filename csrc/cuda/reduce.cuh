// Reductions over the threads of a block, in an order that its size fixes: the same bits in every run.
#pragma once

#include <cuda_runtime.h>

namespace fastcka::cuda {

struct Add {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

struct Smaller {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};

// Every thread of the block calls it and gets the result; `threads`, a power of two, is their number.
template <int threads, class T, class Combine>
__device__ T reduce_block(T value, Combine combine) {
  __shared__ T values[threads];
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  values[thread] = value;
  __syncthreads();
  for (int half = threads / 2; half > 0; half /= 2) {
    if (thread < half) values[thread] = combine(values[thread], values[thread + half]);
    __syncthreads();
  }
  const T result = values[0];
  __syncthreads();  // the next reduction of this kind writes to the same place
  return result;
}

}  // namespace fastcka::cuda
