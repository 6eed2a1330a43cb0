// S0 of every pair of folds: the examples a of one fold, the examples b of the other. S0 of a subset is the sum over
// its pairs of folds: nothing is subtracted, so that no digits are lost where a fold contains far examples.
#pragma once

#include <cstdint>
#include <vector>

#include "folds.hpp"
#include "loops/implementation.hpp"
#include "threads/memory.hpp"
#include "threads/ordered_sum.hpp"
#include "triangle.hpp"

namespace fastcka::cpu {

class FoldPairs {
 public:
  FoldPairs(const Folds& folds, std::int64_t m);

  // Adds the blocks of a tile (rows x columns, m, m), times `factor`. Returns their end.
  const double* add(const std::vector<Segment>& rows, const std::vector<Segment>& columns, double factor,
                    const double* blocks);

  // (count, m, m), symmetric, times `factor`.
  std::vector<double> subset_sums(double factor) const;

  static std::int64_t bytes(std::int64_t folds, std::int64_t m);

 private:
  double* block(std::int64_t first, std::int64_t second);

  const Folds& folds_;
  const std::int64_t m_;
  std::vector<double> sums_;  // (pairs of folds, entries of the upper triangle)
};

// The rank updates of the parts of a tile (of all representations, at distance `room`) that lie in the given rows and
// columns: appended to partial.blocks (rows x columns, m, m), and added to partial.values. The segments are those of
// the micro-tiles, from `row` and `column` on. `scratch` has room for a tile of all representations.
template <class T>
void sum_blocks(const std::vector<MicroTile>& micros, const std::vector<Segment>& rows,
                const std::vector<Segment>& columns, std::int64_t m, const T* v, std::int64_t room,
                const Kernels<T>& kernels, Block<T>& scratch, Partial& partial);

}  // namespace fastcka::cpu
