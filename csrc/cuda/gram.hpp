// Mirrors cpu/gram: S0 by tiles of the n x n plane. In each, the Gram tiles of all representations, their diagonals
// zeroed, and then V V' (V is M x tile^2), in float32 sums of one chunk of entries, added in float64.
#pragma once

#include <cuda_runtime.h>

#include "cublas.hpp"
#include "layout.hpp"

namespace fastcka::cuda {

// `base` is the address of the pass's allocation, whose `v_exponent` is filled (see norms). Leaves S0 and its diagonal
// as it was summed.
void gram_sums(const Shape& shape, const Layout& layout, char* base, Cublas& cublas, cudaStream_t stream);

}  // namespace fastcka::cuda
