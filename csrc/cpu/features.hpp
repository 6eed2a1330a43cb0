// Route F: products of features.
#pragma once

#include <vector>

#include "loops/implementation.hpp"
#include "prepare.hpp"

namespace fastcka::cpu {

// The longest chain of float32 additions, in steps. A representation of few features has few sums, whose errors do not
// average out: chains of 256 gave CKA errors of 6e-7, chains of 64 give 1e-7.
inline constexpr std::int64_t feature_product_steps = 64;

// Bytes of the workspace of one thread, and of one of its partial sums; 0 subsets: none are wanted.
std::int64_t feature_workspace_bytes(std::int64_t tile, std::int64_t chunk, std::int64_t subsets,
                                     const ProductShape& shape);
std::int64_t feature_sum_bytes(std::int64_t m, std::int64_t subsets);

// The sums over all pairs of examples, a = b included, from panels of features: S0 plus the products of the squared
// norms. `tile` is a multiple of micro-tile columns.
//
// With folds, the products of each fold are summed apart: those of a subset are the sum of those of its folds.
template <class T>
S0 feature_sums(const Prepared& prepared, std::int64_t tile, const Kernels<T>& kernels, const Kernels<double>& float64,
                Pool& pool);

}  // namespace fastcka::cpu
