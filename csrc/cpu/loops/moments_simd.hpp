// Third moments of a row of Gram entries, for the translation units named in implementation_simd.hpp.
#pragma once

#include "implementation.hpp"
#include "vector_simd.hpp"

namespace fastcka::cpu {
namespace {

template <class T>
void row_moments(const T* v, std::int64_t count, const ExampleTerms& columns, const ExampleTerm& row, double* sums) {
  constexpr std::int64_t lanes = 8;
  using V = Vector<double, lanes * sizeof(double)>;
  using Narrow = Vector<T, lanes * sizeof(T)>;
  V cubes{};
  V squares{};
  V products{};
  V diagonal{};
  std::int64_t c = 0;
  for (; c + lanes <= count; c += lanes) {
    const V entry = __builtin_convertvector(load<Narrow>(v + c), V) - load<V>(columns.u + c) - row.u;
    const V square = entry * entry;
    const V weight = load<V>(columns.weight + c);
    cubes += square * entry;
    squares += square * (weight + row.weight);
    products += entry * (weight * row.weight);
    diagonal += square * (load<V>(columns.diagonal + c) * row.near + load<V>(columns.near + c) * row.diagonal);
  }
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    sums[0] += cubes[lane];
    sums[1] += squares[lane];
    sums[2] += products[lane];
    sums[3] += diagonal[lane];
  }
  for (; c < count; ++c) {
    const double entry = static_cast<double>(v[c]) - columns.u[c] - row.u;
    const double square = entry * entry;
    sums[0] += square * entry;
    sums[1] += square * (columns.weight[c] + row.weight);
    sums[2] += entry * (columns.weight[c] * row.weight);
    sums[3] += square * (columns.diagonal[c] * row.near + columns.near[c] * row.diagonal);
  }
}

}  // namespace
}  // namespace fastcka::cpu
