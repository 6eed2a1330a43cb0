// The sums of squares of X'X of fp16 values, by one kernel that writes no product.
#pragma once

#include <cuda_runtime.h>

#include "layout.hpp"

namespace fastcka::cuda {

// The sum of squares of each block of features of a band, from the diagonal of the plane on: `height` features from
// `begin` on, against all from there.
void feature_blocks(const Shape& shape, const Layout& layout, std::int64_t begin, std::int64_t height, char* base,
                    cudaStream_t stream);

}  // namespace fastcka::cuda
