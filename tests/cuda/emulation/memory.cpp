// Memory of the device and pinned memory of the host. Memory that was never written or was freed reads as NaN in every
// floating-point type; writes outside an allocation are noticed when it is freed. Memory of the device is freed in the
// order of the stream that allocated it: another stream that still uses it without an event reads NaN.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "runtime.hpp"

using cuda_emulation::call;
using cuda_emulation::enqueue;

namespace {

constexpr std::size_t alignment = 256;  // as CUDA's
constexpr std::size_t guard_bytes = 16 * alignment;
constexpr unsigned char guard_value = 0xa5;
constexpr int nan_value = 0xff;
constexpr std::size_t most_freed_bytes = 64 << 20;

struct Free {
  void operator()(char* memory) const { std::free(memory); }
};

// Guard, bytes, guard.
struct Allocation {
  explicit Allocation(std::size_t size)
      : memory(static_cast<char*>(
            std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment + 2 * guard_bytes))),
        bytes(size) {
    std::memset(memory.get(), guard_value, bytes + 2 * guard_bytes);
    std::memset(begin(), nan_value, bytes);
  }

  char* begin() const { return memory.get() + guard_bytes; }

  bool intact() const {
    for (std::size_t i = 0; i < guard_bytes; ++i) {
      const auto value = [&](const char* from) { return static_cast<unsigned char>(from[i]); };
      if (value(memory.get()) != guard_value || value(begin() + bytes) != guard_value) return false;
    }
    return true;
  }

  std::unique_ptr<char, Free> memory;
  std::size_t bytes;
  int device = cuda_emulation::current_device();
};

using Allocations = std::map<const char*, std::shared_ptr<Allocation>>;
Allocations on_device, pinned;
std::map<const char*, std::size_t> registered;  // memory of the process that CUDA was told to pin -> bytes

// Reused by the next allocation of the same size on the same stream, as in the pools of CUDA and cupy.
struct Freed {
  std::shared_ptr<Allocation> allocation;
  cudaStream_t stream;  // of pinned memory: `host`
};
const auto host = reinterpret_cast<cudaStream_t>(-1);
std::deque<Freed> freed;
std::size_t freed_bytes = 0;

void retire(const Allocation& allocation) {
  if (!allocation.intact()) {
    std::fprintf(stderr, "something was written outside an allocation of %zu bytes\n", allocation.bytes);
    cuda_emulation::fail(cudaErrorIllegalAddress);
  }
  std::memset(allocation.begin(), nan_value, allocation.bytes);
}

void keep(const std::shared_ptr<Allocation>& allocation, cudaStream_t stream) {
  freed.push_back({allocation, stream});
  freed_bytes += allocation->bytes;
  while (freed_bytes > most_freed_bytes) {
    freed_bytes -= freed.front().allocation->bytes;
    freed.pop_front();
  }
}

std::shared_ptr<Allocation> take(std::size_t bytes, cudaStream_t stream) {
  const auto match = std::find_if(freed.begin(), freed.end(), [&](const Freed& each) {
    return each.allocation->bytes == bytes && each.allocation->device == cuda_emulation::current_device() &&
           each.stream == stream;
  });
  if (match == freed.end()) return std::make_shared<Allocation>(bytes);
  const std::shared_ptr<Allocation> allocation = match->allocation;
  freed_bytes -= bytes;
  freed.erase(match);
  return allocation;
}

bool is_in(const Allocations& allocations, const void* address) {
  const auto* byte = static_cast<const char*>(address);
  const auto after = allocations.upper_bound(byte);
  if (after == allocations.begin()) return false;
  const auto& [begin, allocation] = *std::prev(after);
  return byte < begin + allocation->bytes;
}

bool is_pinned(const void* address) {
  const auto* byte = static_cast<const char*>(address);
  const auto after = registered.upper_bound(byte);
  return is_in(pinned, address) ||
         (after != registered.begin() && byte < std::prev(after)->first + std::prev(after)->second);
}

std::size_t free_bytes() {
  std::size_t free = cuda_emulation::device_bytes();
  for (const auto& [begin, allocation] : on_device) {
    if (allocation->device == cuda_emulation::current_device()) free -= std::min(free, allocation->bytes);
  }
  return free;
}

}  // namespace

void cuda_emulation::reset_memory() {
  on_device.clear();
  registered.clear();
  freed.clear();
  freed_bytes = 0;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call([&] {
    *free = free_bytes();
    *total = cuda_emulation::device_bytes();
    return cudaSuccess;
  });
}

cudaError_t cudaMallocAsync(void** address, std::size_t bytes, cudaStream_t stream) {
  return call([&] {
    if (cuda_emulation::is_capturing(stream)) return cudaErrorStreamCaptureUnsupported;
    if (bytes > free_bytes()) return cudaErrorMemoryAllocation;
    const std::shared_ptr<Allocation> allocation = take(bytes, stream);
    on_device[allocation->begin()] = allocation;
    *address = allocation->begin();
    return cudaSuccess;
  });
}

cudaError_t cudaFreeAsync(void* address, cudaStream_t stream) {
  return call([&] {
    const auto entry = on_device.find(static_cast<char*>(address));
    if (entry == on_device.end()) return cudaErrorInvalidValue;
    const std::shared_ptr<Allocation> allocation = entry->second;
    on_device.erase(entry);
    keep(allocation, stream);
    return enqueue(stream, [allocation] { retire(*allocation); });
  });
}

cudaError_t cudaHostAlloc(void** address, std::size_t bytes, unsigned) {
  return call([&] {
    const std::shared_ptr<Allocation> allocation = take(bytes, host);
    pinned[allocation->begin()] = allocation;
    *address = allocation->begin();
    return cudaSuccess;
  });
}

cudaError_t cudaFreeHost(void* address) {
  return call([&] {
    const auto entry = pinned.find(static_cast<char*>(address));
    if (entry == pinned.end()) return cudaErrorInvalidValue;
    retire(*entry->second);
    keep(entry->second, host);
    pinned.erase(entry);
    return cudaSuccess;
  });
}

cudaError_t cudaHostRegister(void* address, std::size_t bytes, unsigned) {
  return call([&] {
    if (bytes == 0 || is_pinned(address)) return cudaErrorInvalidValue;
    registered[static_cast<const char*>(address)] = bytes;
    return cudaSuccess;
  });
}

cudaError_t cudaHostUnregister(void* address) {
  return call(
      [&] { return registered.erase(static_cast<const char*>(address)) == 1 ? cudaSuccess : cudaErrorInvalidValue; });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  return call([&] {
    const cudaMemoryType type = is_pinned(address)          ? cudaMemoryTypeHost
                                : is_in(on_device, address) ? cudaMemoryTypeDevice
                                                            : cudaMemoryTypeUnregistered;
    *attributes = {type, cuda_emulation::current_device(), nullptr, nullptr};
    return cudaSuccess;
  });
}

cudaError_t cudaMemsetAsync(void* address, int value, std::size_t bytes, cudaStream_t stream) {
  return enqueue(stream, [=] { std::memset(address, value, bytes); });
}

// As in CUDA, pageable memory of the host is read before the call returns, or written before it returns.
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return call([&] {
    const bool from_host = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyHostToHost;
    const bool to_host = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyHostToHost;
    if (kind != cudaMemcpyDefault &&
        (is_in(from_host ? on_device : pinned, from) || is_in(to_host ? on_device : pinned, to))) {
      return cudaErrorInvalidValue;
    }
    if (from_host && !is_pinned(from)) {
      const std::string staged(static_cast<const char*>(from), bytes);
      return enqueue(stream, [=] { std::memcpy(to, staged.data(), bytes); });
    }
    const cudaError_t error = enqueue(stream, [=] { std::memmove(to, from, bytes); });
    const bool wait = to_host && !is_pinned(to) && !cuda_emulation::is_capturing(stream);
    return error == cudaSuccess && wait ? cuda_emulation::synchronize(stream) : error;
  });
}
