// What a pass must know of each column before it can centre: one read of the data.
#pragma once

#include <vector>

#include "../hsic.hpp"
#include "loops/implementation.hpp"
#include "threads/pool.hpp"

namespace fastcka::cpu {

// Of one representation.
struct Columns {
  std::vector<double> center;     // (d): the means
  std::vector<double> low, high;  // (d): the extremes
  bool constant;                  // no column varies

  // The largest distance of a value from the centre of its column.
  double reach() const;
  // The centred values times 2^-exponent are in [-1, 1].
  int exponent() const;
};

// Bytes of the statistics of all blocks of rows, which are there until the columns are described.
std::int64_t statistics_bytes(std::int64_t n, std::int64_t total_columns);

// Fills `non_finite` with what holds NaN or infinities, or values too large to sum (a count of 0).
std::vector<Columns> describe_columns(const std::vector<View>& views, const Implementation& implementation, Pool& pool,
                                      std::vector<NonFinite>& non_finite);

}  // namespace fastcka::cpu
