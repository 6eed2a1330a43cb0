// The median of nine values without branches, so that the compiler makes vectors of a loop over columns.
#pragma once

namespace fastcka::cpu {

inline void order(double& low, double& high) {
  const double first = low;
  const double second = high;
  low = second < first ? second : first;
  high = second < first ? first : second;
}

// The median of nine values, by the network of Paeth (Graphics Gems, 1990).
inline double median_of_nine(double a, double b, double c, double d, double e, double f, double g, double h, double i) {
  order(b, c), order(e, f), order(h, i);
  order(a, b), order(d, e), order(g, h);
  order(b, c), order(e, f), order(h, i);
  order(a, d), order(f, i), order(e, h);
  order(d, g), order(b, e), order(c, f);
  order(e, h), order(e, c), order(g, e), order(e, c);
  return e;
}

}  // namespace fastcka::cpu
