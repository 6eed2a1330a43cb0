// Vectors of GCC and Clang, for the translation units named in implementation_simd.hpp.
#pragma once

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include <cstdint>

namespace fastcka::cpu {
namespace {

template <class T, int BYTES>
struct VectorOf {
  typedef T type __attribute__((vector_size(BYTES)));
};
template <class T, int BYTES>
using Vector = typename VectorOf<T, BYTES>::type;

template <class V, class T>
inline V load(const T* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

template <class V, class T>
inline void store(T* to, V value) {
  __builtin_memcpy(to, &value, sizeof value);
}

// Bytes of a register of this unit. Longer vectors serve only where they are no slower: GCC 12 compares and converts
// them value by value.
#if defined(__AVX512F__)
constexpr int register_bytes = 64;
#elif defined(__AVX__)
constexpr int register_bytes = 32;
#else
constexpr int register_bytes = 16;
#endif

// A register of float64, as many float32, and the way from one to the other.
using Wide = Vector<double, register_bytes>;
using HalfWide = Vector<float, register_bytes / 2>;

inline Wide widened(HalfWide x) {
#ifdef __AVX512F__
  return (Wide)_mm512_cvtps_pd((__m256)x);  // GCC 12 takes the conversion apart
#else
  return __builtin_convertvector(x, Wide);
#endif
}
inline Wide widened(Wide x) { return x; }
inline void narrow(Wide x, HalfWide& out) {
#ifdef __AVX512F__
  out = (HalfWide)_mm512_cvtpd_ps((__m512d)x);
#else
  out = __builtin_convertvector(x, HalfWide);
#endif
}
inline void narrow(Wide x, Wide& out) { out = x; }

// A value that is loaded once: GCC would load it again for each product, and the loads would limit the loop.
template <class V>
inline V in_register(V x) {
#if defined(__x86_64__)
  __asm__("" : "+v"(x));
#elif defined(__aarch64__)
  __asm__("" : "+w"(x));
#endif
  return x;
}

// 16 words of 32 bits, a cache line.
using Line = Vector<std::uint32_t, 64>;

#ifdef __clang__
#define FASTCKA_SHUFFLE(V, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FASTCKA_SHUFFLE(V, a, b, ...) __builtin_shuffle(a, b, V{__VA_ARGS__})  // GCC 11 has no other
#endif

// The sum of all lanes, by halves.
template <class T, int BYTES>
inline T sum_of_lanes(Vector<T, BYTES> x) {
  if constexpr (BYTES == sizeof(T) * 2) {
    return x[0] + x[1];
  } else {
    Vector<T, BYTES / 2> half[2];
    __builtin_memcpy(half, &x, sizeof x);
    return sum_of_lanes<T, BYTES / 2>(half[0] + half[1]);
  }
}

// The same of each of four vectors.
template <class T, int BYTES>
inline void sums_of_lanes(const Vector<T, BYTES>* x, double* sums) {
  if constexpr (BYTES > 16) {
    Vector<T, BYTES / 2> sum[4];
    for (int i = 0; i < 4; ++i) {
      Vector<T, BYTES / 2> half[2];
      __builtin_memcpy(half, &x[i], sizeof x[i]);
      sum[i] = half[0] + half[1];
    }
    sums_of_lanes<T, BYTES / 2>(sum, sums);
  } else if constexpr (sizeof(T) == 4) {
    using Q = Vector<T, 16>;
    using Places [[maybe_unused]] = Vector<std::uint32_t, 16>;  // Clang takes numbers alone
    const Q even = FASTCKA_SHUFFLE(Places, x[0], x[1], 0, 4, 1, 5) + FASTCKA_SHUFFLE(Places, x[0], x[1], 2, 6, 3, 7);
    const Q odd = FASTCKA_SHUFFLE(Places, x[2], x[3], 0, 4, 1, 5) + FASTCKA_SHUFFLE(Places, x[2], x[3], 2, 6, 3, 7);
    const Q all = FASTCKA_SHUFFLE(Places, even, odd, 0, 1, 4, 5) + FASTCKA_SHUFFLE(Places, even, odd, 2, 3, 6, 7);
    for (int i = 0; i < 4; ++i) sums[i] = static_cast<double>(all[i]);
  } else {
    for (int i = 0; i < 4; ++i) sums[i] = x[i][0] + x[i][1];
  }
}

#ifdef __AVX512F__

// Rows to columns: at each of four stages, words that are 8, 4, 2 and 1 rows apart change places.
inline void transpose(Line* line) {
#pragma GCC unroll 8
  for (int r = 0; r < 8; ++r) {
    const Line a = line[r];
    const Line b = line[r + 8];
    line[r] = FASTCKA_SHUFFLE(Line, a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    line[r + 8] = FASTCKA_SHUFFLE(Line, a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
#pragma GCC unroll 8
  for (int q = 0; q < 8; ++q) {
    const int r = q / 4 * 8 + q % 4;
    const Line a = line[r];
    const Line b = line[r + 4];
    line[r] = FASTCKA_SHUFFLE(Line, a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
    line[r + 4] = FASTCKA_SHUFFLE(Line, a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  }
#pragma GCC unroll 8
  for (int q = 0; q < 8; ++q) {
    const int r = q / 2 * 4 + q % 2;
    const Line a = line[r];
    const Line b = line[r + 2];
    line[r] = FASTCKA_SHUFFLE(Line, a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
    line[r + 2] = FASTCKA_SHUFFLE(Line, a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
#pragma GCC unroll 8
  for (int q = 0; q < 8; ++q) {
    const int r = q * 2;
    const Line a = line[r];
    const Line b = line[r + 1];
    line[r] = FASTCKA_SHUFFLE(Line, a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
    line[r + 1] = FASTCKA_SHUFFLE(Line, a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  }
}

#else

// Rows to columns, 4 x 4 words at a time: longer shuffles would be taken apart word by word.
inline void transpose(Line* line) {
  using Quad = Vector<std::uint32_t, 16>;
  Line turned[16];
  for (int r = 0; r < 16; r += 4) {
    for (int c = 0; c < 4; ++c) {
      Quad row[4];
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) row[q] = load<Quad>(reinterpret_cast<const char*>(&line[r + q]) + c * 16);
      const Quad a = FASTCKA_SHUFFLE(Quad, row[0], row[1], 0, 4, 1, 5);
      const Quad b = FASTCKA_SHUFFLE(Quad, row[0], row[1], 2, 6, 3, 7);
      const Quad e = FASTCKA_SHUFFLE(Quad, row[2], row[3], 0, 4, 1, 5);
      const Quad f = FASTCKA_SHUFFLE(Quad, row[2], row[3], 2, 6, 3, 7);
      char* to = reinterpret_cast<char*>(&turned[c * 4]) + r * 4;
      store(to, FASTCKA_SHUFFLE(Quad, a, e, 0, 1, 4, 5));
      store(to + 64, FASTCKA_SHUFFLE(Quad, a, e, 2, 3, 6, 7));
      store(to + 128, FASTCKA_SHUFFLE(Quad, b, f, 0, 1, 4, 5));
      store(to + 192, FASTCKA_SHUFFLE(Quad, b, f, 2, 3, 6, 7));
    }
  }
  __builtin_memcpy(line, turned, sizeof turned);
}

#endif

// The words at even and at odd places of a, then b.
inline Line evens(Line a, Line b) {
  return FASTCKA_SHUFFLE(Line, a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}
inline Line odds(Line a, Line b) {
  return FASTCKA_SHUFFLE(Line, a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}

#undef FASTCKA_SHUFFLE

}  // namespace
}  // namespace fastcka::cpu
