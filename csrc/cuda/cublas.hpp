// cuBLAS, opened at run time: nothing of CUDA is linked, so that the module imports where there is none, and uses the
// copy that the process has already.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "layout.hpp"

namespace fastcka::cuda {

struct CublasCalls;

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
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  const std::string& path() const { return path_; }
  int version();

  // While the lock is held, calls to multiply() go to `stream` of the current device.
  [[nodiscard]] std::unique_lock<std::mutex> use(cudaStream_t stream, void* workspace, std::int64_t bytes);

  // c (height x width) = a b', or a' b where the depth runs over rows; += with `accumulate`. `batch` such products.
  // float32 is IEEE float32: never TF32, whatever the environment asks for.
  void multiply(Products products, Depth depth_over, std::int64_t height, std::int64_t width, std::int64_t depth,
                const Matrix& a, const Matrix& b, bool accumulate, const Matrix& c, std::int64_t batch = 1);

 private:
  void check(int status, const char* what) const;
  void* handle_here();

  std::mutex mutex_;
  std::string path_;
  void* library_ = nullptr;
  CublasCalls* calls_ = nullptr;
  std::map<int, void*> handles_;  // by device
  void* handle_ = nullptr;        // of the device in use
};

}  // namespace fastcka::cuda
