// Where the centred rows are, as prepare.hpp describes it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "arithmetic.cuh"
#include "far_examples.hpp"
#include "layout.hpp"

namespace fastcka::cuda {

struct Stored {
  void* x;
  std::int64_t rows;   // padded
  std::int64_t chunk;  // examples whose slabs are below each other; 0: slabs next to each other
  std::int64_t pitch;  // features: from row to row
  FarRows far;

  Stored(char* base, const Shape& shape, const Layout& layout)
      : x(layout.all_x(base)),
        rows(layout.rows),
        chunk(shape.route == Route::gram ? 0 : shape.chunk),
        pitch(layout.start.back()),
        far(base, layout) {}

  struct Place {
    std::int64_t offset, step;  // of the first slab, and from slab to slab; in items
  };

  // Of a row of a representation that begins after `start` padded columns.
  __device__ Place place(std::int64_t row, std::int64_t start, std::int64_t width, int slabs) const {
    if (chunk == 0) return {(start * rows + row * width) * slabs, width};
    const std::int64_t before = row / chunk * chunk;
    const std::int64_t left = rows - before;
    return {(before * slabs + row - before) * pitch + start, (left < chunk ? left : chunk) * pitch};
  }
};

// Calls `with` with the storage of the products.
template <class With>
void with_storage(Products products, With with) {
  switch (products) {
    case Products::float32:
      return with(Whole<float>());
    case Products::float64:
      return with(Whole<double>());
    case Products::float16:
      return with(Half());
    case Products::float16x3:
      return with(HighLow());
  }
}

}  // namespace fastcka::cuda
