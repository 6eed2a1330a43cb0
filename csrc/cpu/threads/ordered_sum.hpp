// Float64 partial sums, computed by any thread in any order, added in the order of their tiles: the result has the
// same bits for any number of threads. In addition to the one in work, at most two partial sums
// per thread wait for their turn.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "../twofold.hpp"
#include "pool.hpp"

namespace fastcka::cpu {

// The block rows [i0, i1) x columns [j0, j1) of an (m, m) sum.
struct Partial {
  std::int64_t i0 = 0, i1 = 0, j0 = 0, j1 = 0;
  std::vector<double> values;
  std::vector<double> rest;    // what rounding took from the values; empty where that is not kept
  std::vector<double> blocks;  // parts of the sum, for subsets of the examples; empty where there are none

  void reset(std::int64_t rows_begin, std::int64_t rows_end, std::int64_t columns_begin, std::int64_t columns_end) {
    i0 = rows_begin, i1 = rows_end, j0 = columns_begin, j1 = columns_end;
    values.assign(to_size((i1 - i0) * (j1 - j0)), 0.0);
    rest.clear();
    blocks.clear();
  }
  // Adds a sum and what rounding took from it.
  void add(std::int64_t i, std::int64_t j, const Twofold& sum) {
    const auto entry = to_size((i - i0) * (j1 - j0) + j - j0);
    if (rest.empty()) rest.assign(values.size(), 0.0);
    Twofold total{values[entry], rest[entry]};
    total.add(sum);
    values[entry] = total.value;
    rest[entry] = total.rest;
  }
};

inline constexpr int waiting_per_thread = 2;
inline constexpr std::int64_t partial_sums_per_thread = 1 + waiting_per_thread;

class OrderedSum {
 public:
  // `take_blocks` is called for each tile in their order, one at a time.
  using TakeBlocks = std::function<void(std::int64_t tile, const Partial& partial)>;

  OrderedSum(std::int64_t m, Pool& pool, TakeBlocks take_blocks = nullptr)
      : m_(m),
        pool_(pool),
        take_blocks_(std::move(take_blocks)),
        total_(to_size(m * m)),
        limit_(waiting_per_thread * pool.threads()) {}

  // To be called before tile `tile` is computed. Waits while too many later tiles are finished before their turn;
  // the tile whose turn it is never waits, so that the sum always moves on.
  Partial acquire(std::int64_t tile, int worker) {
    std::unique_lock lock(mutex_);
    while (tile != next_ && static_cast<int>(waiting_.size()) >= limit_) {
      moved_.wait_for(lock, std::chrono::milliseconds(20));
      lock.unlock();
      pool_.checkpoint(worker);
      lock.lock();
    }
    if (spare_.empty()) return {};
    Partial partial = std::move(spare_.back());
    spare_.pop_back();
    return partial;
  }

  void commit(std::int64_t tile, Partial partial) {
    const std::lock_guard lock(mutex_);
    waiting_.emplace(tile, std::move(partial));
    for (auto it = waiting_.begin(); it != waiting_.end() && it->first == next_; ++next_) {
      add(it->second);
      if (take_blocks_ && !it->second.blocks.empty()) take_blocks_(next_, it->second);
      spare_.push_back(std::move(it->second));
      it = waiting_.erase(it);
    }
    moved_.notify_all();
  }

  // The sum of the upper triangle, mirrored.
  std::vector<double> symmetric() const {
    std::vector<double> all(total_.size());
    for (std::int64_t i = 0; i < m_; ++i) {
      for (std::int64_t j = i; j < m_; ++j) {
        const Twofold& sum = total_[to_size(i * m_ + j)];
        all[to_size(i * m_ + j)] = all[to_size(j * m_ + i)] = sum.value + sum.rest;
      }
    }
    return all;
  }

 private:
  void add(const Partial& partial) {
    const bool with_rest = !partial.rest.empty();
    std::size_t entry = 0;
    for (std::int64_t i = partial.i0; i < partial.i1; ++i) {
      for (std::int64_t j = partial.j0; j < partial.j1; ++j, ++entry) {
        total_[to_size(i * m_ + j)].add({partial.values[entry], with_rest ? partial.rest[entry] : 0.0});
      }
    }
  }

  const std::int64_t m_;
  Pool& pool_;
  const TakeBlocks take_blocks_;
  std::vector<Twofold> total_;
  const int limit_;
  std::mutex mutex_;
  std::condition_variable moved_;
  std::int64_t next_ = 0;
  std::map<std::int64_t, Partial> waiting_;
  std::vector<Partial> spare_;
};

}  // namespace fastcka::cpu
