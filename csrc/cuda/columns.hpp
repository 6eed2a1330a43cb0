// Mirrors cpu/columns: what a pass must know of each column before it can centre. One read of the data.
#pragma once

#include <cuda_runtime.h>

#include "../hsic.hpp"
#include "batch.hpp"
#include "layout.hpp"

namespace fastcka::cuda {

// In place of the position of the first non-finite value: there is none, or the values are too large to sum.
inline constexpr std::int64_t none_found = -1;
inline constexpr std::int64_t too_large = -2;

// Device addresses.
struct Statistics {
  double* sum;  // (blocks, d) of each representation, one after another
  double* least;
  double* most;
  std::int64_t* count;  // of non-finite values, (blocks, strips) of each representation
  std::int64_t* first;  // row-major position of the first of them
  double* mean;         // (d) of each representation
  double* robust;       // (d) of each representation: the medians of a sample of its examples
  std::int64_t* status;
  std::int64_t* start;  // padded columns before each representation
};

// Means, exponents and the status of the first `count` representations of a batch, all of one dtype. Centred values
// times 2^-exponent are in [-2^headroom, 2^headroom]. The far field becomes 1 where the extremes of the columns leave
// room for an example that is far from all others.
void describe_columns(const Batch& batch, int count, DType dtype, const Layout& layout, int headroom,
                      const Statistics& statistics, cudaStream_t stream);

}  // namespace fastcka::cuda
