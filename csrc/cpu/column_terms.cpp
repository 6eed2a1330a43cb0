#include "column_terms.hpp"

#include <algorithm>

#include "twofold.hpp"

namespace fastcka::cpu {
namespace {

// n(n-3) HSIC_1 of one column x with itself, k = x x^T:
//     sum_{i != j} x_i^2 x_j^2 - 2/(n-2) sum_i x_i^2 (s1 - x_i)^2 + (sum_{i != j} x_i x_j)^2 / ((n-1)(n-2))
// `sums` are the sums of the powers 1 to 4 of the near examples; far examples enter one by one.
double column_term(const double* sums, const double* far, std::int64_t count, std::int64_t stride, double n) {
  const double s1 = sums[0];
  const double s2 = sums[1];
  double far_squares = 0;
  double square_products = 0;  // of two far examples, each pair once
  std::vector<double> after(to_size(count));
  double rest = 0;
  for (std::int64_t f = count - 1; f >= 0; --f) {
    const double x = far[f * stride];
    after[to_size(f)] = rest;
    rest += x;
    square_products += x * x * far_squares;
    far_squares += x * x;
  }
  const double total = s1 + rest;
  double rows = total * total * s2 - 2 * total * sums[2] + sums[3];
  double products = 0;
  double before = 0;
  for (std::int64_t f = 0; f < count; ++f) {
    const double x = far[f * stride];
    const double others = s1 + before + after[to_size(f)];
    rows += x * x * others * others;
    products += x * before;
    before += x;
  }
  const double pairs = s2 * s2 - sums[3] + 2 * (s2 * far_squares + square_products);
  const double cross = s1 * s1 - s2 + 2 * (s1 * rest + products);
  return pairs - 2 / (n - 2) * rows + cross * cross / ((n - 1) * (n - 2));
}

}  // namespace

ColumnPowers::ColumnPowers(std::int64_t n, std::int64_t unit)
    : n_(n), rows_(round_up(std::max<std::int64_t>(256, n / 64), unit)) {}

std::int64_t ColumnPowers::bytes(std::int64_t columns) const {
  return blocks() * powers * columns * static_cast<std::int64_t>(sizeof(double));
}

double ColumnPowers::terms_about_means(const std::vector<double>& sums, std::int64_t d, std::int64_t examples) const {
  const auto n = static_cast<double>(examples);
  double squares = 0;
  double fourths = 0;
  for (std::int64_t column = 0; column < d; ++column) {
    double s2 = 0;
    for (std::int64_t block = 0; block < blocks(); ++block) {
      const double* block_sums = &sums[to_size(block * powers * d + column)];
      s2 += block_sums[d];
      fourths += block_sums[3 * d];
    }
    squares += s2 * s2;
  }
  return squares * ((n * n - 3 * n + 3) / ((n - 1) * (n - 2))) - fourths * (n / (n - 2));
}

double ColumnPowers::terms(const std::vector<double>& sums, std::int64_t d, std::int64_t examples,
                           const std::vector<double>& far) const {
  if (far.empty()) return terms_about_means(sums, d, examples);
  const auto count = static_cast<std::int64_t>(far.size()) / d;
  Twofold sum;
  for (std::int64_t column = 0; column < d; ++column) {
    double column_sums[powers] = {};
    for (std::int64_t block = 0; block < blocks(); ++block) {
      for (std::int64_t power = 0; power < powers; ++power) {
        column_sums[power] += sums[to_size((block * powers + power) * d + column)];
      }
    }
    const double term = column_term(column_sums, far.data() + column, count, d, static_cast<double>(examples));
    sum.add(term);
  }
  return sum.value + sum.rest;
}

}  // namespace fastcka::cpu
