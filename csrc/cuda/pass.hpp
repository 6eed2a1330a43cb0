// Mirrors cpu/pass: one pass of a given shape in memory that the caller gives. Everything is enqueued on the caller's
// streams, and nothing waits.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <mutex>
#include <vector>

#include "../hsic.hpp"
#include "cublas.hpp"
#include "layout.hpp"

namespace fastcka::cuda {

class Pass {
 public:
  // `memory`: device memory of Layout(shape).total_bytes() bytes, 256-byte aligned, which the caller keeps as long as
  // the pass.
  Pass(std::shared_ptr<Cublas> cublas, int device, Shape shape, char* memory);
  ~Pass();
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

  const Layout& layout() const { return layout_; }
  int device() const { return device_; }
  char* results() const { return memory_ + layout_.s0.offset(); }

  // Enqueues statistics and centring of the representations first, first + 1, ... whose data are on the device.
  void prepare(std::int64_t first, const std::vector<View>& views, cudaStream_t stream);

  // Enqueues everything else; the results are complete when the stream gets there. From the second call on, a CUDA
  // graph is launched in place of the pieces of a pass, where these are so few that launching them takes a part of the
  // time that counts.
  void sums(cudaStream_t stream);

  // For the features route, when the results name the far examples: enqueues S0 again, without them in its products.
  void add_far(const std::vector<std::int64_t>& rows, cudaStream_t stream);

 private:
  void enqueue(cudaStream_t stream);
  void capture();

  std::shared_ptr<Cublas> cublas_;
  const int device_;
  const Shape shape_;
  const Layout layout_;
  char* const memory_;
  std::mutex mutex_;
  std::int64_t products_ = 0;  // of cuBLAS in one pass; 0 before the first
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace fastcka::cuda
