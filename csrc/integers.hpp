// Arithmetic of counts and sizes. They are signed throughout, so that differences are safe.
#pragma once

#include <cstddef>
#include <cstdint>

// Always inline: a unit that is compiled for AVX-512 must not share a function with one that is not.
#ifdef __CUDACC__
#define FASTCKA_INLINE __host__ __device__ __forceinline__
#else
#define FASTCKA_INLINE inline __attribute__((always_inline))
#endif

namespace fastcka {

// a / b, rounded up. Neither is negative.
FASTCKA_INLINE constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The least multiple of b that is not below a.
FASTCKA_INLINE constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

// A count as the standard containers take it, in an index too.
FASTCKA_INLINE constexpr std::size_t to_size(std::int64_t count) { return static_cast<std::size_t>(count); }

}  // namespace fastcka
