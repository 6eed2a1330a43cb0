// cuBLAS, opened at run time: nothing of CUDA is linked, so that the module imports where there is none, and uses the
// copy that the process has already.
#pragma once

#include <cuda_runtime.h>
#include <library_types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "layout.hpp"

namespace fastcka::cuda {

// What cublas_v2.h and cublas_api.h declare, as far as it is used: the headers need not be there to build.
struct CublasCalls {
  int (*create)(void** handle);
  int (*get_version)(void* handle, int* version);
  int (*set_stream)(void* handle, cudaStream_t stream);
  int (*set_workspace)(void* handle, void* workspace, std::size_t bytes);
  const char* (*status_string)(int status);
  int (*gemm)(void* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a,
              cudaDataType type_a, int pitch_a, const void* b, cudaDataType type_b, int pitch_b, const void* beta,
              void* c, cudaDataType type_c, int pitch_c, int compute, int algorithm);
  int (*gemm_batched)(void* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a,
                      cudaDataType type_a, int pitch_a, long long step_a, const void* b, cudaDataType type_b,
                      int pitch_b, long long step_b, const void* beta, void* c, cudaDataType type_c, int pitch_c,
                      long long step_c, int batch, int compute, int algorithm);
};

// A row-major matrix, or equal ones `step` items apart.
struct Matrix {
  void* data;
  std::int64_t pitch;
  std::int64_t step = 0;
};

// What is summed over in A' B or A B': the rows or the columns of the operands.
enum class Depth { rows, columns };

class Cublas {
 public:
  // The first of the candidates (paths or names) that can be opened. Throws std::runtime_error with the reason of each.
  explicit Cublas(const std::vector<std::string>& candidates);
  // The library and its handles stay: they keep threads and device state that do not survive being unmapped, and at the
  // end of a process the driver may be gone before them.
  ~Cublas() = default;
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  const std::string& path() const { return path_; }
  int version() const;

  // Makes the handle of a device, which takes memory there: before a pass takes the rest.
  void start(int device);

  // While the lock is held, calls to multiply() go to `stream` of the current device.
  [[nodiscard]] std::unique_lock<std::mutex> use(cudaStream_t stream, void* workspace, std::int64_t bytes);

  // c (height x width) = a b', or a' b where the depth runs over rows; += with `accumulate`. `batch` such products.
  // float32 is IEEE float32: never TF32, whatever the environment asks for.
  void multiply(Products products, Depth depth_over, std::int64_t height, std::int64_t width, std::int64_t depth,
                const Matrix& a, const Matrix& b, bool accumulate, const Matrix& c, std::int64_t batch = 1);

  // Products since use().
  std::int64_t multiplied() const { return multiplied_; }

 private:
  void check(int status, const char* what) const;
  void* handle_here();  // of the current device

  std::mutex mutex_;
  std::string path_;
  void* library_ = nullptr;
  std::unique_ptr<const CublasCalls> calls_;
  std::map<int, void*> handles_;  // by device
  void* handle_ = nullptr;        // in use
  std::int64_t multiplied_ = 0;
};

}  // namespace fastcka::cuda
