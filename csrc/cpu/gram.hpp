// Route G: Gram tiles.
#pragma once

#include <vector>

#include "implementation.hpp"
#include "prepare.hpp"

namespace fastcka::cpu {

// S0 (m, m), symmetric, from panels of examples. `tile` is a multiple of micro-tile columns.
template <class T>
std::vector<double> gram_sums(const Prepared& prepared, std::int64_t tile, const Products<T>& products, Pool& pool);

}  // namespace fastcka::cpu
