// Declarations shared by the parts of the emulation.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "cuda_runtime.h"

namespace cuda_emulation {

// Held by every call: the device serves one thread of the processor at a time.
std::recursive_mutex& device_mutex();

// A number from the environment.
std::size_t setting(const char* name, std::size_t unset);

enum class Order { forward, reverse, shuffle };
Order order_setting();

// 0 to count - 1 in that order.
std::vector<std::size_t> arrange(Order order, std::size_t count);

// Success, or why every call fails: no driver, no device, or an earlier failure on it.
cudaError_t readiness();

int current_device();
std::size_t device_bytes();

bool is_capturing(cudaStream_t stream);

// Whether the stream is one of the current device.
bool is_here(cudaStream_t stream);

// Waits for the stream, after which the work that it held has run.
cudaError_t synchronize(cudaStream_t stream);

// For cudaDeviceReset: handles of streams and allocations become invalid.
void reset_streams();
void reset_memory();

// One call of CUDA's interface: alone on the device, only if there is one, its failure remembered.
template <class Body>
cudaError_t call(Body body) {
  const std::lock_guard<std::recursive_mutex> alone(device_mutex());
  const cudaError_t ready = readiness();
  return remember(ready == cudaSuccess ? body() : ready);
}

}  // namespace cuda_emulation
