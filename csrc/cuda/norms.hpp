// Mirrors cpu/norms: the row sums q and r, the inner products of k, q and r of all pairs, and how far the entries of
// each Gram matrix reach.
#pragma once

#include <cuda_runtime.h>

#include "cublas.hpp"
#include "layout.hpp"

namespace fastcka::cuda {

// From k, the stored rows and their far examples to q and r, to `products`, and to the totals of q and r in the results
// of the pass; `base` is the address of its allocation. Where Gram tiles are split, |K_i(a, b)| <= 2^(15 + v_exponent)
// for a != b after it.
void norm_products(const Shape& shape, const Layout& layout, char* base, Cublas& cublas, cudaStream_t stream);

}  // namespace fastcka::cuda
