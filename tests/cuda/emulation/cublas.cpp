// The entry points of cuBLAS that fastcka calls, with its column-major meaning, its checks of arguments and its codes.

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "cuda_fp16.h"
#include "runtime.hpp"
#include "tensor_cores.hpp"

namespace {

enum Status { success = 0, not_initialized = 1, invalid_value = 7, execution_failed = 13, not_supported = 15 };
enum Operation { normal = 0, transposed = 1, conjugate = 2 };
enum Compute { float32 = 68, float32_pedantic = 69, float64 = 70, float64_pedantic = 71 };

struct Handle {
  cudaStream_t stream = nullptr;
};

struct Matrix {
  const void* data;
  cudaDataType type;
  int leading;
  long long stride;
};

struct Product {
  int op_a, op_b;
  std::int64_t m, n, k;
  double alpha, beta;
  Matrix a, b, c;
  int batch;
};

// One inner loop computes this number of rows of C, a few vector registers, for this number of columns.
constexpr int lanes = 16;
constexpr int columns = 4;

template <class T>
T element(const Matrix& matrix, std::int64_t batch, std::int64_t row, std::int64_t column) {
  const std::int64_t index = batch * matrix.stride + column * matrix.leading + row;
  switch (matrix.type) {
    case CUDA_R_16F:
      return static_cast<T>(__half2float(static_cast<const __half*>(matrix.data)[index]));
    case CUDA_R_32F:
      return static_cast<T>(static_cast<const float*>(matrix.data)[index]);
    case CUDA_R_64F:
      return static_cast<T>(static_cast<const double*>(matrix.data)[index]);
  }
  return T{};
}

// Panels of `width` rows of the operand: (panels, k, width), zero beyond its last row.
template <class T>
std::vector<T> pack(const Matrix& matrix, bool by_columns, std::int64_t batch, std::int64_t rows, std::int64_t k,
                    std::int64_t width) {
  std::vector<T> packed(static_cast<std::size_t>((rows + width - 1) / width * width * k));
  for (std::int64_t row = 0; row < rows; ++row) {
    T* to = packed.data() + row / width * width * k + row % width;
    for (std::int64_t inner = 0; inner < k; ++inner) {
      to[inner * width] = by_columns ? element<T>(matrix, batch, row, inner) : element<T>(matrix, batch, inner, row);
    }
  }
  return packed;
}

// A tile of sums over k. As on the device, sums of float32 and float64 are rounded at every step, and those of float16
// are truncated by tensor cores.
template <class T>
struct Tile {
  T sums[columns][lanes] = {};

  void add(std::int64_t k, const T* a, const T* b) {
    for (std::int64_t inner = 0; inner < k; ++inner, a += lanes, b += columns) {
      for (std::int64_t j = 0; j < columns; ++j) {
        for (std::int64_t i = 0; i < lanes; ++i) sums[j][i] += a[i] * b[j];
      }
    }
  }

  void add_by_tensor_cores(std::int64_t k, const T* a, const T* b) {
    if constexpr (std::is_same_v<T, float>) {
      constexpr std::int64_t depth = cuda_emulation::tensor_core_depth;
      for (std::int64_t begin = 0; begin < k; begin += depth) {
        const int step = static_cast<int>(std::min(depth, k - begin));
        for (std::int64_t j = 0; j < columns; ++j) {
          cuda_emulation::add_by_tensor_core<lanes>(step, a + begin * lanes, b + begin * columns + j, columns, sums[j]);
        }
      }
    }
  }
};

template <class T>
void multiply(const Product& product, std::int64_t batch) {
  const std::int64_t k = product.alpha == 0 ? 0 : product.k;
  const std::vector<T> a = pack<T>(product.a, product.op_a == normal, batch, product.m, k, lanes);
  const std::vector<T> b = pack<T>(product.b, product.op_b != normal, batch, product.n, k, columns);
  T* c = static_cast<T*>(const_cast<void*>(product.c.data)) + batch * product.c.stride;
  for (std::int64_t column = 0; column < product.n; column += columns) {
    for (std::int64_t row = 0; row < product.m; row += lanes) {
      Tile<T> tile;
      const T* rows = a.data() + row * k;
      const T* across = b.data() + column * k;
      product.a.type == CUDA_R_16F ? tile.add_by_tensor_cores(k, rows, across) : tile.add(k, rows, across);
      for (std::int64_t j = 0; j < std::min<std::int64_t>(columns, product.n - column); ++j) {
        for (std::int64_t i = 0; i < std::min<std::int64_t>(lanes, product.m - row); ++i) {
          T& to = c[(column + j) * product.c.leading + row + i];
          const T sum = static_cast<T>(product.alpha) * tile.sums[j][i];
          // With beta zero, C need not hold numbers.
          to = product.beta == 0 ? sum : sum + static_cast<T>(product.beta) * to;
        }
      }
    }
  }
}

bool good_shapes(const Product& product) {
  const auto good = [](int op) { return op == normal || op == transposed || op == conjugate; };
  const auto fits = [](const Matrix& matrix, std::int64_t rows) {
    return matrix.leading >= std::max<std::int64_t>(1, rows);
  };
  return good(product.op_a) && good(product.op_b) && product.m >= 0 && product.n >= 0 && product.k >= 0 &&
         product.batch >= 0 && fits(product.a, product.op_a == normal ? product.m : product.k) &&
         fits(product.b, product.op_b == normal ? product.k : product.n) && fits(product.c, product.m);
}

// The combinations of types that fastcka uses.
bool good_types(const Product& product, int compute) {
  if (product.a.type != product.b.type) return false;
  if (compute == float64 || compute == float64_pedantic) {
    return product.a.type == CUDA_R_64F && product.c.type == CUDA_R_64F;
  }
  return (compute == float32 || compute == float32_pedantic) && product.c.type == CUDA_R_32F &&
         (product.a.type == CUDA_R_32F || product.a.type == CUDA_R_16F);
}

Status enqueue(const Handle* handle, Product product, int compute, const void* alpha, const void* beta) {
  if (!handle) return not_initialized;
  if (!good_shapes(product) || !alpha || !beta) return invalid_value;
  if (!good_types(product, compute)) return not_supported;
  if (!cuda_emulation::is_here(handle->stream)) return execution_failed;
  const bool wide = product.c.type == CUDA_R_64F;
  const auto scalar = [&](const void* from) {
    return wide ? *static_cast<const double*>(from) : static_cast<double>(*static_cast<const float*>(from));
  };
  product.alpha = scalar(alpha);
  product.beta = scalar(beta);
  const cudaError_t error = cuda_emulation::enqueue(handle->stream, [=] {
    for (std::int64_t batch = 0; batch < product.batch; ++batch) {
      wide ? multiply<double>(product, batch) : multiply<float>(product, batch);
    }
  });
  return error == cudaSuccess ? success : execution_failed;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

int cublasCreate_v2(void** handle) {
  if (cuda_emulation::readiness() != cudaSuccess) return not_initialized;
  *handle = new Handle;
  return success;
}

int cublasDestroy_v2(void* handle) {
  delete static_cast<Handle*>(handle);
  return success;
}

int cublasGetVersion_v2(void*, int* version) {
  *version = 999999;
  return success;
}

int cublasSetStream_v2(void* handle, cudaStream_t stream) {
  if (!handle) return not_initialized;
  static_cast<Handle*>(handle)->stream = stream;
  return success;
}

int cublasSetWorkspace_v2(void* handle, void*, std::size_t) { return handle ? success : not_initialized; }

const char* cublasGetStatusString(int status) {
  switch (status) {
    case success:
      return "the operation completed successfully";
    case not_initialized:
      return "the library was not initialized";
    case invalid_value:
      return "an unsupported value or parameter was passed to the function";
    case execution_failed:
      return "the program failed to execute";
    case not_supported:
      return "the functionality requested is not supported";
    default:
      return "unknown status";
  }
}

int cublasGemmStridedBatchedEx(void* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a,
                               cudaDataType a_type, int lda, long long a_stride, const void* b, cudaDataType b_type,
                               int ldb, long long b_stride, const void* beta, void* c, cudaDataType c_type, int ldc,
                               long long c_stride, int batch, int compute, int) {
  const Product product{
      op_a, op_b, m, n, k, 0, 0, {a, a_type, lda, a_stride}, {b, b_type, ldb, b_stride}, {c, c_type, ldc, c_stride},
      batch};
  return enqueue(static_cast<Handle*>(handle), product, compute, alpha, beta);
}

int cublasGemmEx(void* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a,
                 cudaDataType a_type, int lda, const void* b, cudaDataType b_type, int ldb, const void* beta, void* c,
                 cudaDataType c_type, int ldc, int compute, int algorithm) {
  return cublasGemmStridedBatchedEx(handle, op_a, op_b, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c,
                                    c_type, ldc, 0, 1, compute, algorithm);
}
}
#pragma GCC visibility pop
