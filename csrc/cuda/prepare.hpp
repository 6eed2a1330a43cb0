// Mirrors cpu/prepare: from views to centred rows as the products want them, with their squared norms. One read, one
// write.
//
// Gram route: one representation after another, each (rows, slabs * width), with the slabs of a row next to each other.
// Features route: representations next to each other, (rows * slabs, all widths), with the slabs of a block of examples
// below each other. In both, the slabs follow each other along the depth of the products. Padding is zero.
#pragma once

#include <cuda_runtime.h>

#include "../hsic.hpp"
#include "batch.hpp"
#include "layout.hpp"

namespace fastcka::cuda {

// Device addresses of everything but the rows.
struct Centered {
  double* k;                   // (m, rows)
  const double* mean;          // (d) of each representation
  const std::int64_t* status;  // whose exponents scale
};

// The first `count` representations of a batch, all of one dtype, after find_far_examples. `base` is the address of the
// pass's allocation.
void center(const Batch& batch, int count, DType dtype, const Shape& shape, const Layout& layout, char* base,
            const Centered& out, cudaStream_t stream);

}  // namespace fastcka::cuda
