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
    const std::int64_t panel = steps * kernels.operand_bytes();
    const std::int64_t row_panels = ceil_div(kernels.rows, kernels.lanes);
    const std::int64_t sums = kernels.rows * kernels.most_panels * kernels.lanes;
    const std::int64_t operands = panel * (row_panels + kernels.most_panels);
    operands_ = allocate<std::byte>(operands);
    std::fill_n(operands_.get(), operands, std::byte{0});
    sums_ = allocate<float>(sums);
    for (std::int64_t p = 0; p < row_panels; ++p) rows_[p] = operands_.get() + p * panel;
    for (std::int64_t p = 0; p < kernels.most_panels; ++p) columns_[p] = operands_.get() + (row_panels + p) * panel;
    const std::int64_t stored = steps * kernels.lanes * kernels.cell_bytes;
    panel_ = allocate<std::byte>(stored);
    std::fill_n(panel_.get(), stored, std::byte{0});
    calls_ = std::max<std::int64_t>(1, least_multiply_adds / (sums * kernels.values * steps));
    multiply_adds_ = static_cast<double>(calls_ * sums * kernels.values * steps);
  }

  // Multiply-adds a second of one run.
  double run() {
    const Entered<float> entered(kernels_);
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t call = 0; call < calls_; ++call) {
      if (kernels_.arrange_rows != nullptr && call % products_per_arrangement == 0) {
        kernels_.arrange_rows(steps, panel_.get(), operands_.get());
        kernels_.arrange_columns(steps, panel_.get(), const_cast<void*>(columns_[0]));
      }
      kernels_.multiply(steps, rows_, kernels_.rows, columns_, kernels_.most_panels, sums_.get(), false,
                        operands_.get());
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
  Block<std::byte> panel_;  // before it is arranged
  const void* rows_[max_row_panels] = {};
  const void* columns_[max_panels] = {};
  std::int64_t calls_;
  double multiply_adds_;
};

}  // namespace

double gain_of(const std::string& implementation, const std::string& products) {
  const Implementation& table = find_implementation(implementation);
  const auto named = [&](const Kernels<float>& kernels) { return kernels.name != nullptr && products == kernels.name; };
  if (!named(table.split) && !named(table.fast)) return 0;
  Repeated other(table.single(products));
  Repeated float32(table.float32);
  // By turns, so that both meet the same clock rate; the best of each, because another process only slows one down.
  constexpr int turns = 20;
  double best_of_other = 0;
  double best_of_float32 = 0;
  for (int turn = 0; turn < turns; ++turn) {
    best_of_other = std::max(best_of_other, other.run());
    best_of_float32 = std::max(best_of_float32, float32.run());
  }
  return best_of_other / best_of_float32;
}

}  // namespace fastcka::cpu
