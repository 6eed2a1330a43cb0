// Mirrors cpu/far_examples: the examples of each representation that are far from all others. Everything is decided on
// the device, where nothing waits for the host: a representation without such examples costs the looks at its flag.
//
// The range of fp16 does not cover both far examples and the others. So all are scaled for the others, and each far
// example has an additional exponent.
#pragma once

#include <cuda_runtime.h>

#include "../hsic.hpp"
#include "batch.hpp"
#include "columns.hpp"
#include "layout.hpp"

namespace fastcka::cuda {

// Device addresses.
struct FarExamples {
  const double* robust;  // (d) of each representation: the medians of a sample
  double* distance;      // (m, rows): squared, from the robust centre, times 2^(-2 exponent)
  std::int8_t* far;      // (m, rows): 0, or 1 + exponent of a far example; undefined for a representation without
  double* mean;          // (d) of each representation
  std::int64_t* status;  // far_field: 1 if there may be far examples; then their number
};

// What kernels ask of the far examples, by representation and row.
struct FarRows {
  const std::int64_t* count;  // (m)
  const std::int8_t* far;
  std::int64_t rows;

  FarRows(char* base, const Layout& layout)
      : count(layout.status(base) + far_field * layout.m), far(layout.far(base)), rows(layout.rows) {}

  __device__ bool any(std::int64_t i) const { return count[i] != 0; }
  __device__ bool contains(std::int64_t i, std::int64_t row) const { return any(i) && far[i * rows + row] != 0; }
  // The row is stored times 2^-exponent.
  __device__ int exponent(std::int64_t i, std::int64_t row) const {
    return contains(i, row) ? far[i * rows + row] - 1 : 0;
  }
};

// After describe_columns. Where a representation has far examples, its mean becomes that of the others, and with a
// headroom its exponent, too.
void find_far_examples(const Batch& batch, int count, DType dtype, const Layout& layout, int headroom,
                       const FarExamples& out, cudaStream_t stream);

}  // namespace fastcka::cuda
