// The sum over the features of a representation of n(n-3) HSIC_1 of a feature with itself.
// From unbiased CKA this sum makes the estimate that is corrected for a sample of features (Chun et al. 2025).
#pragma once

#include <cstdint>
#include <vector>

#include "threads/pool.hpp"

namespace fastcka::cpu {

// Of each column, the sums of x, x^2, x^3 and x^4 over blocks of examples; without far examples, those of x and x^3 are
// not needed, because the columns are centred: s1 = 0. The blocks depend on the problem alone, so
// that the sums have the same bits for any number of threads.
class ColumnPowers {
 public:
  static constexpr std::int64_t powers = 4;

  // `unit`: the examples of a block are a multiple of it.
  ColumnPowers(std::int64_t n, std::int64_t unit);

  std::int64_t rows() const { return rows_; }
  std::int64_t blocks() const { return ceil_div(n_, rows_); }

  // Bytes of the sums of `columns` columns.
  std::int64_t bytes(std::int64_t columns) const;

  // The sum over the columns (d) of a representation with this number of examples. `sums` (blocks, d, 4) are those of
  // the examples that are not far, and `far` (count, d) are the far examples: their fourth powers would leave nothing
  // of the other terms.
  double terms(const std::vector<double>& sums, std::int64_t d, std::int64_t examples,
               const std::vector<double>& far) const;

 private:
  // With s1 = 0: sum s2^2 (n^2-3n+3)/((n-1)(n-2)) - sum s4 n/(n-2).
  double terms_about_means(const std::vector<double>& sums, std::int64_t d, std::int64_t examples) const;

  std::int64_t n_;
  std::int64_t rows_;
};

}  // namespace fastcka::cpu
