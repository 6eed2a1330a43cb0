#include "pool.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <system_error>

namespace fastcka::cpu {
namespace {

constexpr auto poll_interval = std::chrono::milliseconds(100);

}  // namespace

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    phase_ = -1;
  }
  changed_.notify_all();
  for (std::thread& other : others_) other.join();
}

void Pool::run(std::int64_t items, Progress progress, const Body& body) {
  start(static_cast<int>(std::min<std::int64_t>(threads_, items)));
  next_ = 0;
  done_ = 0;
  items_ = items;
  total_ = progress == Progress::reported ? items : 0;
  body_ = &body;
  if (!others_.empty()) {
    {
      const std::lock_guard lock(mutex_);
      ++phase_;
      working_ = others_.size();
    }
    changed_.notify_all();
  }
  work(0);
  if (!others_.empty()) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return working_ == 0; });
  }
  if (error_) std::rethrow_exception(error_);
  if (total_ > 0) poll_(total_, total_);
}

void Pool::start(int workers) {
  others_.reserve(static_cast<std::size_t>(threads_));
  try {
    for (int worker = static_cast<int>(others_.size()) + 1; worker < workers; ++worker) {
      others_.emplace_back([this, worker, seen = phase_] { wait_for_phases(worker, seen); });
    }
  } catch (const std::system_error& error) {
    throw std::runtime_error("could not start " + std::to_string(threads_) + " threads (" + error.what() +
                             "); ask for fewer");
  }
}

void Pool::wait_for_phases(int worker, std::int64_t seen) {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return phase_ != seen; });
    if (phase_ < 0) return;
    seen = phase_;
    lock.unlock();
    work(worker);
    lock.lock();
    if (--working_ == 0) changed_.notify_all();
  }
}

void Pool::work(int worker) {
  try {
    for (std::int64_t item; (item = next_.fetch_add(1)) < items_;) {
      checkpoint(worker);
      (*body_)(item, worker);
      done_.fetch_add(1);
    }
  } catch (...) {
    // Of several the first one counts: Stopped only ever follows another, unless it is that of a pool further out.
    if (!failed_.exchange(true)) error_ = std::current_exception();
  }
}

void Pool::checkpoint(int worker) {
  if (failed_.load(std::memory_order_relaxed)) throw Stopped{};
  if (worker != 0) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - polled_ < poll_interval) return;
  polled_ = now;
  poll_(done_.load(), total_);
}

}  // namespace fastcka::cpu
