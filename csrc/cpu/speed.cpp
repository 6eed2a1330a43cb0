#include "speed.hpp"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <vector>

#include "gain.hpp"
#include "gram.hpp"
#include "loops/implementation.hpp"
#include "threads/memory.hpp"
#include "threads/pool.hpp"

namespace fastcka::cpu {
namespace {

// Takes memory out of the caches, where the processor has an instruction for it.
void forget(const void* memory, std::int64_t bytes) {
#ifdef __SSE2__
  const char* line = static_cast<const char*>(memory);
  for (const char* end = line + bytes; line < end; line += 64) _mm_clflush(line);
  _mm_mfence();
#else
  static_cast<void>(memory), static_cast<void>(bytes);
#endif
}

using Work = std::function<void(int worker)>;

// Seconds of one run of `work` by all threads at once. Other processes can only make a run slower. So each thread
// repeats a short run many times, and its fastest run counts; the first run only warms the caches. The rates of the
// threads are added, because their fastest runs need not coincide. `before` precedes each run and is not counted.
double seconds(Pool& pool, const Work& work, const Work& before = [](int) {}) {
  constexpr auto enough = std::chrono::microseconds(600);
  constexpr int fewest = 4;
  constexpr int most = 24;
  std::vector<double> fastest(to_size(pool.threads()));
  pool.run(pool.threads(), Pool::Progress::silent, [&](std::int64_t item, int worker) {
    work(worker);
    double best = std::numeric_limits<double>::infinity();
    std::chrono::steady_clock::duration total{};
    for (int run = 0; run < fewest || (run < most && total < enough); ++run) {
      before(worker);
      const auto start = std::chrono::steady_clock::now();
      work(worker);
      const auto took = std::chrono::steady_clock::now() - start;
      best = std::min(best, std::chrono::duration<double>(took).count());
      total += took;
    }
    fastest[to_size(item)] = best;
  });
  double rate = 0;
  for (const double best : fastest) rate += 1 / std::max(best, 1e-9);
  return static_cast<double>(pool.threads()) / rate;
}

template <class T>
Speed measure(const Implementation& implementation, const Kernels<T>& kernels, int threads) {
  const Poll poll = [](std::int64_t, std::int64_t) {};
  Pool pool(threads, poll);
  const auto all = static_cast<double>(threads);
  Speed speed{};

  // A micro-tile's rows by all panels of columns, of one representation after the other, as route G meets them.
  constexpr std::int64_t steps = gram_product_steps;
  constexpr std::int64_t representations = 12;
  constexpr std::int64_t length = 1536;
  constexpr std::int64_t m = 24;
  const std::int64_t panel = (steps + 1) * kernels.operand_bytes();
  const std::int64_t row_panels = ceil_div(kernels.rows, kernels.lanes);
  const std::int64_t calls_per_operands = std::max<std::int64_t>(kernels.lanes / kernels.rows, 1);
  const std::int64_t operands_bytes = representations * panel * (row_panels + kernels.most_panels);
  const std::int64_t sums = kernels.rows * kernels.most_panels * kernels.lanes;
  const std::int64_t round = representations * calls_per_operands;
  const std::int64_t outputs_count = std::max(round * sums, m * length);
  std::vector<Block<std::byte>> operands;
  std::vector<Block<T>> outputs;
  std::vector<std::vector<double>> totals(to_size(threads), std::vector<double>(m * m));
  for (int thread = 0; thread < threads; ++thread) {
    operands.push_back(allocate<std::byte>(operands_bytes));
    std::fill_n(operands.back().get(), operands_bytes, std::byte{0});
    outputs.push_back(allocate<T>(outputs_count));
    std::fill_n(outputs.back().get(), outputs_count, T{0});
  }
  const auto multiply = [&](std::int64_t depth, std::int64_t rounds) {
    const double took = seconds(pool, [&](int worker) {
      const Entered<T> entered(kernels);
      for (std::int64_t call = 0; call < rounds * round; ++call) {
        const std::int64_t representation = call / calls_per_operands % representations;
        std::byte* left = operands[to_size(worker)].get() + representation * panel * (row_panels + kernels.most_panels);
        const void* rows[max_row_panels];
        const void* columns[max_panels];
        for (std::int64_t p = 0; p < row_panels; ++p) rows[p] = left + p * panel;
        for (std::int64_t p = 0; p < kernels.most_panels; ++p) columns[p] = left + (row_panels + p) * panel;
        if (kernels.arrange_rows != nullptr && call % products_per_arrangement == 0) {
          kernels.arrange_rows(depth, columns[0], left);
          kernels.arrange_columns(depth, rows[0], left + row_panels * panel);
        }
        T* out = outputs[to_size(worker)].get() + call % round * sums;
        kernels.multiply(depth, rows, kernels.rows, columns, kernels.most_panels, out, false, left);
      }
    });
    return took / static_cast<double>(rounds * round);
  };
  const auto work = static_cast<double>(sums * kernels.values);
  const auto rounds = static_cast<std::int64_t>(std::max(1.0, 1e6 / (work * steps * static_cast<double>(round))));
  const double deep = multiply(steps, rounds);
  const std::int64_t few = kernels.arrange_rows == nullptr ? steps / 8 : arranged_steps;
  const double flat = multiply(few, 4 * rounds);
  // Where other processes ran in all of the runs, `flat` may not be the smaller one.
  const double step = std::max(deep - flat, deep / 2) / static_cast<double>(steps - few);
  speed.steps = all / step;
  speed.call = std::max(0.0, deep - step * steps);

  const double rank = seconds(pool, [&](int worker) {
    const auto index = to_size(worker);
    kernels.rank_update(m, length, outputs[index].get(), length, totals[index].data());
  });
  speed.rank = all * static_cast<double>(m * m * length) / 2 / rank;

  // Rows of micro-tiles, whose examples' numbers are in the caches.
  const std::int64_t width = kernels.most_panels * kernels.lanes;
  const std::vector<double> terms(to_size(width));
  speed.entries = all * static_cast<double>(outputs_count) / seconds(pool, [&](int worker) {
                    const ExampleTerms columns{terms.data(), terms.data(), terms.data(), terms.data()};
                    double* sums_of_entries = totals[to_size(worker)].data();
                    for (std::int64_t begin = 0; begin < outputs_count; begin += width) {
                      kernels.row_moments(outputs[to_size(worker)].get() + begin,
                                          std::min(width, outputs_count - begin), columns, {}, sums_of_entries);
                    }
                  });

  // A representation of 4 MiB for all threads together, more than the caches of few cores hold.
  constexpr std::int64_t d = 512;
  const std::int64_t n = std::max<std::int64_t>((std::int64_t{1} << 20) / d / threads / 96, 1) * 96;
  const std::vector<float> data(to_size(n * d * threads), 1.0F);
  const auto view_of = [&](int worker) {
    return View{data.data() + n * d * worker, n, d, d * 4, 4, DType::float32, false};
  };
  const std::vector<double> mean(d);
  const auto values = all * static_cast<double>(n * d);
  // The statistics read the data first, mostly from memory; centring then finds a part of them in the caches.
  const Work statistics = [&](int worker) {
    std::vector<double> sum(d);
    std::vector<double> min(d);
    std::vector<double> max(d);
    implementation.column_statistics(view_of(worker), {0, n}, {0, d}, {sum.data(), min.data(), max.data()});
  };
  speed.statistics = values / seconds(pool, statistics, [&](int worker) { forget(view_of(worker).data, n * d * 4); });
  // To memory that is there already: a pass mostly has the pages of the one before.
  const std::int64_t chunk = kernels.lanes * kernels.steps(d) * kernels.cell_bytes;
  const std::int64_t chunks = n / kernels.lanes;
  std::vector<Block<std::byte>> copies;
  for (int thread = 0; thread < threads; ++thread) copies.push_back(allocate<std::byte>(chunks * chunk));
  speed.center = values / seconds(pool, [&](int worker) {
                   std::byte* const copy = copies[to_size(worker)].get();
                   std::vector<T> rows(to_size(kernels.lanes * d));
                   std::vector<double> k(to_size(n));
                   std::vector<double> powers(4 * d);
                   for (std::int64_t index = 0; index < chunks; ++index) {
                     const std::int64_t begin = index * kernels.lanes;
                     kernels.center(view_of(worker), {begin, begin + kernels.lanes}, {0, d}, mean.data(), 1.0,
                                    rows.data(), d, &k[to_size(begin)]);
                     kernels.example_panel(rows.data(), kernels.lanes, d, copy + index * chunk);
                     kernels.column_powers(rows.data(), kernels.lanes, d, powers.data(), d);
                   }
                 });
  return speed;
}

}  // namespace

Speed measure_speed(const std::string& implementation, const std::string& products, int threads) {
  const Implementation& table = find_implementation(implementation);
  return products == table.float64.name ? measure(table, table.float64, threads)
                                        : measure(table, table.single(products), threads);
}

}  // namespace fastcka::cpu
