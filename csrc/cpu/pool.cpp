#include "pool.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace fastcka::cpu {
namespace {

constexpr auto poll_interval = std::chrono::milliseconds(100);

}  // namespace

void Pool::run(std::int64_t items, Progress progress, const std::function<void(std::int64_t, int)>& body) {
  next_ = 0;
  done_ = 0;
  total_ = progress == Progress::reported ? items : 0;
  const auto workers = static_cast<int>(std::min<std::int64_t>(threads_, items));
  std::vector<std::thread> others;
  others.reserve(static_cast<std::size_t>(workers));
  try {
    for (int worker = 1; worker < workers; ++worker) {
      others.emplace_back([this, worker, items, &body] { work(worker, items, body); });
    }
  } catch (const std::system_error& error) {  // stop those that run, then say so
    if (!failed_.exchange(true)) {
      error_ = std::make_exception_ptr(std::runtime_error("could not start " + std::to_string(threads_) + " threads (" +
                                                          error.what() + "); ask for fewer"));
    }
  } catch (...) {  // no memory for a thread: those that run must be joined all the same
    if (!failed_.exchange(true)) error_ = std::current_exception();
  }
  work(0, items, body);
  for (std::thread& other : others) other.join();
  if (error_) std::rethrow_exception(error_);
  if (total_ > 0) poll_(total_, total_);
}

void Pool::work(int worker, std::int64_t items, const std::function<void(std::int64_t, int)>& body) {
  try {
    for (std::int64_t item; (item = next_.fetch_add(1)) < items;) {
      checkpoint(worker);
      body(item, worker);
      done_.fetch_add(1);
    }
  } catch (const Stopped&) {
  } catch (...) {
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
