// Products of the squared norms, and of other numbers that each example has.
#pragma once

#include <vector>

#include "loops/implementation.hpp"
#include "threads/pool.hpp"

namespace fastcka::cpu {

// k_i.k_j (m, m), symmetric, of k (m, n).
std::vector<double> norm_products(const std::vector<double>& k, std::int64_t m, std::int64_t n,
                                  const Kernels<double>& kernels, Pool& pool);

}  // namespace fastcka::cpu
