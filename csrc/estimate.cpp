#include "estimate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "integers.hpp"

namespace fastcka {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

double biased(const Terms& terms, std::int64_t i, std::int64_t j) {
  const auto n = static_cast<double>(terms.n);
  const std::int64_t entry = i * terms.m + j;
  double whole = terms.s0[entry] + terms.norms[entry];
  if (terms.q_products != nullptr) {
    whole = whole - 2 / n * terms.q_products[entry] + terms.q_totals[i] * terms.q_totals[j] / (n * n);
  }
  return whole / ((n - 1) * (n - 1));
}

double unbiased(const Terms& terms, std::int64_t i, std::int64_t j) {
  const auto n = static_cast<double>(terms.n);
  const std::int64_t entry = i * terms.m + j;
  return (terms.s0[entry] - 2 / (n - 2) * terms.r_products[entry] +
          terms.r_totals[i] * terms.r_totals[j] / ((n - 1) * (n - 2))) /
         (n * (n - 3));
}

// By how much the rounding of the sums is larger in a self-HSIC. A biased one is the sum itself about the mean; about
// another centre, as that of a subset of the examples, it is what is left of larger sums.
double condition_of(const Terms& terms, Estimator estimator, std::int64_t i, double self_hsic) {
  const auto n = static_cast<double>(terms.n);
  if (estimator == Estimator::biased && terms.q_products == nullptr) return 1;
  if (!(self_hsic > 0)) return infinity;
  if (estimator == Estimator::biased) {
    return (terms.summed[i] + terms.near_norms[i]) / (self_hsic * ((n - 1) * (n - 1)));
  }
  return terms.summed[i] / (self_hsic * (n * (n - 3)));
}

bool is_defined(const Terms& terms, Estimator estimator, const Tolerance& tolerance, std::int64_t i, double self_hsic,
                double condition) {
  if (estimator == Estimator::biased && terms.q_products == nullptr) return self_hsic > 0;
  const auto n = static_cast<double>(terms.n);
  const double pairs = estimator == Estimator::biased ? (n - 1) * (n - 1) : n * (n - 3);
  // What is left of a self-HSIC that is zero is the rounding of S0 and of the norms.
  const double rounding = tolerance.zero / pairs * (terms.summed[i] + terms.near_norms[i]);
  return self_hsic > rounding && condition <= tolerance.condition;
}

}  // namespace

Terms terms_of(const Sums& sums, std::int64_t n) {
  const bool about_the_mean = sums.q_totals.empty();
  return {n,
          static_cast<std::int64_t>(sums.exponent.size()),
          sums.s0.data(),
          sums.norms.data(),
          sums.r_products.data(),
          sums.r_totals.data(),
          about_the_mean ? nullptr : sums.q_products.data(),
          about_the_mean ? nullptr : sums.q_totals.data(),
          sums.summed.data(),
          sums.near_norms.data(),
          sums.exponent.data()};
}

Estimates estimate(const Terms& terms, Estimator estimator, const Tolerance& tolerance) {
  const std::int64_t m = terms.m;
  const double lowest = estimator == Estimator::biased ? 0 : -1;
  Estimates out;
  out.hsic.resize(to_size(m * m));
  out.cka.resize(to_size(m * m));
  std::vector<double> condition(to_size(m));
  std::vector<double> self_hsic(to_size(m));  // NaN where undefined
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < m; ++j) {
      out.cka[to_size(i * m + j)] = estimator == Estimator::biased ? biased(terms, i, j) : unbiased(terms, i, j);
    }
    const double self = out.cka[to_size(i * m + i)];
    condition[to_size(i)] = condition_of(terms, estimator, i, self);
    const bool defined = is_defined(terms, estimator, tolerance, i, self, condition[to_size(i)]);
    self_hsic[to_size(i)] = defined ? self : nan;
    if (!defined) out.undefined.push_back(i);
  }
  double worst = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < m; ++j) {
      double& cka = out.cka[to_size(i * m + j)];
      out.hsic[to_size(i * m + j)] = std::ldexp(cka, 2 * (terms.exponent[i] + terms.exponent[j]));
      cka /= std::sqrt(self_hsic[to_size(i)] * self_hsic[to_size(j)]);
      if (!(cka > 1 || cka < lowest)) continue;
      const double conditions = std::max(condition[to_size(i)], 1.0) * std::max(condition[to_size(j)], 1.0);
      const double excess = std::max(cka - 1, lowest - cka) - tolerance.excess * std::sqrt(conditions);
      if (excess > worst) {
        worst = excess;
        out.worst = {i, j};
        out.value = cka;
      }
      cka = std::clamp(cka, lowest, 1.0);
    }
  }
  return out;
}

}  // namespace fastcka
