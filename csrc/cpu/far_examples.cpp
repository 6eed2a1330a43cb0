#include "far_examples.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "../far_rule.hpp"
#include "fold_pairs.hpp"
#include "median_of_nine.hpp"
#include "threads/memory.hpp"
#include "threads/ordered_sum.hpp"
#include "unpack.hpp"

namespace fastcka::cpu {
namespace {

double lower_median(std::vector<double> values) {
  const auto middle = values.begin() + (static_cast<std::ptrdiff_t>(values.size()) - 1) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// A centre that few examples cannot move, and how far from it examples usually are.
struct Robust {
  std::vector<double> center;  // (d): the medians of a sample
  double typical;              // the median of the sample's squared distances, times scale^2
};

// The lower medians of the columns of a sample (count, d). The compiler makes vectors of the inner loop.
std::vector<double> medians(const std::vector<double>& sample, int count, std::int64_t d) {
  static_assert(SampleRows::most == 9);
  std::vector<double> center(to_size(d));
  // Of a smaller sample, absent rows: as many below the median as above it, so that it is the median of nine.
  const std::vector<double> below(to_size(d), -std::numeric_limits<double>::infinity());
  const std::vector<double> above(to_size(d), std::numeric_limits<double>::infinity());
  const int absent_below = SampleRows::most / 2 - (count - 1) / 2;
  const double* row[SampleRows::most];
  for (int i = 0; i < SampleRows::most; ++i) {
    const int present = i - absent_below;
    row[i] = present < 0 ? below.data() : present < count ? &sample[to_size(present * d)] : above.data();
  }
  double* const out = center.data();
  for (std::int64_t j = 0; j < d; ++j) {
    out[j] = median_of_nine(row[0][j], row[1][j], row[2][j], row[3][j], row[4][j], row[5][j], row[6][j], row[7][j],
                            row[8][j]);
  }
  return center;
}

Robust robust_center(const View& view, const Implementation& implementation, double scale) {
  const std::int64_t d = view.d;
  const SampleRows rows(view.n);
  std::vector<double> sample(to_size(rows.count * d));
  std::vector<double> unused(to_size(d));
  for (int i = 0; i < rows.count; ++i) {  // the sums of one row are its values
    implementation.column_statistics(view, {rows.row[i], rows.row[i] + 1}, {0, d},
                                     {&sample[to_size(i * d)], unused.data(), unused.data()});
  }
  Robust robust{medians(sample, rows.count, d), 0};
  std::vector<double> distances(to_size(rows.count));
  for (std::int64_t j = 0; j < d; ++j) {
    for (int i = 0; i < rows.count; ++i) {
      const double difference = (sample[to_size(i * d + j)] - robust.center[to_size(j)]) * scale;
      distances[to_size(i)] += difference * difference;
    }
  }
  robust.typical = lower_median(std::move(distances));
  return robust;
}

// Whether the extremes of the columns leave room for a far example.
bool may_have_far(const Columns& columns, const Robust& robust, double scale) {
  double most = 0;
  for (std::size_t j = 0; j < robust.center.size(); ++j) {
    const double reach = std::max(columns.high[j] - robust.center[j], robust.center[j] - columns.low[j]) * scale;
    most += reach * reach;
  }
  return most > far_from * robust.typical;
}

// Squared distances of all examples from a centre, times scale^2.
std::vector<double> distances_from(const View& view, const std::vector<double>& center, double scale,
                                   const Kernels<double>& float64, Pool& pool) {
  constexpr std::int64_t rows = 16;
  constexpr std::int64_t strip = 256;
  std::vector<double> distances(to_size(view.n));
  pool.run(ceil_div(view.n, rows), Pool::Progress::silent, [&](std::int64_t item, int) {
    double centered[rows * strip];
    const Range range{item * rows, std::min(view.n, (item + 1) * rows)};
    for (std::int64_t column = 0; column < view.d; column += strip) {
      const std::int64_t width = std::min(strip, view.d - column);
      float64.center(view, range, {column, column + width}, center.data(), scale, centered, width,
                     &distances[to_size(range.begin)]);
    }
  });
  return distances;
}

std::vector<std::int64_t> beyond(const std::vector<double>& distances) {
  double typical = lower_median(distances);
  if (typical == 0) {  // most examples are one and the same
    std::vector<double> others;
    std::copy_if(distances.begin(), distances.end(), std::back_inserter(others), [](double x) { return x > 0; });
    if (others.empty()) return {};
    typical = lower_median(std::move(others));
  }
  std::vector<std::int64_t> far;
  double limit = far_from * typical;
  do {
    far.clear();
    for (std::size_t a = 0; a < distances.size(); ++a) {
      if (distances[a] > limit) far.push_back(static_cast<std::int64_t>(a));
    }
    limit *= far_from;
  } while (static_cast<std::int64_t>(far.size()) > most_far(static_cast<std::int64_t>(distances.size())));
  return far;
}

// The means of all examples but those.
std::vector<double> mean_without(const View& view, const Columns& columns, const std::vector<std::int64_t>& far,
                                 const Implementation& implementation, Pool& pool) {
  constexpr std::int64_t strip = 256;
  std::vector<double> mean(to_size(view.d));
  pool.run(ceil_div(view.d, strip), Pool::Progress::silent, [&](std::int64_t item, int) {
    const Range range{item * strip, std::min(view.d, (item + 1) * strip)};
    double sum[strip];
    double unused[strip];
    std::int64_t begin = 0;
    for (std::size_t i = 0; i <= far.size(); ++i) {
      const std::int64_t end = i < far.size() ? far[i] : view.n;
      if (begin < end) {
        implementation.column_statistics(view, {begin, end}, range, {sum, unused, unused});
        for (std::int64_t j = range.begin; j < range.end; ++j) {
          mean[to_size(j)] += sum[j - range.begin];
        }
      }
      begin = end + 1;
    }
  });
  const auto count = static_cast<double>(view.n - static_cast<std::int64_t>(far.size()));
  for (std::size_t j = 0; j < mean.size(); ++j) {
    mean[j] = columns.low[j] == columns.high[j] ? columns.low[j] : mean[j] / count;
  }
  return mean;
}

// Rows (count, d) as panels of examples in float64, padded to whole panels.
std::int64_t pack(const double* rows, std::int64_t count, std::int64_t d, const Kernels<double>& float64, double* out) {
  const std::int64_t panels = ceil_div(count, float64.lanes);
  for (std::int64_t panel = 0; panel < panels; ++panel) {
    const std::int64_t first = panel * float64.lanes;
    float64.example_panel(rows + first * d, std::min(float64.lanes, count - first), d, out + panel * float64.lanes * d);
  }
  return panels;
}

// Gram entries of far examples (panels of `left`) with others (panels of `right`): one micro-tile after the other.
// Returns how many there are. The first of the left examples is the self-th of the right ones (or would be, if the
// right ones went on in both directions): entries of an example with itself become zero. `micros` become the tiles.
std::int64_t gram_entries(const double* left, std::int64_t left_panels, const double* right, std::int64_t right_panels,
                          std::int64_t d, const Kernels<double>& float64, std::int64_t self,
                          std::vector<MicroTile>& micros, double* out) {
  const std::int64_t lanes = float64.lanes;
  std::int64_t offset = 0;
  micros.clear();
  for (std::int64_t column = 0; column < right_panels; column += float64.most_panels) {
    const std::int64_t count = std::min(float64.most_panels, right_panels - column);
    const void* columns[max_panels];
    for (std::int64_t p = 0; p < count; ++p) columns[p] = right + (column + p) * lanes * d;
    for (std::int64_t panel = 0; panel < left_panels; ++panel) {
      for (std::int64_t row = 0; row < lanes; row += float64.rows) {
        const void* rows[] = {left + panel * lanes * d + row};
        float64.multiply(d, rows, float64.rows, columns, count, out + offset, false, rows[0]);
        for (std::int64_t r = 0; r < float64.rows; ++r) {
          const std::int64_t same = self + panel * lanes + row + r - column * lanes;
          if (same >= 0 && same < count * lanes) out[offset + r * count * lanes + same] = 0;
        }
        micros.push_back({panel * lanes + row, float64.rows, column, count, offset});
        offset += float64.rows * count * lanes;
      }
    }
  }
  return offset;
}

// The folds of the far examples [first, last), from `first` on.
std::vector<Segment> far_segments(const Prepared& prepared, std::int64_t first, std::int64_t last) {
  std::vector<Segment> segments;
  for (std::int64_t f = first; f < last; ++f) {
    const std::int64_t fold = prepared.folds.fold_at(prepared.far.rows[to_size(f)]);
    segments.push_back({f - first, f - first + 1, fold});
  }
  return segments;
}

}  // namespace

std::vector<std::vector<std::int64_t>> find_far_examples(const std::vector<View>& views,
                                                         const Implementation& implementation, Pool& pool,
                                                         std::vector<Columns>& columns) {
  std::vector<std::vector<std::int64_t>> far(views.size());
  std::vector<Robust> robust(views.size());
  std::vector<double> scale(views.size());
  pool.run(static_cast<std::int64_t>(views.size()), Pool::Progress::silent, [&](std::int64_t item, int) {
    const auto i = to_size(item);
    if (columns[i].constant) return;
    scale[i] = std::ldexp(1.0, -columns[i].exponent());
    Robust candidate = robust_center(views[i], implementation, scale[i]);
    if (may_have_far(columns[i], candidate, scale[i])) robust[i] = std::move(candidate);
  });
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (robust[i].center.empty()) continue;
    far[i] = beyond(distances_from(views[i], robust[i].center, scale[i], implementation.float64, pool));
    if (far[i].empty()) continue;
    columns[i].center = mean_without(views[i], columns[i], far[i], implementation, pool);
  }
  return far;
}

template <class T>
S0 far_sums(const Prepared& prepared, const Kernels<T>& kernels, const Kernels<double>& float64, Pool& pool) {
  const auto m = static_cast<std::int64_t>(prepared.x.size());
  const std::int64_t chunk = prepared.format.chunk;
  const std::int64_t chunks = ceil_div(prepared.n, chunk);
  const auto far = static_cast<std::int64_t>(prepared.far.rows.size());
  constexpr std::int64_t far_at_once = 32;
  constexpr std::int64_t no_self = std::numeric_limits<std::int64_t>::min() / 2;
  std::int64_t widest = 0;
  for (const Centered& x : prepared.x) widest = std::max(widest, x.d);

  // Items: the far examples against each chunk of all others, then against each chunk of themselves.
  const std::int64_t far_chunks = ceil_div(far, chunk);
  const Folds& folds = prepared.folds;
  FoldPairs pairs(folds, m);
  const auto column_segments = [&](std::int64_t item) {
    const std::int64_t begin = (item >= chunks ? item - chunks : item) * chunk;
    if (item >= chunks) return far_segments(prepared, begin, std::min(begin + chunk, far));
    std::vector<Segment> segments = folds.segments(begin, std::min(begin + chunk, prepared.n));
    for (Segment& segment : segments) segment = {segment.begin - begin, segment.end - begin, segment.fold};
    return segments;
  };
  OrderedSum sum(m, pool, [&](std::int64_t item, const Partial& partial) {
    const double* blocks = partial.blocks.data();
    for (std::int64_t first = 0; first < far; first += far_at_once) {
      blocks = pairs.add(far_segments(prepared, first, std::min(first + far_at_once, far)), column_segments(item),
                         item >= chunks ? 1 : 2, blocks);
    }
  });
  pool.run(chunks + far_chunks, Pool::Progress::reported, [&](std::int64_t item, int worker) {
    Partial partial = sum.acquire(item, worker);
    partial.reset(0, m, 0, m);
    const bool among_far = item >= chunks;
    const std::int64_t begin = (among_far ? item - chunks : item) * chunk;
    const std::int64_t count = std::min(chunk, (among_far ? far : prepared.n) - begin);
    const std::int64_t room = round_up(far_at_once, float64.lanes) * round_up(count, float64.lanes);
    const Block<double> v = allocate<double>(m * room);
    const Block<double> rows = allocate<double>(count * widest);
    const Block<double> right = allocate<double>(round_up(count, float64.lanes) * widest);
    const Block<double> left = allocate<double>(round_up(far_at_once, float64.lanes) * widest);
    Block<double> gathered;
    std::vector<MicroTile> micros;
    for (std::int64_t first = 0; first < far; first += far_at_once) {
      const std::int64_t some = std::min(far_at_once, far - first);
      std::int64_t length = 0;
      for (std::int64_t i = 0; i < m; ++i) {
        pool.checkpoint(worker);
        const Centered& x = prepared.x[to_size(i)];
        const double* far_rows = prepared.far.x[to_size(i)].data();
        const double* others = far_rows + begin * x.d;
        if (!among_far) {
          unpack(x, prepared.format, prepared.n, {begin, begin + count}, {0, x.d}, kernels, rows.get());
          others = rows.get();
        }
        const std::int64_t right_panels = pack(others, count, x.d, float64, right.get());
        const std::int64_t left_panels = pack(far_rows + first * x.d, some, x.d, float64, left.get());
        length = gram_entries(left.get(), left_panels, right.get(), right_panels, x.d, float64,
                              among_far ? first - begin : no_self, micros, v.get() + i * room);
      }
      if (folds.count > 0) {
        sum_blocks(micros, far_segments(prepared, first, first + some), column_segments(item), m, v.get(), room,
                   float64, gathered, partial);
      } else {
        float64.rank_update(m, length, v.get(), room, partial.values.data());
      }
    }
    if (!among_far) {
      for (double& value : partial.values) value *= 2;  // (a, b) and (b, a)
    }
    sum.commit(item, std::move(partial));
  });
  return {sum.symmetric(), pairs.subset_sums(1)};
}

template S0 far_sums(const Prepared&, const Kernels<float>&, const Kernels<double>&, Pool&);
template S0 far_sums(const Prepared&, const Kernels<double>&, const Kernels<double>&, Pool&);

}  // namespace fastcka::cpu
