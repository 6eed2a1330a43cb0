// Examples that are far from all others, such as the first token of a text in a language model, whose hidden state is
// hundreds of times longer than the rest. See hsic.hpp for why the centre must not follow them.
//
// An example of a representation is far if its squared distance from a robust centre is more than 64 times the median
// of all. At most 2 % of the examples are far (16 of a few): where more are beyond that limit, a larger one is taken.
// The robust centre has the medians of nine rows. Only where the extremes of the columns leave room for a far example
// are distances computed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace fastcka {

// Of squared distances, in medians. Gaussian data of one feature has such an example once in 10^7.
inline constexpr double far_from = 64;

inline std::int64_t most_far(std::int64_t n) { return std::max(n / 50, std::min<std::int64_t>(n / 4, 16)); }

// Different rows in no period: every hundredth example may be the first token of a text.
struct SampleRows {
  static constexpr int most = 9;
  int count;
  std::int64_t row[most];

  explicit SampleRows(std::int64_t n) : count(static_cast<int>(std::min<std::int64_t>(n, most))), row{} {
    constexpr double golden = 0.6180339887498949;
    for (int i = 0; i < count; ++i) {
      const double turn = golden * (i + 1);
      row[i] = n <= most ? i : static_cast<std::int64_t>((turn - std::floor(turn)) * static_cast<double>(n));
    }
  }
};

}  // namespace fastcka
