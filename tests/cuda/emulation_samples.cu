// Kernels that show one property each of the emulated device. Pointers come as integers: tests own the memory.
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>

namespace py = pybind11;

namespace {

using Address = std::uintptr_t;
using Extent = std::array<unsigned, 3>;
constexpr unsigned block_size = 64;

dim3 to_dim3(const Extent& extent) { return {extent[0], extent[1], extent[2]}; }

template <class... P, class... A>
int launch(void (*kernel)(P...), dim3 grid, dim3 block, Address stream, A... arguments) {
  std::tuple<P...> values(arguments...);
  return std::apply(
      [&](P&... each) {
        void* addresses[] = {&each...};
        return cudaLaunchKernel(kernel, grid, block, addresses, 0, reinterpret_cast<cudaStream_t>(stream));
      },
      values);
}

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

// Each thread counts its visit at its place in the grid, row by row.
__global__ void visit_kernel(int* visits) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  ++visits[block * blockDim.x * blockDim.y * blockDim.z + thread];
}

// Reverses each stretch of 64 values through shared memory, `times` times.
__global__ void __launch_bounds__(block_size) mirror_kernel(float* values, int times) {
  __shared__ float shared[block_size];
  const unsigned place = blockIdx.x * block_size + threadIdx.x;
  for (int time = 0; time < times; ++time) {
    shared[threadIdx.x] = values[place];
    __syncthreads();
    values[place] = shared[block_size - 1 - threadIdx.x];
    __syncthreads();
  }
}

// The same without the barriers: each thread may read what another has not written yet.
__global__ void racing_mirror_kernel(float* values) {
  __shared__ float shared[block_size];
  shared[threadIdx.x] = values[threadIdx.x];
  values[threadIdx.x] = shared[block_size - 1 - threadIdx.x];
}

__global__ void last_block_kernel(unsigned* last) { *last = blockIdx.x; }

__global__ void early_return_kernel(float* values) {
  if (threadIdx.x % 2 == 0) return;
  __syncthreads();
  values[threadIdx.x] = 1;
}

__global__ void two_barriers_kernel(float* values) {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
    values[threadIdx.x] = 1;
  }
}

__global__ void add_kernel(float* values, float amount) { values[blockIdx.x] += amount; }

__global__ void round_kernel(const float* values, __half* halves, float* back) {
  halves[blockIdx.x] = __float2half_rn(values[blockIdx.x]);
  back[blockIdx.x] = __half2float(halves[blockIdx.x]);
}

}  // namespace

PYBIND11_MODULE(emulation_samples, module) {
  module.def("visit", [](Extent grid, Extent block, Address visits) {
    return launch(visit_kernel, to_dim3(grid), to_dim3(block), 0, at<int>(visits));
  });
  module.def("mirror", [](unsigned blocks, Address values, int times, Address stream) {
    return launch(mirror_kernel, blocks, block_size, stream, at<float>(values), times);
  });
  module.def("racing_mirror",
             [](Address values) { return launch(racing_mirror_kernel, 1, block_size, 0, at<float>(values)); });
  module.def("last_block",
             [](unsigned blocks, Address last) { return launch(last_block_kernel, blocks, 1, 0, at<unsigned>(last)); });
  module.def("early_return",
             [](Address values) { return launch(early_return_kernel, 1, block_size, 0, at<float>(values)); });
  module.def("two_barriers",
             [](Address values) { return launch(two_barriers_kernel, 1, block_size, 0, at<float>(values)); });
  module.def("add", [](unsigned size, Address values, float amount, Address stream) {
    return launch(add_kernel, size, 1, stream, at<float>(values), amount);
  });
  module.def("round", [](unsigned size, Address values, Address halves, Address back) {
    return launch(round_kernel, size, 1, 0, at<float>(values), at<__half>(halves), at<float>(back));
  });
}
