// Products of panels and the rank update of a tile, for the translation units named in implementation_simd.hpp.
#pragma once

#include "implementation.hpp"
#include "vector_simd.hpp"

namespace fastcka::cpu {
namespace {

// ROWS x COLUMNS registers of the output stay in registers over the whole depth; b[v] points at the v-th register's
// lanes. With AVX-512, 8 x 3 runs at 0.97 of the multiply-add peak for depths from 64 on (measured on Zen 5).
template <class T, int BYTES, int ROWS, int COLUMNS>
inline void multiply_block(std::int64_t depth, const T* a, const T* const* b, T* c, std::int64_t pitch, bool accumulate,
                           const T* ahead) {
  using V = Vector<T, BYTES>;
  constexpr std::int64_t lanes = 64 / sizeof(T);
  constexpr std::int64_t width = BYTES / sizeof(T);
  const T* columns[COLUMNS];
  V sum[ROWS][COLUMNS];
#pragma GCC unroll 8
  for (int v = 0; v < COLUMNS; ++v) columns[v] = b[v];
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < COLUMNS; ++v) sum[r][v] = V{};
  }
#pragma GCC unroll 2
  for (std::int64_t k = 0; k < depth; ++k) {
    V right[COLUMNS];
    __builtin_prefetch(ahead + k * lanes, 0, 2);
#pragma GCC unroll 8
    for (int v = 0; v < COLUMNS; ++v) right[v] = load<V>(columns[v] + k * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const T left = a[k * lanes + r];
#pragma GCC unroll 8
      for (int v = 0; v < COLUMNS; ++v) sum[r][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < COLUMNS; ++v) {
      T* out = c + r * pitch + v * width;
      store(out, accumulate ? load<V>(out) + sum[r][v] : sum[r][v]);
    }
  }
}

constexpr int micro_rows = 8;
constexpr int micro_panels = max_panels;

// REGISTER_ROWS: how many of the 8 rows fit the register file at once (8 of 32 registers, 4 of 16).
template <class T, int BYTES, int REGISTER_ROWS>
void multiply(std::int64_t depth, const T* a, const T* const* b, std::int64_t count, T* c, bool accumulate,
              const T* ahead) {
  constexpr std::int64_t lanes = 64 / sizeof(T);
  constexpr std::int64_t width = BYTES / sizeof(T);
  constexpr int registers = 64 / BYTES;  // in a panel
  const T* columns[micro_panels * registers];
  const int n_columns = static_cast<int>(count) * registers;
  for (int v = 0; v < n_columns; ++v) columns[v] = b[v / registers] + (v % registers) * width;
  const std::int64_t pitch = count * lanes;
  for (int v = 0; v < n_columns; v += 3) {
    for (int r = 0; r < micro_rows; r += REGISTER_ROWS) {
      T* out = c + r * pitch + v * width;
      switch (n_columns - v) {
        case 1:
          multiply_block<T, BYTES, REGISTER_ROWS, 1>(depth, a + r, columns + v, out, pitch, accumulate, ahead);
          break;
        case 2:
          multiply_block<T, BYTES, REGISTER_ROWS, 2>(depth, a + r, columns + v, out, pitch, accumulate, ahead);
          break;
        default:
          multiply_block<T, BYTES, REGISTER_ROWS, 3>(depth, a + r, columns + v, out, pitch, accumulate, ahead);
      }
    }
  }
}

// ROWS x COLUMNS inner products of rows of V, in float64 between stretches.
template <class T, int BYTES, int ROWS, int COLUMNS>
inline void dot_block(std::int64_t length, const T* rows, const T* columns, std::int64_t stride, double* out,
                      std::int64_t pitch) {
  using V = Vector<T, BYTES>;
  constexpr std::int64_t width = BYTES / sizeof(T);
  V sum[ROWS][COLUMNS] = {};
  for (std::int64_t k = 0; k < length; k += width) {
    V right[COLUMNS];
#pragma GCC unroll 4
    for (int v = 0; v < COLUMNS; ++v) right[v] = load<V>(columns + v * stride + k);
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; ++r) {
      const V left = load<V>(rows + r * stride + k);
#pragma GCC unroll 4
      for (int v = 0; v < COLUMNS; ++v) sum[r][v] += left * right[v];
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < COLUMNS; ++v) {
      double total = 0;
      for (int lane = 0; lane < width; ++lane) total += static_cast<double>(sum[r][v][lane]);
      out[r * pitch + v] += total;
    }
  }
}

template <class T, int BYTES, int ROWS>
inline void dot_rows(std::int64_t m, std::int64_t i, std::int64_t length, const T* v, std::int64_t stride, double* s) {
  std::int64_t j = i;
  const T* rows = v + i * stride;
  for (; j + 4 <= m; j += 4) {
    dot_block<T, BYTES, ROWS, 4>(length, rows, v + j * stride, stride, s + i * m + j, m);
  }
  for (; j < m; ++j) dot_block<T, BYTES, ROWS, 1>(length, rows, v + j * stride, stride, s + i * m + j, m);
}

// A stretch of 1024 keeps four rows of float32 V in the L1 cache while the others pass by.
constexpr std::int64_t stretch = 1024;

template <class T, int BYTES>
void rank_update(std::int64_t m, std::int64_t length, const T* v, std::int64_t stride, double* s) {
  constexpr std::int64_t width = BYTES / sizeof(T);
  const std::int64_t whole = length / width * width;
  for (std::int64_t begin = 0; begin < whole; begin += stretch) {
    const std::int64_t part = whole - begin < stretch ? whole - begin : stretch;
    std::int64_t i = 0;
    for (; i + 4 <= m; i += 4) dot_rows<T, BYTES, 4>(m, i, part, v + begin, stride, s);
    for (; i < m; ++i) dot_rows<T, BYTES, 1>(m, i, part, v + begin, stride, s);
  }
  for (std::int64_t k = whole; k < length; ++k) {
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = i; j < m; ++j) {
        s[i * m + j] += static_cast<double>(v[i * stride + k]) * static_cast<double>(v[j * stride + k]);
      }
    }
  }
}

template <class T>
void add(std::int64_t count, const T* c, double* total) {
  for (std::int64_t i = 0; i < count; ++i) total[i] += static_cast<double>(c[i]);
}

}  // namespace
}  // namespace fastcka::cpu
