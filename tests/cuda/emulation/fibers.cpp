// Grids: blocks one after another, the threads of a block as fibers of one thread of the processor.
//
// A fiber runs one thread of the block after another until one of them reaches a barrier; another fiber continues with
// the rest. So a kernel without barriers needs a single fiber, and no switch between its threads.

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>

#include "runtime.hpp"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cuda_emulation {
namespace {

constexpr std::size_t stack_bytes = 64 << 10;

struct Site {
  const char* file;
  int line;
  const char* function;
};

// makecontext gives a fiber its stack. Later switches are by setjmp and longjmp: swapcontext would ask the operating
// system for the signal mask each time, which takes longer than most stretches between two barriers.
struct Fiber {
  std::unique_ptr<char[]> stack{new char[stack_bytes]};
  bool started = false;
  jmp_buf state;
  Site site;  // of the barrier that it waits at
};

class Block {
 public:
  void run(std::size_t threads, const Work& thread, Order order) {
    thread_ = &thread;
    indices_ = arrange(order, threads);
    next_ = 0;
    finished_ = 0;
    while (next_ < threads) resume(idle());
    while (!waiting_.empty()) {
      std::vector<Fiber*> round;
      round.swap(waiting_);
      if (report_divergence(round)) return;
      for (const std::size_t at : arrange(order, round.size())) resume(round[at]);
    }
  }

  void wait(const Site& site) {
    const uint3 index = threadIdx;
    running_->site = site;
    waiting_.push_back(running_);
    leave();
    threadIdx = index;
  }

 private:
  Fiber* idle() {
    if (idle_.empty()) {
      fibers_.push_back(std::make_unique<Fiber>());
      return fibers_.back().get();
    }
    Fiber* fiber = idle_.back();
    idle_.pop_back();
    return fiber;
  }

  // Returns when the fiber has reached a barrier or finished its threads.
  void resume(Fiber* fiber) {
    running_ = fiber;
    if (_setjmp(scheduler_) != 0) return;
    if (fiber->started) _longjmp(fiber->state, 1);
    fiber->started = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber->stack.get();
    context.uc_stack.ss_size = stack_bytes;
    makecontext(&context, run_fiber, 0);
    setcontext(&context);
  }

  void leave() {
    if (_setjmp(running_->state) == 0) _longjmp(scheduler_, 1);
  }

  static void run_fiber();

  void run_threads() {
    for (;;) {
      while (next_ < indices_.size()) {
        const auto index = static_cast<unsigned>(indices_[next_++]);
        threadIdx = {index % blockDim.x, index / blockDim.x % blockDim.y, index / (blockDim.x * blockDim.y)};
        (*thread_)();
        ++finished_;
      }
      idle_.push_back(running_);
      leave();
    }
  }

  bool report_divergence(const std::vector<Fiber*>& round) {
    const Site& site = round.front()->site;
    const auto other = std::find_if(round.begin(), round.end(), [&](const Fiber* fiber) {
      return fiber->site.line != site.line || std::strcmp(fiber->site.file, site.file) != 0;
    });
    if (finished_ == 0 && other == round.end()) return false;
    std::fprintf(stderr, "%s:%d: divergent __syncthreads() in block (%u, %u, %u) of %s: ", site.file, site.line,
                 blockIdx.x, blockIdx.y, blockIdx.z, site.function);
    if (finished_ > 0) {
      std::fprintf(stderr, "%zu threads wait there and %zu have returned\n", round.size(), finished_);
    } else {
      std::fprintf(stderr, "other threads wait at %s:%d\n", (*other)->site.file, (*other)->site.line);
    }
    // Their threads never continue.
    for (Fiber* fiber : round) {
      fiber->started = false;
      idle_.push_back(fiber);
    }
    fail(cudaErrorLaunchFailure);
    return true;
  }

  jmp_buf scheduler_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_, waiting_;
  Fiber* running_ = nullptr;
  const Work* thread_ = nullptr;
  std::vector<std::size_t> indices_;  // of the block's threads, in the order in which they start
  std::size_t next_ = 0, finished_ = 0;
};

Block the_block;

void Block::run_fiber() { the_block.run_threads(); }

}  // namespace

std::vector<std::size_t> arrange(Order order, std::size_t count) {
  static std::mt19937 generator;
  std::vector<std::size_t> indices(count);
  std::iota(indices.begin(), indices.end(), std::size_t{0});
  if (order == Order::reverse) std::reverse(indices.begin(), indices.end());
  if (order == Order::shuffle) std::shuffle(indices.begin(), indices.end(), generator);
  return indices;
}

cudaError_t check_launch(dim3 grid, dim3 block, std::size_t dynamic_shared_bytes, cudaStream_t stream) {
  constexpr unsigned most_blocks = 65535;
  const std::size_t threads = std::size_t{block.x} * block.y * block.z;
  const bool good = grid.x >= 1 && grid.x <= 0x7fffffff && grid.y >= 1 && grid.y <= most_blocks && grid.z >= 1 &&
                    grid.z <= most_blocks && threads >= 1 && threads <= 1024 && block.z <= 64;
  if (!good) return cudaErrorInvalidConfiguration;
  if (dynamic_shared_bytes != 0) return cudaErrorInvalidValue;
  return is_here(stream) ? cudaSuccess : cudaErrorInvalidResourceHandle;
}

void run_grid(dim3 grid, dim3 block, const Work& thread) {
  const Order order = order_setting();
  gridDim = grid;
  blockDim = block;
  for (const std::size_t index : arrange(order, std::size_t{grid.x} * grid.y * grid.z)) {
    const std::size_t row = index / grid.x;
    blockIdx = {static_cast<unsigned>(index % grid.x), static_cast<unsigned>(row % grid.y),
                static_cast<unsigned>(row / grid.y)};
    the_block.run(std::size_t{block.x} * block.y * block.z, thread, order);
    if (readiness() != cudaSuccess) return;
  }
}

void barrier(const char* file, int line, const char* function) { the_block.wait({file, line, function}); }

}  // namespace cuda_emulation
