// Products by the vendored OpenBLAS, for processors that the vector implementations do not cover; preparation by the
// portable build of the same source. OpenBLAS runs at one thread: its results change bits with its thread count, and
// the pass has its own threads.
#include <cblas.h>

#include "implementation_simd.hpp"

extern "C" void scipy_openblas_set_num_threads(int);

namespace fastcka::cpu {
namespace {

bool supported() { return true; }

// One panel a micro-tile, wide enough that OpenBLAS spends most of its time multiplying rather than packing.
constexpr int edge = 96;

// This copy of OpenBLAS is the package's own; nobody else's thread count is touched.
void use_one_thread() {
  static const bool done = (scipy_openblas_set_num_threads(1), true);
  static_cast<void>(done);
}

void multiply_f32(std::int64_t depth, const float* a, const float* const* b, std::int64_t, float* c, bool accumulate,
                  const float*) {
  use_one_thread();
  scipy_cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, edge, edge, static_cast<int>(depth), 1.0F, a, edge, *b,
                    edge, accumulate ? 1.0F : 0.0F, c, edge);
}

void multiply_f64(std::int64_t depth, const double* a, const double* const* b, std::int64_t, double* c, bool accumulate,
                  const double*) {
  use_one_thread();
  scipy_cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, edge, edge, static_cast<int>(depth), 1.0, a, edge, *b,
                    edge, accumulate ? 1.0 : 0.0, c, edge);
}

}  // namespace

extern const Implementation blas_implementation;
constexpr Implementation blas_implementation{
    "blas",
    supported,
    column_statistics,
    {edge, edge, 1, multiply_f32, rank_update<float, 16>, add<float>, center<float>},
    {edge, edge, 1, multiply_f64, rank_update<double, 16>, add<double>, center<double>}};

}  // namespace fastcka::cpu
