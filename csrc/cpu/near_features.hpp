// Third moments of the examples that are not far, from products of features. With K = X X^T of these examples, where
// U_ij = K_ij - u_i - u_j (third_moments.hpp), each sum over their entries follows from
//     G = X^T X,   g_i = sum_j K_ij^2 = x_i^T G x_i,   sum_ij K_ij^3 (cubes.hpp)   and   X^T 1, X^T u, X^T u^2, X^T w.
#pragma once

#include <vector>

#include "symmetric.hpp"
#include "third_moments.hpp"

namespace fastcka::cpu {

template <class T>
class NearFeatures {
 public:
  NearFeatures(const Prepared& prepared, std::int64_t i, const ExampleTerms& terms, const Kernels<T>& kernels,
               const Kernels<double>& float64, Pool& pool);

  // tr N^3 without the term of the squares of entries.
  double trace(Pool& pool) const;

  // The sums of ThirdMoments::of_tile over the pairs of near examples. `single`: kernels of float32 (or float64)
  // values.
  EntrySums entries(const Kernels<T>& single, Pool& pool) const;

  // Of a far example with row x (d) and u: the inner product with that of another.
  struct Column {
    std::vector<double> products;  // X^T c
    double sum, u_sum;             // c.1 and c.u
  };
  Column column(const double* x, double u) const;

 private:
  double cubes(const Kernels<T>& single, bool wide, Pool& pool) const;

  const Prepared& prepared_;
  const std::int64_t i_;
  const std::int64_t d_;
  const ExampleTerms terms_;
  const Kernels<T>& kernels_;
  const Kernels<double>& float64_;
  Panels panels_;
  Symmetric gram_;
  std::vector<double> s_, y_, y2_, yw_;  // X^T 1, X^T u, X^T u^2, X^T w
  double count_ = 0, u1_ = 0, u2_ = 0, u3_ = 0, w1_ = 0, wu_ = 0, wwd_ = 0, cubes_of_diagonal_ = 0;
};

}  // namespace fastcka::cpu
