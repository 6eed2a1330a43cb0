// The part of CUDA that fastcka uses, computed by the processor, so that the sources of the kernels run in tests
// on a machine with neither a GPU nor the CUDA toolkit. This header replaces the toolkit's.
//
// Emulated: grids, blocks, threads and __syncthreads() (fibers.cpp); streams that run nothing before a caller
// waits for them, events, capture and graphs (streams.cpp); allocations that show reads of unwritten memory and
// writes outside them (memory.cpp); the products of cuBLAS (cublas.cpp); of warps, what csrc/cuda/warp.cuh has
// (emulated_warp.hpp). Not emulated: anything else of warps, atomics, dynamic shared memory, and the speed of anything.
//
// Environment, read at every call:
//     FASTCKA_EMULATION_ORDER    forward (the default), reverse or shuffle: the order in which threads, blocks and
//                                streams run where CUDA promises none. A result that depends on it shows a race.
//     FASTCKA_EMULATION_MEMORY   bytes of one device, 1 GiB if unset
//     FASTCKA_EMULATION_DEVICES  number of devices, 1 if unset
//     FASTCKA_EMULATION_DRIVER   version of the driver, 13000 if unset; 0 is a machine without one
//     FASTCKA_EMULATION_FAILURE  the error of a device that has failed, which every call returns; nothing runs on it
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>
#include <utility>

#include "library_types.h"

#define CUDART_VERSION 13000

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// One block runs at a time, so the storage of one serves them all: a block finds what the one before it left.
#define __shared__ static
#define __syncthreads() ::cuda_emulation::barrier(__FILE__, __LINE__, __PRETTY_FUNCTION__)

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorInvalidDeviceFunction = 98,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorIllegalState = 401,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureImplicit = 906,
};

enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault,
};
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed,
};
inline constexpr unsigned cudaStreamDefault = 0, cudaStreamNonBlocking = 1;

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem;
  int major, minor;
  int multiProcessorCount;
};

using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;

enum cudaMemoryType { cudaMemoryTypeUnregistered, cudaMemoryTypeHost, cudaMemoryTypeDevice };
struct cudaPointerAttributes {
  cudaMemoryType type;
  int device;
  void* devicePointer;
  void* hostPointer;
};

// Exported under CUDA's names, for fake_cupy.py.
#pragma GCC visibility push(default)
extern "C" {
const char* cudaGetErrorName(cudaError_t);
const char* cudaGetErrorString(cudaError_t);
cudaError_t cudaGetLastError();

cudaError_t cudaDriverGetVersion(int*);
cudaError_t cudaRuntimeGetVersion(int*);
cudaError_t cudaGetDeviceCount(int*);
cudaError_t cudaGetDevice(int*);
cudaError_t cudaSetDevice(int);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int device);
cudaError_t cudaDeviceReset();

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);
cudaError_t cudaMallocAsync(void**, std::size_t, cudaStream_t);
cudaError_t cudaFreeAsync(void*, cudaStream_t);
cudaError_t cudaHostAlloc(void**, std::size_t, unsigned flags);
cudaError_t cudaFreeHost(void*);
cudaError_t cudaHostRegister(void*, std::size_t, unsigned);
cudaError_t cudaHostUnregister(void*);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes*, const void*);
cudaError_t cudaMemsetAsync(void*, int value, std::size_t, cudaStream_t);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t, cudaMemcpyKind, cudaStream_t);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t*, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t);
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t);
cudaError_t cudaEventQuery(cudaEvent_t);
cudaError_t cudaEventSynchronize(cudaEvent_t);

cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode);
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t*);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t*, cudaGraph_t, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t);
cudaError_t cudaGraphDestroy(cudaGraph_t);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t);
}
#pragma GCC visibility pop

namespace cuda_emulation {

using Work = std::function<void()>;

// Runs the work when the stream comes to it, or records it if the stream captures.
cudaError_t enqueue(cudaStream_t stream, Work work);

// Calls `thread` for every thread of every block, with the index variables set.
void run_grid(dim3 grid, dim3 block, const Work& thread);

// Waits for the other threads of the block. The place in the source identifies a divergent barrier.
void barrier(const char* file, int line, const char* function);

// Remembers a failure for cudaGetLastError and returns it.
cudaError_t remember(cudaError_t error);

// Ends the use of the device, as a kernel's failure does in CUDA: until cudaDeviceReset, waiting returns the error.
void fail(cudaError_t error);

cudaError_t check_launch(dim3 grid, dim3 block, std::size_t dynamic_shared_bytes, cudaStream_t stream);

template <class... P, std::size_t... I>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, void** arguments, cudaStream_t stream,
                   std::index_sequence<I...>) {
  std::tuple<P...> values(*static_cast<P*>(arguments[I])...);
  return enqueue(stream, [=] { run_grid(grid, block, [&] { std::apply(kernel, values); }); });
}

}  // namespace cuda_emulation

template <class... P>
cudaError_t cudaLaunchKernel(void (*kernel)(P...), dim3 grid, dim3 block, void** arguments,
                             std::size_t dynamic_shared_bytes = 0, cudaStream_t stream = nullptr) {
  using namespace cuda_emulation;
  const cudaError_t error =
      kernel ? check_launch(grid, block, dynamic_shared_bytes, stream) : cudaErrorInvalidDeviceFunction;
  if (error != cudaSuccess) return remember(error);
  return launch(kernel, grid, block, arguments, stream, std::index_sequence_for<P...>{});
}
