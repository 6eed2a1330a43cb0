#include <utility>

#include "arithmetic.cuh"
#include "check.hpp"
#include "columns.hpp"
#include "far_examples.hpp"
#include "far_sums.hpp"
#include "features.hpp"
#include "gram.hpp"
#include "norms.hpp"
#include "pass.hpp"
#include "prepare.hpp"

namespace fastcka::cuda {
namespace {

// Products of a pass that is captured. One of thousands has large products, whose launches hide behind each other,
// and its graph would take device memory and a second to make.
constexpr std::int64_t most_captured = 250;

int headroom_of(Products products) {
  return products == Products::float16 || products == Products::float16x3 ? Half::headroom : 0;
}

}  // namespace

Pass::Pass(std::shared_ptr<Cublas> cublas, int device, Shape shape, char* memory)
    : cublas_(std::move(cublas)), device_(device), shape_(std::move(shape)), layout_(shape_), memory_(memory) {}

Pass::~Pass() {
  if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
}

void Pass::prepare(std::int64_t first, const std::vector<View>& views, cudaStream_t stream) {
  const OnDevice guard(device_);
  std::int64_t* status = layout_.status(memory_);
  double* mean = layout_.mean(memory_);
  double* robust = layout_.robust(memory_);
  const Statistics statistics{layout_.sums(memory_),
                              layout_.least(memory_),
                              layout_.most(memory_),
                              layout_.counts(memory_),
                              layout_.firsts(memory_),
                              mean,
                              robust,
                              status,
                              layout_.starts(memory_)};
  const FarExamples far{robust, layout_.q(memory_), layout_.far(memory_), mean, status};
  const Centered centered{layout_.k(memory_), mean, status};

  const int headroom = headroom_of(shape_.products);
  std::size_t begin = 0;
  while (begin < views.size()) {
    const DType dtype = views[begin].dtype;
    Batch batch{};
    int count = 0;
    for (; begin < views.size() && count < most_items && views[begin].dtype == dtype; ++begin, ++count) {
      const View& view = views[begin];
      const std::int64_t index = first + static_cast<std::int64_t>(begin);
      const auto i = to_size(index);
      batch.items[count] = {static_cast<const char*>(view.data),
                            view.row_stride,
                            view.column_stride,
                            index,
                            view.d,
                            layout_.width[i],
                            layout_.start[i],
                            layout_.column[i],
                            layout_.strip[i]};
    }
    describe_columns(batch, count, dtype, layout_, headroom, statistics, stream);
    find_far_examples(batch, count, dtype, layout_, headroom, far, stream);
    center(batch, count, dtype, shape_, layout_, memory_, centered, stream);
  }
}

void Pass::sums(cudaStream_t stream) {
  const OnDevice guard(device_);
  const std::lock_guard lock(mutex_);
  // The first call is not captured: cuBLAS makes its handle and loads its kernels in it.
  if (products_ == 0 || products_ > most_captured) return enqueue(stream);
  if (graph_ == nullptr) capture();
  check(cudaGraphLaunch(graph_, stream), "cudaGraphLaunch");
}

void Pass::enqueue(cudaStream_t stream) {
  const auto lock = cublas_->use(stream, layout_.cublas(memory_), cublas_bytes);
  norm_products(shape_, layout_, memory_, *cublas_, stream);
  if (shape_.route == Route::gram) {
    gram_sums(shape_, layout_, memory_, *cublas_, stream);
  } else {
    feature_sums(shape_, layout_, memory_, *cublas_, stream);
  }
  products_ = cublas_->multiplied();
}

void Pass::add_far(const std::vector<std::int64_t>& rows, cudaStream_t stream) {
  const OnDevice guard(device_);
  const auto lock = cublas_->use(stream, layout_.cublas(memory_), cublas_bytes);
  far_sums(shape_, layout_, memory_, rows, *cublas_, stream);
  feature_sums(shape_, layout_, memory_, *cublas_, stream);
  add_far_sums(layout_, memory_, stream);
}

void Pass::capture() {
  // A separate stream, because the caller's may be the legacy stream, which cannot be captured.
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  cudaGraph_t graph = nullptr;
  try {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    try {
      enqueue(stream);
    } catch (...) {
      cudaStreamEndCapture(stream, &graph);
      throw;
    }
    check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    check(cudaGraphInstantiate(&graph_, graph, 0), "cudaGraphInstantiate");
  } catch (...) {
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
    throw;
  }
  check(cudaGraphDestroy(graph), "cudaGraphDestroy");
  check(cudaStreamDestroy(stream), "cudaStreamDestroy");
}

}  // namespace fastcka::cuda
