// The arithmetic of the kernels: numbers of all kinds to float64, and rounded to what is multiplied.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace fastcka::cuda {

struct Bfloat16 {
  std::uint16_t bits;
};

__host__ __device__ inline double widen(double value) { return value; }
__host__ __device__ inline double widen(float value) { return value; }
__host__ __device__ inline double widen(__half value) { return __half2float(value); }
__host__ __device__ inline double widen(Bfloat16 value) {
  const std::uint32_t bits = static_cast<std::uint32_t>(value.bits) << 16;
  float wide;
  memcpy(&wide, &bits, sizeof wide);
  return wide;
}

__host__ __device__ inline bool is_finite(double value) { return value - value == 0; }

// Values up to `reach` times 2^-exponent are in [-2^headroom, 2^headroom]. 2^-exponent is a finite float64, also for
// subnormal data.
__host__ __device__ inline int scale_exponent(double reach, int headroom) {
  if (!(reach > 0)) return 0;
  const int exponent = ilogb(reach) + 1;
  return (exponent < -1000 ? -1000 : exponent) - headroom;
}

__host__ __device__ inline double square(double value) { return value * value; }

// Two values that are stored at once.
template <class T>
struct alignas(2 * sizeof(T)) Pair {
  T first, second;
};

// Four values that are stored at once.
template <class T>
struct alignas(4 * sizeof(T)) Quad {
  T value[4];
};

// In one instruction: the compiler takes a struct of __half apart.
template <class Word, class T>
__host__ __device__ inline void store_whole(void* address, const T& value) {
  static_assert(sizeof(Word) == sizeof(T));
  Word bits;
  memcpy(&bits, &value, sizeof bits);
  *static_cast<Word*>(address) = bits;
}

// A value as the sum of two fp16 numbers, to 22 bits where the second is not subnormal.
struct Split {
  __half high, low;
};

__host__ __device__ inline Split split(float value) {
  const __half high = __float2half_rn(value);
  return {high, __float2half_rn(value - __half2float(high))};
}

__host__ __device__ inline double widen(Split value) { return widen(value.high) + widen(value.low); }

// How centred rows are stored for the products. `slabs` copies are `step` apart; store() takes two neighbours and
// returns the sum of squares of the stored values; load() returns one value. `headroom`: values are in
// [-2^headroom, 2^headroom], or twice that where the centre is not the mean of all examples.

template <class T>
struct Whole {
  using Item = T;
  static constexpr int slabs = 1;
  static constexpr int headroom = 0;
  __host__ __device__ static double store(T* address, std::int64_t, double first, double second) {
    const Pair<T> pair{static_cast<T>(first), static_cast<T>(second)};
    *reinterpret_cast<Pair<T>*>(address) = pair;
    return square(pair.first) + square(pair.second);
  }
  __host__ __device__ static double load(const T* address, std::int64_t) { return widen(*address); }
};

// 2^14 leaves room in fp16 (up to 65504), and keeps its subnormals (from 2^-24) as far below the data as possible.
struct Half {
  using Item = __half;
  static constexpr int slabs = 1;
  static constexpr int headroom = 14;
  __host__ __device__ static double store(__half* address, std::int64_t, double first, double second) {
    const Pair<__half> pair{__float2half_rn(static_cast<float>(first)), __float2half_rn(static_cast<float>(second))};
    store_whole<std::uint32_t>(address, pair);
    return square(widen(pair.first)) + square(widen(pair.second));
  }
  __host__ __device__ static double load(const __half* address, std::int64_t) { return widen(*address); }
};

// Slabs [high | low | high | high]: the windows of three slabs that begin at slab 0 and at slab 1 multiply to
// high low + low high + high high, so that one product of threefold depth does the work of three. The small products
// come first: tensor cores truncate, and added to a full sum they would lose five times as much.
struct HighLow {
  using Item = __half;
  static constexpr int slabs = 4;
  static constexpr int headroom = 14;
  __host__ __device__ static double store(__half* address, std::int64_t step, double first, double second) {
    const Split a = split(static_cast<float>(first));
    const Split b = split(static_cast<float>(second));
    const Pair<__half> high{a.high, b.high};
    const Pair<__half> low{a.low, b.low};
    store_whole<std::uint32_t>(address, high);
    store_whole<std::uint32_t>(address + step, low);
    store_whole<std::uint32_t>(address + 2 * step, high);
    store_whole<std::uint32_t>(address + 3 * step, high);
    return square(widen(a)) + square(widen(b));
  }
  __host__ __device__ static double load(const __half* address, std::int64_t step) {
    return widen(Split{address[0], address[step]});
  }
};

}  // namespace fastcka::cuda
