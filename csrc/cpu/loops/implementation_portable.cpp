// Compiled for every processor of the architecture: with SSE2 on x86-64, with NEON on aarch64. Both have vectors of
// 16 bytes.
#include "implementation_simd.hpp"

namespace fastcka::cpu {
namespace {

bool supported() { return true; }

constexpr int vector_bytes = 16;

#ifdef __aarch64__
// 32 registers.
constexpr int product_rows = 8;
constexpr int product_columns = 3;
constexpr int rank_rows = 8;
#else
// 16 registers; a product overwrites one of its factors. Other shapes were slower (Zen 4): 4 x 2 by 8 %, 4 x 3 by 33 %;
// in the rank update 4 x 3 by 37 %.
constexpr int product_rows = 2;
constexpr int product_columns = 4;
constexpr int rank_rows = 3;
#endif

}  // namespace

extern const Implementation portable_implementation;
constexpr Implementation portable_implementation{
    "portable",
    supported,
    column_statistics,
    float64_kernels<vector_bytes, product_rows, product_columns, rank_rows>(),
    float32_kernels<vector_bytes, product_rows, product_columns, rank_rows>(),
    {},
    {}};

}  // namespace fastcka::cpu
