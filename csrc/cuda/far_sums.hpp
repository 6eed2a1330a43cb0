// Mirrors far_sums in cpu/far_examples: what far examples add to S0 in the features route, whose products contain a =
// b.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "cublas.hpp"
#include "layout.hpp"

namespace fastcka::cuda {

// All pairs a != b with a or b among `rows`, by products in float64, to `far_total` (m, m): its upper triangle counts.
// Then these rows of the copy become zero. `base` is the address of the pass's allocation.
void far_sums(const Shape& shape, const Layout& layout, char* base, const std::vector<std::int64_t>& rows,
              Cublas& cublas, cudaStream_t stream);

// s0 += far_total.
void add_far_sums(const Layout& layout, char* base, cudaStream_t stream);

}  // namespace fastcka::cuda
