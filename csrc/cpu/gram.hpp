// Route G: Gram tiles.
#pragma once

#include <vector>

#include "loops/implementation.hpp"
#include "prepare.hpp"

namespace fastcka::cpu {

// Steps of one product: a micro-tile's columns over them (3 panels of 64 or 128 bytes a step) stay in the L1 cache
// while the rows of the tile pass by. A sum over many features is a sum of sums of 128 steps.
inline constexpr std::int64_t gram_product_steps = 128;

// Bytes of the workspace of one thread, and of one of its partial sums.
std::int64_t gram_workspace_bytes(std::int64_t m, std::int64_t tile, const ProductShape& shape);
std::int64_t gram_sum_bytes(std::int64_t m);

// S0 (m, m), symmetric, from panels of examples. `tile` is a multiple of micro-tile columns.
template <class T>
std::vector<double> gram_sums(const Prepared& prepared, std::int64_t tile, const Kernels<T>& kernels, Pool& pool);

}  // namespace fastcka::cpu
