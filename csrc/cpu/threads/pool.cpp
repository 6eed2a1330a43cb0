#include "pool.hpp"

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

#include <algorithm>
#include <stdexcept>
#include <string>
#include <system_error>

namespace fastcka::cpu {
namespace {

constexpr auto poll_interval = std::chrono::milliseconds(100);

// The phases of a small group follow each other sooner than the system wakes a thread.
constexpr auto spin = std::chrono::microseconds(100);

// Leaves a core to its other thread.
inline void rest_a_moment() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#ifdef __linux__

// A new thread waits behind its maker, which works on, until the system balances its processors: some milliseconds on
// a small virtual machine (2.8 ms in the median on one of two processors; 0.2 ms with this).
class Processors {
 public:
  Processors() : known_(sched_getaffinity(0, sizeof all_, &all_) == 0 && CPU_COUNT(&all_) > 1) {}

  // Moves a new thread to any processor but this one, ...
  void move_away(std::thread& thread) const {
    const int here = sched_getcpu();
    if (!known_ || here < 0 || here >= CPU_SETSIZE) return;
    cpu_set_t others = all_;
    CPU_CLR(here, &others);
    if (CPU_COUNT(&others) > 0) pthread_setaffinity_np(thread.native_handle(), sizeof others, &others);
  }
  // ... where it is free to go on to any.
  void allow_all() const {
    if (known_) sched_setaffinity(0, sizeof all_, &all_);
  }

 private:
  cpu_set_t all_;
  bool known_;
};

#else

// Elsewhere the system alone decides where a thread runs.
class Processors {
 public:
  void move_away(std::thread&) const {}
  void allow_all() const {}
};

#endif

}  // namespace

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    phase_ = -1;
  }
  changed_.notify_all();
  for (std::thread& other : others_) other.join();
}

void Pool::run_part(std::int64_t items, std::int64_t before, std::int64_t total, const Body& body) {
  start(static_cast<int>(std::min<std::int64_t>(threads_, items)));
  next_ = 0;
  done_ = 0;
  items_ = items;
  before_ = before;
  total_ = total;
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
    wait_until([this] { return working_ == 0; });
  }
  if (error_) std::rethrow_exception(error_);
  if (total_ > 0) poll_(before_ + items_, total_);
}

void Pool::start(int workers) {
  if (workers <= static_cast<int>(others_.size()) + 1) return;
  others_.reserve(to_size(threads_));
  const Processors processors;
  try {
    for (int worker = static_cast<int>(others_.size()) + 1; worker < workers; ++worker) {
      others_.emplace_back([this, worker, processors, seen = phase_.load()] {
        wait_until([&] { return phase_ != seen; });  // the maker has moved this thread by then
        processors.allow_all();
        wait_for_phases(worker, seen);
      });
      processors.move_away(others_.back());
    }
  } catch (const std::system_error& error) {
    throw std::runtime_error("could not start " + std::to_string(threads_) + " threads (" + error.what() +
                             "); ask for fewer");
  }
}

template <class Condition>
void Pool::wait_until(const Condition& condition) {
  const auto start = std::chrono::steady_clock::now();
  while (!condition()) {
    for (int turn = 0; turn < 32; ++turn) rest_a_moment();
    if (std::chrono::steady_clock::now() - start < spin) continue;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, condition);
  }
}

void Pool::wait_for_phases(int worker, std::int64_t seen) {
  while (true) {
    wait_until([&] { return phase_ != seen; });
    seen = phase_;
    if (seen < 0) return;
    work(worker);
    const std::lock_guard lock(mutex_);
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
  poll_(total_ > 0 ? before_ + done_.load() : done_.load(), total_);
}

}  // namespace fastcka::cpu
