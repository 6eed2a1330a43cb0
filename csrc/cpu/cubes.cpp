#include "cubes.hpp"

#include <algorithm>
#include <vector>

#include "features.hpp"

namespace fastcka::cpu {
namespace {

// Examples between float64 sums.
constexpr std::int64_t examples_a_sum = 256;
// Bytes of the sums of one piece of work, unless those of a single feature b take more: they stay in the L2 cache.
constexpr std::int64_t piece_bytes = std::int64_t{256} << 10;
// Where the features make few pieces, the examples are cut too. Fixed by the problem, so that the bits are.
constexpr std::int64_t fewest_pieces = 16;
constexpr std::int64_t fewest_sums = 16;

// The entries (a, b, c) that are computed, of a feature b: a <= b in whole groups of rows, c >= b in whole panels.
struct Layout {
  std::int64_t d, lanes, rows, most_panels;

  std::int64_t row_count(std::int64_t b) const { return round_up(b + 1, rows); }
  std::int64_t panels() const { return ceil_div(d, lanes); }
  std::int64_t size(std::int64_t b) const { return row_count(b) * (panels() - b / lanes) * lanes; }

  // f(first panel of columns, panels) for the parts of a row of b, of about the same size.
  template <class F>
  void for_each_part(std::int64_t b, const F& f) const {
    const std::int64_t first = b / lanes;
    const std::int64_t count = panels() - first;
    const std::int64_t parts = ceil_div(count, most_panels);
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t begin = part * count / parts;
      f(first + begin, (part + 1) * count / parts - begin);
    }
  }

  // Ranges of b.
  std::vector<Range> pieces() const {
    std::vector<Range> pieces;
    for (std::int64_t b = 0; b < d;) {
      const std::int64_t begin = b;
      std::int64_t total = 0;
      do {
        total += size(b++) * static_cast<std::int64_t>(sizeof(double));
      } while (b < d && total + size(b) * static_cast<std::int64_t>(sizeof(double)) <= piece_bytes);
      pieces.push_back({begin, b});
    }
    return pieces;
  }

  std::int64_t size(const Range& piece) const {
    std::int64_t total = 0;
    for (std::int64_t b = piece.begin; b < piece.end; ++b) total += size(b);
    return total;
  }

  double sum_of_squares(const Range& piece, const double* sums) const {
    double total = 0;
    for (std::int64_t b = piece.begin; b < piece.end; ++b) {
      for (std::int64_t row = 0; row < row_count(b); row += rows) {
        for_each_part(b, [&](std::int64_t panel, std::int64_t count) {
          const std::int64_t width = count * lanes;
          for (std::int64_t a = row; a < row + rows; ++a, sums += width) {
            const std::int64_t end = a <= b ? std::min(width, d - panel * lanes) : 0;
            for (std::int64_t column = std::max<std::int64_t>(b - panel * lanes, 0); column < end; ++column) {
              const bool last_two_equal = panel * lanes + column == b;
              const double times = a < b ? (last_two_equal ? 3 : 6) : (last_two_equal ? 1 : 3);
              total += times * sums[column] * sums[column];
            }
          }
        });
      }
    }
    return total;
  }
};

std::int64_t splits_of(std::int64_t n, std::int64_t pieces) {
  const std::int64_t most = ceil_div(n, examples_a_sum * fewest_sums);
  return std::clamp<std::int64_t>(ceil_div(fewest_pieces, pieces), 1, most);
}

}  // namespace

MomentBytes cube_bytes(std::int64_t n, std::int64_t d) {
  const Layout layout{d, 16, 8, max_panels};  // of float32; float64 takes no more
  constexpr auto bytes = static_cast<std::int64_t>(sizeof(double));
  const std::vector<Range> pieces = layout.pieces();
  std::int64_t largest = 0;
  for (const Range& piece : pieces) largest = std::max(largest, layout.size(piece));
  const std::int64_t splits = splits_of(n, static_cast<std::int64_t>(pieces.size()));
  return {splits > 1 ? splits * layout.size({0, d}) * bytes : 0, largest * bytes + examples_a_sum * 64};
}

template <class T>
double sum_of_cubes(const Panels& features, const Kernels<T>& kernels, Pool& pool) {
  const std::int64_t n = features.depth;
  const Layout layout{features.vectors, kernels.lanes, kernels.rows, kernels.most_panels};
  const std::vector<Range> pieces = layout.pieces();
  const auto count = static_cast<std::int64_t>(pieces.size());
  const std::int64_t splits = splits_of(n, count);
  const std::int64_t total_sums = ceil_div(n, examples_a_sum);
  const std::int64_t lanes = kernels.lanes;
  const auto panel = [&](std::int64_t index, std::int64_t example) {
    return reinterpret_cast<const T*>(features.data.get() + index * Panels::panel_bytes(n, kernels)) + example * lanes;
  };
  std::vector<Block<double>> kept(to_size(splits > 1 ? count * splits : 0));
  std::vector<double> squares(to_size(count));
  pool.run(count * splits, Pool::Progress::silent, [&](std::int64_t item, int worker) {
    const Range& piece = pieces[to_size(item / splits)];
    const std::int64_t split = item % splits;
    const std::int64_t size = layout.size(piece);
    Block<double> sums = allocate<double>(size);
    std::fill_n(sums.get(), size, 0.0);
    const Block<T> left = allocate<T>(examples_a_sum * lanes);
    const Block<T> product = allocate<T>(kernels.rows * kernels.most_panels * lanes);
    for (std::int64_t index = split * total_sums / splits; index < (split + 1) * total_sums / splits; ++index) {
      pool.checkpoint(worker);
      const std::int64_t begin = index * examples_a_sum;
      const std::int64_t steps = std::min(examples_a_sum, n - begin);
      double* out = sums.get();
      for (std::int64_t b = piece.begin; b < piece.end; ++b) {
        for (std::int64_t row = 0; row < layout.row_count(b); row += kernels.rows) {
          if (row % lanes == 0) {
            kernels.weigh(steps, panel(row / lanes, begin), panel(b / lanes, begin) + b % lanes, left.get());
          }
          layout.for_each_part(b, [&](std::int64_t first, std::int64_t panels) {
            const void* columns[max_panels];
            for (std::int64_t step = 0; step < steps; step += feature_product_steps) {
              const void* rows = left.get() + step * lanes + row % lanes;
              for (std::int64_t p = 0; p < panels; ++p) columns[p] = panel(first + p, begin + step);
              kernels.multiply(std::min(feature_product_steps, steps - step), &rows, kernels.rows, columns, panels,
                               product.get(), step > 0, rows);
            }
            const std::int64_t entries = kernels.rows * panels * lanes;
            kernels.add(entries, product.get(), out);
            out += entries;
          });
        }
      }
    }
    if (splits == 1) {
      squares[to_size(item)] = layout.sum_of_squares(piece, sums.get());
    } else {
      kept[to_size(item)] = std::move(sums);
    }
  });
  double total = 0;
  for (std::int64_t index = 0; index < count; ++index) {
    const Range& piece = pieces[to_size(index)];
    if (splits > 1) {
      double* sums = kept[to_size(index * splits)].get();
      const std::int64_t size = layout.size(piece);
      for (std::int64_t split = 1; split < splits; ++split) {
        const double* part = kept[to_size(index * splits + split)].get();
        for (std::int64_t entry = 0; entry < size; ++entry) sums[entry] += part[entry];
      }
      squares[to_size(index)] = layout.sum_of_squares(piece, sums);
    }
    total += squares[to_size(index)];
  }
  return total;
}

template double sum_of_cubes(const Panels&, const Kernels<float>&, Pool&);
template double sum_of_cubes(const Panels&, const Kernels<double>&, Pool&);

}  // namespace fastcka::cpu
