// From the sums of a pass on any device to HSIC and CKA: the formulas of hsic.hpp.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "hsic.hpp"

namespace fastcka {

enum class Estimator { biased, unbiased };

// Matrices (m, m) and vectors (m) of hsic.hpp, whose data are times 2^-exponent.
struct Terms {
  std::int64_t n;
  std::int64_t m;
  const double* s0;
  const double* norms;
  const double* r_products;
  const double* r_totals;
  const double* q_products;  // null where q = 0, and so is q_totals
  const double* q_totals;
  const double* summed;
  const double* near_norms;
  const int* exponent;
};

// The sums of a pass, which must outlive the terms.
Terms terms_of(const Sums& sums, std::int64_t n);

// What rounding may do.
struct Tolerance {
  double zero;       // an unbiased self-HSIC is zero up to this multiple of the mean of its terms
  double condition;  // the largest condition number at which an unbiased estimate is given
  double excess;     // of a similarity beyond its range, at a condition number of 1
};

struct Estimates {
  std::vector<double> hsic, cka;                        // (m, m), in the units of the data; NaN where undefined
  std::vector<std::int64_t> undefined;                  // positions, ascending
  std::pair<std::int64_t, std::int64_t> worst{-1, -1};  // a similarity that rounding does not explain
  double value = 0;                                     // that similarity
};

Estimates estimate(const Terms& terms, Estimator estimator, const Tolerance& tolerance);

}  // namespace fastcka
