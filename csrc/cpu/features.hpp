// Route F: products of features.
#pragma once

#include <vector>

#include "implementation.hpp"
#include "prepare.hpp"

namespace fastcka::cpu {

// S0 (m, m), symmetric, from panels of features; norms (m, m) are the products of the squared norms. `tile` is a
// multiple of micro-tile columns.
template <class T>
std::vector<double> feature_sums(const Prepared& prepared, std::int64_t tile, const Products<T>& products,
                                 const std::vector<double>& norms, Pool& pool);

}  // namespace fastcka::cpu
