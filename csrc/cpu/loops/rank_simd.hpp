// The rank update of a tile, and inner products of two sets of rows, for the translation units named in
// implementation_simd.hpp.
#pragma once

#include "implementation.hpp"
#include "vector_simd.hpp"

namespace fastcka::cpu {
namespace {

// The sum of all lanes, by halves.
template <class T, int BYTES>
inline double sum_of_lanes(Vector<T, BYTES> x) {
  if constexpr (BYTES == 16) {
    double total = 0;
    for (std::size_t lane = 0; lane < 16 / sizeof(T); ++lane) total += static_cast<double>(x[lane]);
    return total;
  } else {
    Vector<T, BYTES / 2> half[2];
    __builtin_memcpy(half, &x, sizeof x);
    return sum_of_lanes<T, BYTES / 2>(half[0] + half[1]);
  }
}

// ROWS x COLUMNS inner products of vectors, added up in float64.
template <class T, int BYTES, int ROWS, int COLUMNS>
inline void dot_block(std::int64_t length, const T* rows, std::int64_t row_stride, const T* columns,
                      std::int64_t stride, double* out, std::int64_t pitch) {
  using V = Vector<T, BYTES>;
  constexpr std::int64_t width = BYTES / sizeof(T);
  V sum[ROWS][COLUMNS] = {};
  for (std::int64_t k = 0; k < length; k += width) {
    V right[COLUMNS];
#pragma GCC unroll 8
    for (int v = 0; v < COLUMNS; ++v) right[v] = load<V>(columns + v * stride + k);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const V left = load<V>(rows + r * row_stride + k);
#pragma GCC unroll 8
      for (int v = 0; v < COLUMNS; ++v) sum[r][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < COLUMNS; ++v) out[r * pitch + v] += sum_of_lanes<T, BYTES>(sum[r][v]);
  }
}

// ROWS rows against m others.
template <class T, int BYTES, int ROWS>
inline void dot_rows(std::int64_t m, std::int64_t length, const T* rows, std::int64_t row_stride, const T* v,
                     std::int64_t stride, double* out, std::int64_t pitch) {
  std::int64_t j = 0;
  for (; j + 3 <= m; j += 3) {
    dot_block<T, BYTES, ROWS, 3>(length, rows, row_stride, v + j * stride, stride, out + j, pitch);
  }
  if (j + 2 <= m) {
    dot_block<T, BYTES, ROWS, 2>(length, rows, row_stride, v + j * stride, stride, out + j, pitch);
  } else if (j < m) {
    dot_block<T, BYTES, ROWS, 1>(length, rows, row_stride, v + j * stride, stride, out + j, pitch);
  }
}

// ROWS rows of V against all from the i-th on. Entries below the diagonal are sums of no meaning.
template <class T, int BYTES, int ROWS>
inline void update_rows(std::int64_t m, std::int64_t i, std::int64_t length, const T* v, std::int64_t stride,
                        double* s) {
  const T* rows = v + i * stride;
  dot_rows<T, BYTES, ROWS>(m - i, length, rows, stride, rows, stride, s + i * m + i, m);
}

// ROWS (8 of 32 registers, 4 of 16, 3 of 16 without FMA) x 3 sums stay in registers. Over a stretch, the rows stay in
// the L1 cache while the others pass by, and a lane adds up few values of float32.
constexpr std::int64_t stretch = 768;

template <class T, int BYTES, int ROWS>
void rank_update(std::int64_t m, std::int64_t length, const T* v, std::int64_t stride, double* s) {
  constexpr std::int64_t width = BYTES / sizeof(T);
  const std::int64_t whole = length / width * width;
  for (std::int64_t begin = 0; begin < whole; begin += stretch) {
    const std::int64_t part = whole - begin < stretch ? whole - begin : stretch;
    std::int64_t i = 0;
    for (; i + ROWS <= m; i += ROWS) update_rows<T, BYTES, ROWS>(m, i, part, v + begin, stride, s);
    if (i + 4 <= m) {
      update_rows<T, BYTES, 4>(m, i, part, v + begin, stride, s);
      i += 4;
    }
    if (i + 2 <= m) {
      update_rows<T, BYTES, 2>(m, i, part, v + begin, stride, s);
      i += 2;
    }
    if (i < m) update_rows<T, BYTES, 1>(m, i, part, v + begin, stride, s);
  }
  for (std::int64_t k = whole; k < length; ++k) {
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = i; j < m; ++j) {
        s[i * m + j] += static_cast<double>(v[i * stride + k]) * static_cast<double>(v[j * stride + k]);
      }
    }
  }
}

// `length` is a multiple of the vector's lanes.
template <class T, int BYTES, int ROWS>
void inner_products(std::int64_t count, const T* rows, std::int64_t row_stride, std::int64_t m, const T* v,
                    std::int64_t stride, std::int64_t length, double* out, std::int64_t pitch) {
  for (std::int64_t begin = 0; begin < length; begin += stretch) {
    const std::int64_t part = length - begin < stretch ? length - begin : stretch;
    const T* right = v + begin;
    std::int64_t r = 0;
    for (; r + ROWS <= count; r += ROWS) {
      dot_rows<T, BYTES, ROWS>(m, part, rows + r * row_stride + begin, row_stride, right, stride, out + r * pitch,
                               pitch);
    }
    for (; r < count; ++r) {
      dot_rows<T, BYTES, 1>(m, part, rows + r * row_stride + begin, row_stride, right, stride, out + r * pitch, pitch);
    }
  }
}

}  // namespace
}  // namespace fastcka::cpu
