// Mirrors cpu/norms: k_i.k_j of all pairs, the traces sum k_i, and how far the entries of each Gram matrix reach.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cublas.hpp"

namespace fastcka::cuda {

// k (m, rows) to norms (m, m) and traces (m). Where `exponent` is not null, |K_i(a, b)| <= 2^(15 + exponent[i]) after
// it: an entry of a Gram matrix is at most the largest squared norm.
void norm_products(std::int64_t m, std::int64_t rows, double* k, double* norms, double* traces, int* exponent,
                   Cublas& cublas, cudaStream_t stream);

}  // namespace fastcka::cuda
