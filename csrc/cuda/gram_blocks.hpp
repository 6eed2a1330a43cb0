// Gram tiles of fp16 values as V needs them, by one kernel: products, zeros, scale, high and low parts.
#pragma once

#include <cuda_runtime.h>

#include "gram_tile.hpp"
#include "layout.hpp"

namespace fastcka::cuda {

// Fills V for `count` representations of one width, from the i-th on.
void gram_blocks(const Shape& shape, const Layout& layout, std::int64_t i, std::int64_t count, const TileShape& tile,
                 char* base, cudaStream_t stream);

}  // namespace fastcka::cuda
