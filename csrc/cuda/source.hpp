// Representations as the kernels see them, a few at a time, passed by value: nothing has to be copied to the device
// before a kernel can start.
#pragma once

#include <cstdint>

namespace fastcka::cuda {

struct Source {
  const char* data;
  std::int64_t row_stride, column_stride;  // bytes
  std::int64_t index;                      // of the representation
  std::int64_t d;
  // Of the Layout:
  std::int64_t width, start, column, strip;
};

// Kernel parameters are limited to 4 KiB on every device.
inline constexpr int most_sources = 32;

struct Batch {
  Source items[most_sources];
};

}  // namespace fastcka::cuda
