// The products and totals of k, q and r (hsic.hpp) over the examples of each subset. Row sums run over the same subset:
// of example a, q(a) = x_a . (sum of the subset's rows), computed in float64 from the centred copies.
#pragma once

#include <vector>

#include "loops/implementation.hpp"
#include "prepare.hpp"
#include "threads/memory.hpp"
#include "threads/pool.hpp"

namespace fastcka::cpu {

// Bytes of what all threads share, and of the workspace of one.
std::int64_t subset_rows_bytes(std::int64_t n, const std::vector<std::int64_t>& widths, std::int64_t subsets,
                               bool batched);
std::int64_t subset_rows_workspace_bytes(std::int64_t subsets);

template <class T>
class SubsetRows {
 public:
  SubsetRows(const Prepared& prepared, const Kernels<T>& kernels, const Kernels<double>& float64, Pool& pool);

  // Takes representations that are centred; all of them once, in batches or at once. k and q are still those of
  // `prepared`.
  void take(Range representations, SubsetSums& sums);

 private:
  void sum_folds(Range representations);
  void fill(Range representations, Range positions);
  void add_up(Range positions, SubsetSums& sums);
  void add_norms(SubsetSums& sums);
  void read(std::int64_t i, Range positions, Range columns, double* out) const;
  double* row_sums(std::int64_t subset, std::int64_t i);

  const Prepared& prepared_;
  const Kernels<T>& kernels_;
  const Kernels<double>& float64_;
  Pool& pool_;
  const std::int64_t m_;
  const std::int64_t subsets_;
  std::vector<Block<double>> totals_;  // of each representation: the sums of the subsets' rows, in panels
  std::int64_t width_;                 // positions whose row sums are in memory at once
  std::int64_t begin_ = 0;             // the first of them
  std::vector<double> q_;              // (subsets, m, width)
};

}  // namespace fastcka::cpu
