// Mirrors cpu/features: S0 by the symmetric product of the stacked features, panel of rows by panel, each reduced at
// once to the sums of squares of its (i, j) blocks.
#pragma once

#include <cuda_runtime.h>

#include "cublas.hpp"
#include "layout.hpp"

namespace fastcka::cuda {

// `base` is the address of the pass's allocation, with the products of k without far examples. Leaves S0 without these,
// and its diagonal as it was summed. The rows of far examples must be zero.
void feature_sums(const Shape& shape, const Layout& layout, char* base, Cublas& cublas, cudaStream_t stream);

}  // namespace fastcka::cuda
