// A tile of the plane, which all representations have.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace fastcka::cuda {

// A tile of `rows` x `columns` of one representation, in V a row of `padded` entries.
struct TileShape {
  std::int64_t first_row, first_column;
  std::int64_t rows, columns, padded;

  // Its diagonal is that of the plane.
  __host__ __device__ bool diagonal() const { return first_row == first_column; }
};

}  // namespace fastcka::cuda
