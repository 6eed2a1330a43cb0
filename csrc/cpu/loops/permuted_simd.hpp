// Sums of products with permuted rows of matrices, for the translation units named in implementation_simd.hpp.
//
// The matrices of a PermutedRow are next to each other, so that one load takes an entry of all of them. The sums of all
// rows of the fixed side stay in registers, and nothing is copied.
#pragma once

#ifdef __AVX__
#include <immintrin.h>
#endif

#include "implementation.hpp"
#include "vector_simd.hpp"

namespace fastcka::cpu {
namespace {

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int vector_registers = 32;
#else
constexpr int vector_registers = 16;
#endif

// Products that a float32 lane adds up before they go to float64.
constexpr std::int64_t permuted_stretch = 512;

// A vector out of PARTS parts in memory.
template <class V, int PARTS, class T>
inline V join(const T* const* part) {
  static_assert(PARTS == 1 || (PARTS <= 4 && sizeof(V) > 16));
#ifdef __AVX512F__
  if constexpr (PARTS == 2 && sizeof(V) == 64) {
    const auto* low = reinterpret_cast<const double*>(part[0]);
    const auto* high = reinterpret_cast<const double*>(part[1]);
    return (V)_mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(low)), _mm256_loadu_pd(high), 1);
  }
  if constexpr (PARTS == 4) {
    const __m512 first = _mm512_castps128_ps512(_mm_loadu_ps(part[0]));
    const __m512 two = _mm512_insertf32x4(first, _mm_loadu_ps(part[1]), 1);
    return (V)_mm512_insertf32x4(_mm512_insertf32x4(two, _mm_loadu_ps(part[2]), 2), _mm_loadu_ps(part[3]), 3);
  }
#endif
#ifdef __AVX__
  if constexpr (PARTS == 2 && sizeof(V) == 32) {
    return (V)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(part[0])), _mm_loadu_ps(part[1]), 1);
  }
#endif
  if constexpr (PARTS == 1) return load<V>(part[0]);
}

// As Kernels::permuted_sums, for ROWS rows from `first` on.
template <class T, int BYTES, int WIDTH, int ROWS>
void permuted_rows(std::int64_t length, std::int64_t first, const T* fixed, std::int64_t pitch,
                   const PermutedRow<T>* permuted, std::int64_t count, const char* ahead, std::int64_t lines) {
  using V = Vector<T, BYTES>;
  constexpr int row_bytes = WIDTH * sizeof(T);
  constexpr int together = BYTES > row_bytes ? BYTES / row_bytes : 1;
  constexpr int vectors = row_bytes > BYTES ? row_bytes / BYTES : 1;
  constexpr std::int64_t lanes = BYTES / sizeof(T);
  const T* entries[together];
  const std::uint16_t* places[together];
  for (int q = 0; q < together; ++q) {
    const PermutedRow<T>& row = permuted[q < count ? q : 0];  // where one is absent, the first again, without effect
    entries[q] = row.entries;
    places[q] = row.places;
  }
  for (std::int64_t begin = 0; begin < length; begin += permuted_stretch) {
    const std::int64_t end = length - begin < permuted_stretch ? length : begin + permuted_stretch;
    V sum[ROWS][vectors] = {};
    for (std::int64_t k = begin; k < end; ++k) {
      if (k < lines) __builtin_prefetch(ahead + k * 64, 0, 2);
      const T* from[together];
#pragma GCC unroll 4
      for (int q = 0; q < together; ++q) from[q] = entries[q] + std::size_t{places[q][k]} * WIDTH;
      V right[vectors];
      right[0] = join<V, together>(from);
#pragma GCC unroll 4
      for (int v = 1; v < vectors; ++v) right[v] = load<V>(from[0] + v * lanes);
      const T* left = fixed + k * pitch + first;
#pragma GCC unroll 32
      for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sum[r][v] += left[r] * right[v];
      }
    }
#pragma GCC unroll 32
    for (int r = 0; r < ROWS; ++r) {
      T values[together][WIDTH];
      static_assert(sizeof values == sizeof sum[r]);
      __builtin_memcpy(values, sum[r], sizeof values);
      for (std::int64_t q = 0; q < count; ++q) {
        double* out = permuted[q].sums + (first + r) * WIDTH;
        for (int w = 0; w < WIDTH; ++w) out[w] += static_cast<double>(values[q][w]);
      }
    }
  }
}

// Of `rows` rows, at most ROWS.
template <class T, int BYTES, int WIDTH, int ROWS>
void permuted_at_most(std::int64_t rows, std::int64_t length, std::int64_t first, const T* fixed, std::int64_t pitch,
                      const PermutedRow<T>* permuted, std::int64_t count, const char* ahead, std::int64_t lines) {
  if constexpr (ROWS > permuted_grain) {
    if (rows < ROWS) {
      return permuted_at_most<T, BYTES, WIDTH, ROWS - permuted_grain>(rows, length, first, fixed, pitch, permuted,
                                                                      count, ahead, lines);
    }
  }
  permuted_rows<T, BYTES, WIDTH, ROWS>(length, first, fixed, pitch, permuted, count, ahead, lines);
}

template <class T, int BYTES, int WIDTH>
void permuted_width(std::int64_t length, std::int64_t rows, const T* fixed, std::int64_t pitch,
                    const PermutedRow<T>* permuted, std::int64_t count, const char* ahead, std::int64_t lines) {
  constexpr int row_bytes = WIDTH * sizeof(T);
  constexpr int vectors = row_bytes > BYTES ? row_bytes / BYTES : 1;
  // Two more registers take an entry of the fixed side and, at times, a vector of the permuted side.
  constexpr int fit = (vector_registers - vectors - 1) / vectors / permuted_grain * permuted_grain;
  constexpr int most = fit > 0 ? fit : permuted_grain;
  const std::int64_t part = round_up(ceil_div(rows, ceil_div(rows, most)), permuted_grain);
  for (std::int64_t first = 0; first < rows; first += part) {
    const std::int64_t left = rows - first < part ? rows - first : part;
    permuted_at_most<T, BYTES, WIDTH, most>(left, length, first, fixed, pitch, permuted, count, ahead,
                                            first == 0 ? lines : 0);
  }
}

template <class T, int BYTES>
void permuted_sums(std::int64_t length, std::int64_t rows, const T* fixed, std::int64_t pitch, std::int64_t width,
                   const PermutedRow<T>* permuted, std::int64_t count, const void* ahead, std::int64_t lines) {
  const auto* from = static_cast<const char*>(ahead);
  if (width == most_width)
    return permuted_width<T, BYTES, most_width>(length, rows, fixed, pitch, permuted, count, from, lines);
  permuted_width<T, BYTES, most_width / 2>(length, rows, fixed, pitch, permuted, count, from, lines);
}

}  // namespace
}  // namespace fastcka::cpu
