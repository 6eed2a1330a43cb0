#include "estimate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "integers.hpp"

namespace fastcka {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

template <Estimator estimator>
double hsic_of(const Terms& terms, std::int64_t i, std::int64_t j) {
  const auto n = static_cast<double>(terms.n);
  const std::int64_t entry = i * terms.m + j;
  if constexpr (estimator == Estimator::biased) {
    double whole = terms.s0[entry] + terms.norms[entry];
    if (terms.q_products != nullptr) {
      whole = whole - 2 / n * terms.q_products[entry] + terms.q_totals[i] * terms.q_totals[j] / (n * n);
    }
    return whole / ((n - 1) * (n - 1));
  }
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

// The self-HSIC of each representation, and what its rounding means.
struct Selves {
  std::vector<double> hsic;  // NaN where undefined
  std::vector<double> condition;
};

template <Estimator estimator>
Selves selves_of(const Terms& terms, const Tolerance& tolerance, std::vector<std::int64_t>& undefined) {
  Selves selves{std::vector<double>(to_size(terms.m)), std::vector<double>(to_size(terms.m))};
  for (std::int64_t i = 0; i < terms.m; ++i) {
    const double self = hsic_of<estimator>(terms, i, i);
    const double condition = condition_of(terms, estimator, i, self);
    const bool defined = is_defined(terms, estimator, tolerance, i, self, condition);
    selves.hsic[to_size(i)] = defined ? self : nan;
    selves.condition[to_size(i)] = condition;
    if (!defined) undefined.push_back(i);
  }
  return selves;
}

// The entries of row i up to the diagonal.
template <Estimator estimator>
void put_row(const Terms& terms, const double* self_hsic, std::int64_t i, double* __restrict hsic,
             double* __restrict cka) {
  for (std::int64_t j = 0; j <= i; ++j) {
    hsic[j] = hsic_of<estimator>(terms, i, j);
    cka[j] = hsic[j] / std::sqrt(self_hsic[i] * self_hsic[j]);
  }
}

template <Estimator estimator>
Estimates estimates_by(const Terms& terms, const Tolerance& tolerance) {
  const std::int64_t m = terms.m;
  const double lowest = estimator == Estimator::biased ? 0 : -1;
  Estimates out;
  out.hsic.resize(to_size(m * m));
  out.cka.resize(to_size(m * m));
  const Selves selves = selves_of<estimator>(terms, tolerance, out.undefined);
  const bool scaled = std::any_of(terms.exponent, terms.exponent + m, [](int each) { return each != 0; });
  double worst = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    double* hsic = out.hsic.data() + i * m;
    double* row = out.cka.data() + i * m;
    put_row<estimator>(terms, selves.hsic.data(), i, hsic, row);
    for (std::int64_t j = 0; j <= i; ++j) {
      if (scaled) hsic[j] = std::ldexp(hsic[j], 2 * (terms.exponent[i] + terms.exponent[j]));
      double& cka = row[j];
      if (cka > 1 || cka < lowest) {
        const double conditions =
            std::max(selves.condition[to_size(i)], 1.0) * std::max(selves.condition[to_size(j)], 1.0);
        const double excess = std::max(cka - 1, lowest - cka) - tolerance.excess * std::sqrt(conditions);
        if (excess > worst) {
          worst = excess;
          out.worst = {j, i};
          out.value = cka;
        }
        cka = std::clamp(cka, lowest, 1.0);
      }
      out.hsic[to_size(j * m + i)] = hsic[j];
      out.cka[to_size(j * m + i)] = cka;
    }
  }
  return out;
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
  return estimator == Estimator::biased ? estimates_by<Estimator::biased>(terms, tolerance)
                                        : estimates_by<Estimator::unbiased>(terms, tolerance);
}

}  // namespace fastcka
