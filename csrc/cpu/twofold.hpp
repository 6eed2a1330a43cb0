// A float64 sum with what rounding took from it (Knuth's two-sum): twice the digits, so that the rounded result depends
// on the order of the additions only where it is within 2^-100 of the middle between two float64. A similarity is
// therefore exactly the same for (x, y) and (y, x), whose terms are added in different orders.
#pragma once

namespace fastcka::cpu {

struct Twofold {
  double value = 0;
  double rest = 0;

  void add(double x) {
    const double sum = value + x;
    const double of_x = sum - value;
    rest += (value - (sum - of_x)) + (x - of_x);
    value = sum;
  }
  void add(const Twofold& other) {
    add(other.value);
    rest += other.rest;
  }
};

}  // namespace fastcka::cpu
