// Compiled with AVX-512 F, BW, DQ, VL and FMA; called only where the processor has them.
#include "implementation_simd.hpp"

namespace fastcka::cpu {
namespace {

bool supported() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}

}  // namespace

extern const Implementation avx512_implementation;
// Constant: a dynamic initialiser would run this unit's instructions at import.
constexpr Implementation avx512_implementation{
    "avx512", supported, column_statistics, float64_kernels<64, 8, 3, 4>(), float32_kernels<64, 8, 3, 4>(), {}, {}};

}  // namespace fastcka::cpu
