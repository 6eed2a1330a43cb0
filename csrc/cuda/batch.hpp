// Representations as the kernels see them, a few at a time, passed by value: nothing must be copied to the device
// before a kernel can start.
#pragma once

#include <cstdint>

namespace fastcka::cuda {

// One representation.
struct BatchItem {
  const char* data;
  std::int64_t row_stride, column_stride;  // bytes
  std::int64_t index;                      // of the representation
  std::int64_t d;
  // Of the Layout:
  std::int64_t width, start, column, strip;
};

// Kernel parameters are limited to 4 KiB on every device.
inline constexpr int most_items = 32;

struct Batch {
  BatchItem items[most_items];
};

}  // namespace fastcka::cuda
