// Kernels that each show one property of the emulated device. Pointers are integers: the tests allocate the memory.
#include <cuda_runtime.h>
#include <pybind11/pybind11.h>

#include <cstdint>

namespace {

using Address = std::uintptr_t;
constexpr unsigned block_size = 64;

// Reverses 64 values through shared memory.
__global__ void mirror_kernel(float* values) {
  __shared__ float shared[block_size];
  shared[threadIdx.x] = values[threadIdx.x];
  __syncthreads();
  values[threadIdx.x] = shared[block_size - 1 - threadIdx.x];
}

// The same without the barrier: each thread may read what another has not written yet.
__global__ void racing_mirror_kernel(float* values) {
  __shared__ float shared[block_size];
  shared[threadIdx.x] = values[threadIdx.x];
  values[threadIdx.x] = shared[block_size - 1 - threadIdx.x];
}

__global__ void two_barriers_kernel(float* values) {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
    values[threadIdx.x] = 1;
  }
}

__global__ void last_block_kernel(float* last) { *last = blockIdx.x; }

__global__ void add_kernel(float* values, float amount) { values[blockIdx.x] += amount; }

template <class... A>
int launch(void (*kernel)(float*, A...), unsigned blocks, unsigned threads, Address values, A... rest, Address stream) {
  float* first = reinterpret_cast<float*>(values);
  void* addresses[] = {&first, &rest...};
  return cudaLaunchKernel(kernel, blocks, threads, addresses, 0, reinterpret_cast<cudaStream_t>(stream));
}

}  // namespace

PYBIND11_MODULE(emulation_samples, module) {
  module.def("mirror", [](Address values) { return launch<>(mirror_kernel, 1, block_size, values, 0); });
  module.def("racing_mirror", [](Address values) { return launch<>(racing_mirror_kernel, 1, block_size, values, 0); });
  module.def("two_barriers", [](Address values) { return launch<>(two_barriers_kernel, 1, block_size, values, 0); });
  module.def("last_block",
             [](unsigned blocks, Address last) { return launch<>(last_block_kernel, blocks, 1, last, 0); });
  module.def("add", [](unsigned blocks, Address values, float amount, Address stream) {
    return launch<float>(add_kernel, blocks, 1, values, amount, stream);
  });
}
