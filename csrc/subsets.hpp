// Subsets of the examples, whose similarities follow from the same pass: each is a union of folds.
#pragma once

#include <cstdint>
#include <vector>

namespace fastcka {

struct Subsets {
  std::vector<std::int64_t> fold;  // (n): the fold of each example, from 0 to count - 1
  std::int64_t count = 0;          // 0: no subsets are wanted
  bool nested = false;             // subset b contains the folds 0 to b; otherwise all folds but b
};

// S0, or a part of it, each matrix symmetric.
struct S0 {
  std::vector<double> all;      // (m, m)
  std::vector<double> subsets;  // (count, m, m); empty where no subsets are wanted
};

// The sums of hsic.hpp over the examples of each subset.
struct SubsetSums {
  std::vector<double> s0, norms, near_norms, q_products, r_products;  // (count, m, m)
  std::vector<double> summed, q_totals, r_totals;                     // (count, m)
};

}  // namespace fastcka
