// Compiled with AVX-512 F, BW, DQ, VL, BF16 and FMA; called only where the processor has them.
//
// A product of pairs of bfloat16 costs no more than one of float32 (Zen 5), for twice the depth.
#include <immintrin.h>

#include "implementation_simd.hpp"

namespace fastcka::cpu {
namespace {

struct PairDot {
  using Cell = std::uint32_t;
  using Sum = float;
  static constexpr int bytes = 64;
  using Right = Line;
  static Vector<float, 64> step(Cell left, Right right, Vector<float, 64> sum) {
    const Line all = Line{} + left;  // the cell in every lane
    return (Vector<float, 64>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)all, (__m512bh)right);
  }
};

bool supported() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("fma");
}

}  // namespace

extern const Implementation avx512bf16_implementation;
// Constant: a dynamic initialiser would run this unit's instructions at import.
constexpr Implementation avx512bf16_implementation{"avx512bf16",
                                                   supported,
                                                   column_statistics,
                                                   float64_kernels<64, 8, 3, 4>(),
                                                   float32_kernels<64, 8, 3, 4>(),
                                                   {},
                                                   single_kernels<Pair, 64, 4>("bfloat16", multiply<PairDot, 8>)};

}  // namespace fastcka::cpu
