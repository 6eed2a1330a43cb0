// Threads for the phases of one pass. They live only while a phase runs, so that a fork finds no pool to mend, and
// they are std::thread because a second OpenMP runtime beside torch's aborts or hangs.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>

#include "../hsic.hpp"

namespace fastcka::cpu {

class Pool {
 public:
  Pool(int threads, const Poll& poll) : threads_(threads), poll_(poll) {}

  int threads() const { return threads_; }

  // body(item, worker) once for each item, handed out in rising order; the caller is worker 0. Rethrows the first
  // exception of any worker when all have stopped. A silent phase polls with total 0.
  enum class Progress { silent, reported };
  void run(std::int64_t items, Progress progress, const std::function<void(std::int64_t item, int worker)>& body);

  // Inside a body, at least every few tens of milliseconds: lets worker 0 poll, and ends the body (by an exception
  // that run() swallows in favour of the first one) once another worker has failed.
  void checkpoint(int worker);

 private:
  struct Stopped {};

  void work(int worker, std::int64_t items, const std::function<void(std::int64_t, int)>& body);

  const int threads_;
  const Poll& poll_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::int64_t> done_{0};
  std::int64_t total_ = 0;
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  std::chrono::steady_clock::time_point polled_ = std::chrono::steady_clock::now();
};

}  // namespace fastcka::cpu
