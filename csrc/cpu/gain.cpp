#include "gain.hpp"

#include <algorithm>
#include <chrono>

#include "loops/implementation.hpp"
#include "threads/memory.hpp"

namespace fastcka::cpu {
namespace {

// Products of one micro-tile, again and again.
class Repeated {
 public:
  explicit Repeated(const Kernels<float>& kernels) : kernels_(kernels) {
    const std::int64_t panel = steps * kernels.lanes * kernels.cell_bytes;
    const std::int64_t sums = kernels.rows * kernels.most_panels * kernels.lanes;
    operands_ = allocate<std::byte>(panel * (1 + kernels.most_panels));
    std::fill_n(operands_.get(), panel * (1 + kernels.most_panels), std::byte{0});
    sums_ = allocate<float>(sums);
    for (std::int64_t p = 0; p < kernels.most_panels; ++p) columns_[p] = operands_.get() + (1 + p) * panel;
    calls_ = std::max<std::int64_t>(1, least_multiply_adds / (sums * kernels.values * steps));
    multiply_adds_ = static_cast<double>(calls_ * sums * kernels.values * steps);
  }

  // Multiply-adds a second of one run.
  double run() {
    const Entered<float> entered(kernels_);
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t call = 0; call < calls_; ++call) {
      kernels_.multiply(steps, operands_.get(), columns_, kernels_.most_panels, sums_.get(), false, operands_.get());
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    return multiply_adds_ / std::max(seconds.count(), 1e-9);
  }

 private:
  static constexpr std::int64_t steps = 64;
  static constexpr std::int64_t least_multiply_adds = 1'000'000;  // some 20 microseconds

  const Kernels<float>& kernels_;
  Block<std::byte> operands_;
  Block<float> sums_;
  const void* columns_[max_panels] = {};
  std::int64_t calls_;
  double multiply_adds_;
};

}  // namespace

double gain_of_fast(const std::string& implementation) {
  const Implementation& table = find_implementation(implementation);
  if (table.fast.name == nullptr) return 0;
  Repeated fast(table.fast);
  Repeated high(table.float32);
  // By turns, so that both meet the same clock rate; the best of each, because another process only slows one down.
  constexpr int turns = 20;
  double best_of_fast = 0;
  double best_of_high = 0;
  for (int turn = 0; turn < turns; ++turn) {
    best_of_fast = std::max(best_of_fast, fast.run());
    best_of_high = std::max(best_of_high, high.run());
  }
  return best_of_fast / best_of_high;
}

}  // namespace fastcka::cpu
