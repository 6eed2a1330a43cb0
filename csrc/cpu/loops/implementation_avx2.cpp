// Compiled with AVX2 and FMA; called only where the processor has them.
#include "implementation_simd.hpp"

namespace fastcka::cpu {
namespace {

bool supported() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

}  // namespace

extern const Implementation avx2_implementation;
// Constant: a dynamic initialiser would run this unit's instructions at import.
constexpr Implementation avx2_implementation{
    "avx2", supported, column_statistics, float64_kernels<32, 4>(), float32_kernels<32, 4>(), {}, {}};

}  // namespace fastcka::cpu
