// Route F: products of features.
#pragma once

#include <vector>

#include "implementation.hpp"
#include "prepare.hpp"

namespace fastcka::cpu {

// The sums over all pairs of examples, a = b included, (m, m), symmetric, from panels of features: S0 plus the products
// of the squared norms. `tile` is a multiple of micro-tile columns.
template <class T>
std::vector<double> feature_sums(const Prepared& prepared, std::int64_t tile, const Products<T>& products, Pool& pool);

}  // namespace fastcka::cpu
