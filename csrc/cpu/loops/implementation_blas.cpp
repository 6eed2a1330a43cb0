// Products by the vendored OpenBLAS, for processors that the vector implementations do not cover; preparation by the
// portable build of the same source. OpenBLAS runs at one thread: its results change bits with its thread count, and
// the pass runs its threads itself.
#include <cblas.h>

#include "implementation_simd.hpp"

extern "C" void scipy_openblas_set_num_threads(int);

namespace fastcka::cpu {
namespace {

bool supported() { return true; }

// One panel a micro-tile, wide enough that OpenBLAS spends most of its time multiplying rather than packing.
constexpr int edge = 96;

// Only this package uses this copy of OpenBLAS, so no other thread count changes.
void use_one_thread() {
  static const bool done = (scipy_openblas_set_num_threads(1), true);
  static_cast<void>(done);
}

void multiply_f32(std::int64_t steps, const void* a, const void* const* b, std::int64_t, float* c, bool accumulate,
                  const void*) {
  use_one_thread();
  scipy_cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, edge, edge, static_cast<int>(steps), 1.0F,
                    static_cast<const float*>(a), edge, static_cast<const float*>(*b), edge, accumulate ? 1.0F : 0.0F,
                    c, edge);
}

void multiply_f64(std::int64_t steps, const void* a, const void* const* b, std::int64_t, double* c, bool accumulate,
                  const void*) {
  use_one_thread();
  scipy_cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, edge, edge, static_cast<int>(steps), 1.0,
                    static_cast<const double*>(a), edge, static_cast<const double*>(*b), edge, accumulate ? 1.0 : 0.0,
                    c, edge);
}

template <class T>
constexpr Kernels<T> blas_kernels(const char* name, Multiply<T> multiply) {
  using Cell = Single<T>;
  return {name,
          edge,
          edge,
          1,
          Cell::values,
          Cell::bytes,
          multiply,
          nullptr,
          nullptr,
          nullptr,
          rank_update<T, 16, 4>,
          add<T>,
          center<Cell>,
          scalar_example_panel<T, edge>,
          scalar_feature_panels<T, edge>};
}

}  // namespace

extern const Implementation blas_implementation;
constexpr Implementation blas_implementation{"blas",
                                             supported,
                                             column_statistics,
                                             blas_kernels<double>("float64", multiply_f64),
                                             blas_kernels<float>("float32", multiply_f32),
                                             {}};

}  // namespace fastcka::cpu
