// The sum of the cubes of all entries of a Gram matrix, a = b included, from features:
//     sum_ij (x_i.x_j)^3 = |sum_i x_i (x) x_i (x) x_i|^2
// The tensor is symmetric: an entry (a, b, c) is computed for a <= b <= c, and counts 1, 3 or 6 times. That is about
// n d^3/6 multiply-adds in place of n^2 d/2.
#pragma once

#include "loops/implementation.hpp"
#include "panel_products.hpp"
#include "third_moments.hpp"
#include "threads/pool.hpp"

namespace fastcka::cpu {

// Of a representation.
MomentBytes cube_bytes(std::int64_t n, std::int64_t d);

// `features`: panels of features. The kernels are those of float32 or float64.
template <class T>
double sum_of_cubes(const Panels& features, const Kernels<T>& kernels, Pool& pool);

}  // namespace fastcka::cpu
