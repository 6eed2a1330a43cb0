// Devices, errors, and settings from the environment.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>

#include "runtime.hpp"

using cuda_emulation::call;
using cuda_emulation::readiness;

namespace {

thread_local int device = 0;
thread_local cudaError_t last_error = cudaSuccess;
cudaError_t failure = cudaSuccess;

struct ErrorText {
  cudaError_t error;
  const char *name, *text;
};

constexpr ErrorText error_texts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
};

const ErrorText& describe(cudaError_t error) {
  static constexpr ErrorText unknown{cudaErrorInvalidValue, "unrecognized error code", "unrecognized error code"};
  const auto match = std::find_if(std::begin(error_texts), std::end(error_texts),
                                  [&](const ErrorText& each) { return each.error == error; });
  return match == std::end(error_texts) ? unknown : *match;
}

std::size_t device_count() { return cuda_emulation::setting("FASTCKA_EMULATION_DEVICES", 1); }

}  // namespace

namespace cuda_emulation {

std::recursive_mutex& device_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

std::size_t setting(const char* name, std::size_t unset) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : unset;
}

Order order_setting() {
  const char* text = std::getenv("FASTCKA_EMULATION_ORDER");
  const std::string name = text ? text : "forward";
  if (name == "forward") return Order::forward;
  if (name == "reverse") return Order::reverse;
  if (name == "shuffle") return Order::shuffle;
  std::fprintf(stderr, "FASTCKA_EMULATION_ORDER must be forward, reverse or shuffle, got '%s'\n", text);
  std::abort();
}

cudaError_t readiness() {
  if (setting("FASTCKA_EMULATION_DRIVER", CUDART_VERSION) == 0) return cudaErrorInsufficientDriver;
  if (device_count() == 0) return cudaErrorNoDevice;
  return static_cast<cudaError_t>(setting("FASTCKA_EMULATION_FAILURE", failure));
}

std::size_t device_bytes() { return setting("FASTCKA_EMULATION_MEMORY", std::size_t{1} << 30); }

int current_device() { return device; }

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
  return error;
}

void fail(cudaError_t error) { failure = error; }

}  // namespace cuda_emulation

const char* cudaGetErrorName(cudaError_t error) { return describe(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return describe(error).text; }

cudaError_t cudaGetLastError() {
  const cudaError_t error = readiness() != cudaSuccess ? readiness() : last_error;
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = static_cast<int>(cuda_emulation::setting("FASTCKA_EMULATION_DRIVER", CUDART_VERSION));
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return call([&] {
    *count = static_cast<int>(device_count());
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* index) {
  return call([&] {
    *index = device;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int index) {
  return call([&] {
    if (index < 0 || static_cast<std::size_t>(index) >= device_count()) return cudaErrorInvalidDevice;
    device = index;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int index) {
  return call([&] {
    if (index < 0 || static_cast<std::size_t>(index) >= device_count()) return cudaErrorInvalidDevice;
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "emulated device %d", index);
    properties->totalGlobalMem = cuda_emulation::device_bytes();
    properties->major = 9;
    properties->multiProcessorCount = 132;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceReset() {
  const std::lock_guard<std::recursive_mutex> alone(cuda_emulation::device_mutex());
  cuda_emulation::reset_streams();
  cuda_emulation::reset_memory();
  failure = last_error = cudaSuccess;
  return cudaSuccess;
}
