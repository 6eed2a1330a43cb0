// Mirrors cpu/features: S0 by the symmetric product of the stacked features, panel of rows by panel, each reduced at
// once to the sums of squares of its (i, j) blocks.
#pragma once

#include <cuda_runtime.h>

#include "cublas.hpp"
#include "layout.hpp"

namespace fastcka::cuda {

// `base` is the address of the pass's allocation; `norms` (m, m) the products k_i.k_j. Leaves S0 (m, m) at `s0`.
void feature_sums(const Shape& shape, const Layout& layout, char* base, Cublas& cublas, const double* norms, double* s0,
                  cudaStream_t stream);

}  // namespace fastcka::cuda
