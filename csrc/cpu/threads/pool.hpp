// Threads for the phases of one call. They live no longer than it, so that a fork finds no pool to mend, and they are
// std::thread, because a second OpenMP runtime in a process with torch aborts or hangs.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "../../hsic.hpp"

namespace fastcka::cpu {

class Pool {
 public:
  // Threads start with the first phase that has work for them. `poll` outlives the pool.
  Pool(int threads, const Poll& poll) : threads_(threads), poll_(poll) {}
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return threads_; }

  // body(item, worker) once for each item, handed out in rising order; the caller is worker 0. Rethrows the first
  // exception of any worker when all have stopped; the pool is of no use after it. A silent phase polls with total 0.
  enum class Progress { silent, reported };
  using Body = std::function<void(std::int64_t item, int worker)>;
  void run(std::int64_t items, Progress progress, const Body& body) {
    run_part(items, 0, progress == Progress::reported ? items : 0, body);
  }

  // The same for a part of a phase. The phase has `total` items; earlier parts have done `before` of them.
  void run_part(std::int64_t items, std::int64_t before, std::int64_t total, const Body& body);

  // Inside a body, at least every few tens of milliseconds: lets worker 0 poll, and ends the body by an exception once
  // another worker has failed; run() then rethrows the exception of that worker.
  void checkpoint(int worker);

 private:
  struct Stopped {};

  template <class Condition>
  void wait_until(const Condition& condition);
  void start(int workers);
  void wait_for_phases(int worker, std::int64_t seen);
  void work(int worker);

  const int threads_;
  const Poll& poll_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::int64_t> done_{0};
  std::int64_t items_ = 0;
  std::int64_t before_ = 0;
  std::int64_t total_ = 0;
  const Body* body_ = nullptr;
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  std::chrono::steady_clock::time_point polled_ = std::chrono::steady_clock::now();

  std::vector<std::thread> others_;
  std::mutex mutex_;  // held where one of the two below changes
  std::condition_variable changed_;
  std::atomic<std::int64_t> phase_{0};  // counts up; -1 when the threads are to end
  std::atomic<std::size_t> working_{0};
};

}  // namespace fastcka::cpu
