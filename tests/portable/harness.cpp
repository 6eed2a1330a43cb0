// Runs the CPU pass without Python, with the portable implementation alone, on a few groups. Both HSIC estimators of
// all pairs are compared with their definitions in plain loops of long double. Compiled by test_portable.py for this
// machine and for aarch64.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "cpu/loops/implementation.hpp"
#include "cpu/pass.hpp"

namespace {

using fastcka::DType;
using fastcka::Route;
using fastcka::Sums;
using fastcka::View;
using fastcka::cpu::Task;
using Matrix = std::vector<std::vector<long double>>;

struct Representation {
  std::vector<char> memory;
  View view;
  Matrix values;  // what the memory contains
};

// Uniform in [-1, 1); the same on every machine.
double random_value() {
  static std::uint64_t state = 20261128;
  state = state * 6364136223846793005U + 1442695040888963407U;
  return static_cast<double>(state >> 11) * 0x1p-52 - 1;
}

std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
float value_of(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Writes the value as the dtype holds it, and returns what was written.
double write(char* to, double value, DType dtype) {
  if (dtype == DType::float64) {
    std::memcpy(to, &value, sizeof value);
    return value;
  }
  const auto narrow = static_cast<float>(value);
  if (dtype == DType::float32) {
    std::memcpy(to, &narrow, sizeof narrow);
    return narrow;
  }
  if (dtype == DType::bfloat16) {  // truncated
    const auto half = static_cast<std::uint16_t>(bits_of(narrow) >> 16);
    std::memcpy(to, &half, sizeof half);
    return value_of(std::uint32_t{half} << 16);
  }
  // float16: ten bits of the fraction, truncated; a value below the normal ones becomes zero.
  const int exponent = value == 0 ? -99 : std::ilogb(value);
  const double kept = exponent < -14 ? 0.0 : std::ldexp(std::trunc(std::ldexp(value, 10 - exponent)), exponent - 10);
  std::uint16_t half = kept < 0 ? 0x8000 : 0;
  if (kept != 0) {
    const auto fraction = static_cast<int>(std::ldexp(std::fabs(kept), 10 - exponent)) - 1024;
    half = static_cast<std::uint16_t>(half | (exponent + 15) << 10 | fraction);
  }
  std::memcpy(to, &half, sizeof half);
  return kept;
}

// n examples of d features that share a part with all others, in rows with a gap, or by columns.
Representation make(std::int64_t n, std::int64_t d, DType dtype, bool by_columns, double far_example) {
  const std::int64_t item = fastcka::item_bytes(dtype);
  const std::int64_t gap = 3;
  Representation made;
  made.memory.resize(static_cast<std::size_t>((n + gap) * (d + gap) * item));
  made.view = {made.memory.data(),
               n,
               d,
               by_columns ? item : (d + gap) * item,
               by_columns ? (n + gap) * item : item,
               dtype,
               false};
  made.values.assign(static_cast<std::size_t>(n), std::vector<long double>(static_cast<std::size_t>(d)));
  for (std::int64_t a = 0; a < n; ++a) {
    for (std::int64_t j = 0; j < d; ++j) {
      const double shared = static_cast<double>((a * 7 + j % 5 * a) % 11) / 11;
      const double value = (a == n / 2 ? far_example : 1) * (shared + random_value()) + 2;
      char* to = made.memory.data() + a * made.view.row_stride + j * made.view.column_stride;
      made.values[static_cast<std::size_t>(a)][static_cast<std::size_t>(j)] = write(to, value, dtype);
    }
  }
  return made;
}

// x x^T of the values minus the means of their columns.
Matrix gram(const Matrix& values) {
  Matrix x = values;
  for (std::size_t j = 0; j < x[0].size(); ++j) {
    long double mean = 0;
    for (const auto& row : x) mean += row[j];
    mean /= static_cast<long double>(x.size());
    for (auto& row : x) row[j] -= mean;
  }
  Matrix k(x.size(), std::vector<long double>(x.size()));
  for (std::size_t a = 0; a < x.size(); ++a) {
    for (std::size_t b = 0; b < x.size(); ++b) {
      for (std::size_t j = 0; j < x[0].size(); ++j) k[a][b] += x[a][j] * x[b][j];
    }
  }
  return k;
}

// Gretton et al. 2005: tr(K H L H) / (n-1)^2. The columns are centred, so that H K H = K.
long double biased(const Matrix& k, const Matrix& l) {
  const auto n = static_cast<long double>(k.size());
  long double trace = 0;
  for (std::size_t a = 0; a < k.size(); ++a) {
    for (std::size_t b = 0; b < k.size(); ++b) trace += k[a][b] * l[a][b];
  }
  return trace / ((n - 1) * (n - 1));
}

// Song et al. 2012, equation 5, where K and L have a zero diagonal.
long double unbiased(const Matrix& k, const Matrix& l) {
  const auto n = static_cast<long double>(k.size());
  long double trace = 0;
  long double all_k = 0;
  long double all_l = 0;
  long double rows = 0;
  for (std::size_t a = 0; a < k.size(); ++a) {
    long double row_k = 0;
    long double row_l = 0;
    for (std::size_t b = 0; b < k.size(); ++b) {
      if (a == b) continue;
      trace += k[a][b] * l[a][b];
      row_k += k[a][b];
      row_l += l[a][b];
    }
    all_k += row_k;
    all_l += row_l;
    rows += row_k * row_l;
  }
  return (trace + all_k * all_l / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)) / (n * (n - 3));
}

// The same two from the sums of a pass, as hsic.hpp writes them.
double biased_of(const Sums& sums, std::size_t i, std::size_t j, double n) {
  const std::size_t m = sums.exponent.size();
  double value = sums.s0[i * m + j] + sums.norms[i * m + j];
  if (!sums.q_totals.empty()) {
    value += -2 / n * sums.q_products[i * m + j] + sums.q_totals[i] * sums.q_totals[j] / (n * n);
  }
  return value / ((n - 1) * (n - 1));
}
double unbiased_of(const Sums& sums, std::size_t i, std::size_t j, double n) {
  const std::size_t m = sums.exponent.size();
  const std::vector<double>& totals = sums.r_totals;
  const double value =
      sums.s0[i * m + j] - 2 / (n - 2) * sums.r_products[i * m + j] + totals[i] * totals[j] / ((n - 1) * (n - 2));
  return value / (n * (n - 3));
}

bool same_bits(const Sums& one, const Sums& other) {
  const auto same = [](const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
  };
  return same(one.s0, other.s0) && same(one.norms, other.norms) && same(one.r_totals, other.r_totals) &&
         same(one.q_products, other.q_products) && same(one.r_products, other.r_products) &&
         same(one.column_terms, other.column_terms) && same(one.cubes, other.cubes) &&
         same(one.triangles, other.triangles) && same(one.weighted_squares, other.weighted_squares) &&
         same(one.weighted_sum, other.weighted_sum) && one.exponent == other.exponent;
}

int failures = 0;

void check(const char* group, std::int64_t n, const std::vector<Representation>& xs, Route route,
           const std::string& products, double tolerance) {
  std::vector<View> views;
  std::vector<Matrix> grams;
  for (const Representation& x : xs) {
    views.push_back(x.view);
    grams.push_back(gram(x.values));
  }
  const fastcka::cpu::ProductShape shape = fastcka::cpu::find_implementation("portable").shape(products);
  const fastcka::Poll poll = [](std::int64_t, std::int64_t) {};
  const std::int64_t batch = route == Route::gram ? 2 : 0;  // two representations are centred at once
  // Every second one by features.
  std::vector<Route> moment_routes;
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const bool by_features = i % 2 == 0 && xs[i].view.d <= xs[i].view.n;
    moment_routes.push_back(by_features ? Route::features : Route::gram);
  }
  const Task task{views, {route, shape.step * 2, 64, batch, "portable", products, moment_routes}, {}};
  const Sums sums = fastcka::cpu::run({task}, 1, poll)[0].sums;
  for (const int threads : {2, 3, 5}) {
    if (!same_bits(sums, fastcka::cpu::run({task, task}, threads, poll)[1].sums) ||
        !same_bits(sums, fastcka::cpu::run({task}, threads, poll)[0].sums)) {
      std::printf("%s: other bits with %d threads\n", group, threads);
      ++failures;
    }
  }

  const auto cka = [&](const std::function<long double(std::size_t, std::size_t)>& hsic, std::size_t i, std::size_t j) {
    return static_cast<double>(hsic(i, j) / std::sqrt(hsic(i, i) * hsic(j, j)));
  };
  const auto examples = static_cast<double>(n);
  double worst = 0;
  for (std::size_t i = 0; i < xs.size(); ++i) {
    for (std::size_t j = 0; j < xs.size(); ++j) {
      for (const bool debiased : {false, true}) {
        const double expected =
            cka([&](std::size_t a,
                    std::size_t b) { return debiased ? unbiased(grams[a], grams[b]) : biased(grams[a], grams[b]); },
                i, j);
        const double got = cka(
            [&](std::size_t a, std::size_t b) {
              return debiased ? unbiased_of(sums, a, b, examples) : biased_of(sums, a, b, examples);
            },
            i, j);
        const double error = std::fabs(got - expected);
        worst = error <= worst ? worst : error;  // NaN becomes the worst
      }
    }
  }
  std::printf("%s, route %c, %s: largest error of CKA %.1e\n", group, route == Route::gram ? 'G' : 'F',
              products.c_str(), worst);
  if (!(worst <= tolerance)) {
    std::printf("    expected at most %.0e\n", tolerance);
    ++failures;
  }
}

}  // namespace

int main() {
  const auto& available = fastcka::cpu::available_implementations();
  if (available.size() != 1 || std::string(available[0]->name) != "portable") {
    std::printf("expected the portable implementation alone\n");
    return 1;
  }
  constexpr DType dtypes[] = {DType::float16, DType::bfloat16, DType::float32, DType::float64};
  const struct {
    const char* name;
    std::int64_t n;
    std::vector<std::int64_t> widths;
    double far_example;
  } groups[] = {
      {"few examples", 5, {1, 7, 130, 16, 33}, 1},
      {"one more than whole panels", 97, {48, 5, 300, 16, 17, 1, 64}, 1},
      {"more examples than a tile", 200, {24, 3, 90}, 1},
      {"an example far from all others", 120, {12, 40, 33, 8}, 500},
  };
  for (const auto& group : groups) {
    std::vector<Representation> xs;
    for (std::size_t i = 0; i < group.widths.size(); ++i) {
      xs.push_back(make(group.n, group.widths[i], dtypes[i % 4], i % 3 == 1, group.far_example));
    }
    for (const Route route : {Route::gram, Route::features}) {
      check(group.name, group.n, xs, route, "float32", 2e-6);
      check(group.name, group.n, xs, route, "float64", 1e-13);
    }
  }
  if (failures == 0) std::printf("all groups agree\n");
  return failures == 0 ? 0 : 1;
}
