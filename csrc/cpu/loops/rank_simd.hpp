// The rank update of a tile, for the translation units named in implementation_simd.hpp.
#pragma once

#include "implementation.hpp"
#include "vector_simd.hpp"

namespace fastcka::cpu {
namespace {

// ROWS x COLUMNS inner products of rows of V, added up in float64.
template <class T, int BYTES, int ROWS, int COLUMNS>
inline void dot_block(std::int64_t length, const T* rows, const T* columns, std::int64_t stride, double* out,
                      std::int64_t pitch) {
  using V = Vector<T, BYTES>;
  constexpr std::int64_t width = BYTES / sizeof(T);
  V sum[ROWS][COLUMNS] = {};
  for (std::int64_t k = 0; k < length; k += width) {
    V right[COLUMNS];
#pragma GCC unroll 8
    for (int v = 0; v < COLUMNS; ++v) right[v] = load<V>(columns + v * stride + k);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const V left = in_register(load<V>(rows + r * stride + k));
#pragma GCC unroll 8
      for (int v = 0; v < COLUMNS; ++v) sum[r][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) {
    V four[4] = {};
    double sums[4];
#pragma GCC unroll 8
    for (int v = 0; v < COLUMNS; ++v) four[v] = sum[r][v];
    sums_of_lanes<T, BYTES>(four, sums);
#pragma GCC unroll 8
    for (int v = 0; v < COLUMNS; ++v) out[r * pitch + v] += sums[v];
  }
}

// ROWS rows against all from the i-th on. Entries below the diagonal are sums of no meaning.
template <class T, int BYTES, int ROWS>
inline void dot_rows(std::int64_t m, std::int64_t i, std::int64_t length, const T* v, std::int64_t stride, double* s) {
  std::int64_t j = i;
  const T* rows = v + i * stride;
  for (; j + 3 <= m; j += 3) {
    dot_block<T, BYTES, ROWS, 3>(length, rows, v + j * stride, stride, s + i * m + j, m);
  }
  if (j + 2 <= m) {
    dot_block<T, BYTES, ROWS, 2>(length, rows, v + j * stride, stride, s + i * m + j, m);
  } else if (j < m) {
    dot_block<T, BYTES, ROWS, 1>(length, rows, v + j * stride, stride, s + i * m + j, m);
  }
}

// ROWS (4, or 3 of 16 registers without FMA) x 3 sums stay in registers. Over a stretch, the rows stay in the L1 cache
// while the others pass by, and a lane adds up few values of float32. More rows gain nothing (Zen 4).
constexpr std::int64_t stretch = 768;

template <class T, int BYTES, int ROWS>
void rank_update(std::int64_t m, std::int64_t length, const T* v, std::int64_t stride, double* s) {
  constexpr std::int64_t width = BYTES / sizeof(T);
  const std::int64_t whole = length / width * width;
  for (std::int64_t begin = 0; begin < whole; begin += stretch) {
    const std::int64_t part = whole - begin < stretch ? whole - begin : stretch;
    std::int64_t i = 0;
    for (; i + ROWS <= m; i += ROWS) dot_rows<T, BYTES, ROWS>(m, i, part, v + begin, stride, s);
    if (i + 4 <= m) {
      dot_rows<T, BYTES, 4>(m, i, part, v + begin, stride, s);
      i += 4;
    }
    if (i + 2 <= m) {
      dot_rows<T, BYTES, 2>(m, i, part, v + begin, stride, s);
      i += 2;
    }
    if (i < m) dot_rows<T, BYTES, 1>(m, i, part, v + begin, stride, s);
  }
  for (std::int64_t k = whole; k < length; ++k) {
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = i; j < m; ++j) {
        s[i * m + j] += static_cast<double>(v[i * stride + k]) * static_cast<double>(v[j * stride + k]);
      }
    }
  }
}

}  // namespace
}  // namespace fastcka::cpu
