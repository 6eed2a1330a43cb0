// Mirrors cpu/far_examples: the examples of each representation that are far from all others. Everything is decided on
// the device, where nothing waits for the host: a representation without such examples costs the looks at its flag.
#pragma once

#include <cuda_runtime.h>

#include "../hsic.hpp"
#include "layout.hpp"
#include "source.hpp"

namespace fastcka::cuda {

// Device addresses.
struct FarExamples {
  const double* robust;  // (d) of each representation: the medians of a sample
  double* distance;      // (m, rows): squared, from the robust centre, times 2^(-2 exponent)
  std::uint8_t* far;     // (m, rows): 1 where far; undefined for a representation that has none
  double* mean;          // (d) of each representation
  std::int64_t* status;  // far_field: 1 if there may be far examples; then their number
};

// After describe_columns. Where a representation has far examples, its mean becomes that of the others.
void find_far_examples(const Batch& batch, int count, DType dtype, const Layout& layout, const FarExamples& out,
                       cudaStream_t stream);

}  // namespace fastcka::cuda
