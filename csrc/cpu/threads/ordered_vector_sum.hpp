// As ordered_sum.hpp, for long vectors: partial sums, computed by any thread in any order, added in the order of their
// tiles. The result has the same bits for any number of threads.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "ordered_sum.hpp"
#include "pool.hpp"

namespace fastcka::cpu {

class OrderedVectorSum {
 public:
  OrderedVectorSum(std::int64_t count, Pool& pool)
      : pool_(pool), total_(to_size(count)), limit_(to_size(waiting_per_thread * pool.threads())) {}

  // A vector of zeros for a tile. Waits while too many later tiles are finished before their turn.
  std::vector<double> acquire(std::int64_t tile, int worker) {
    std::unique_lock lock(mutex_);
    while (tile != next_ && waiting_.size() >= limit_) {
      moved_.wait_for(lock, std::chrono::milliseconds(20));
      lock.unlock();
      pool_.checkpoint(worker);
      lock.lock();
    }
    std::vector<double> part;
    if (!spare_.empty()) {
      part = std::move(spare_.back());
      spare_.pop_back();
    }
    lock.unlock();
    part.assign(total_.size(), 0.0);
    return part;
  }

  void commit(std::int64_t tile, std::vector<double> part) {
    const std::lock_guard lock(mutex_);
    waiting_.emplace(tile, std::move(part));
    for (auto it = waiting_.begin(); it != waiting_.end() && it->first == next_; ++next_) {
      for (std::size_t entry = 0; entry < total_.size(); ++entry) total_[entry] += it->second[entry];
      spare_.push_back(std::move(it->second));
      it = waiting_.erase(it);
    }
    moved_.notify_all();
  }

  std::vector<double> take() { return std::move(total_); }

 private:
  Pool& pool_;
  std::vector<double> total_;
  const std::size_t limit_;
  std::mutex mutex_;
  std::condition_variable moved_;
  std::int64_t next_ = 0;
  std::map<std::int64_t, std::vector<double>> waiting_;
  std::vector<std::vector<double>> spare_;
};

}  // namespace fastcka::cpu
