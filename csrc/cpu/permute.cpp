#include "permute.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "grams.hpp"
#include "threads/in_order.hpp"
#include "threads/memory.hpp"
#include "threads/pool.hpp"

namespace fastcka::cpu {
namespace {

// Permuted rows of a pair that wait to be multiplied together.
constexpr std::int64_t together = 4;

// Bytes of one tile's rows, of all matrices and of the waiting ones: about half of an L2 cache.
constexpr std::int64_t tile_bytes = std::int64_t{512} << 10;

// Rows of the upper triangle: `half` from the top and as many from the bottom, so that all tiles take the same time.
struct TileRows {
  std::vector<std::int64_t> row;
  std::vector<std::int64_t> offset;  // of a row's entries from the diagonal on
  std::int64_t length = 0;           // of all rows, each rounded up to whole cache lines

  TileRows(std::int64_t n, std::int64_t half, std::int64_t tile, std::int64_t lanes) {
    const std::int64_t end = std::min((tile + 1) * half, ceil_div(n, 2));
    for (std::int64_t a = tile * half; a < end; ++a) add(a, n, lanes);
    for (std::int64_t a = end; a-- > tile * half;) {
      if (n - 1 - a > a) add(n - 1 - a, n, lanes);
    }
  }

 private:
  void add(std::int64_t a, std::int64_t n, std::int64_t lanes) {
    row.push_back(a);
    offset.push_back(length);
    length += round_up(n - a, lanes);
  }
};

std::int64_t half_of(std::int64_t n, std::int64_t m, std::int64_t value_bytes) {
  const std::int64_t fit = tile_bytes / ((m + 2 * together) * n * value_bytes);
  return std::clamp<std::int64_t>(fit, 1, ceil_div(n, 64));
}

// Entries of two matrices' row at the places `to`, to two rows that are zero from there to `room`. A cache line of
// `ahead` up to `ahead_end` is asked for every few entries.
template <class T>
void gather(const T* row, const std::uint16_t* to, std::int64_t count, std::int64_t room, T* first, T* second,
            const char*& ahead, const char* ahead_end) {
  std::int64_t b = 0;
  for (; b + 4 <= count; b += 4) {
    if (ahead < ahead_end) {
      __builtin_prefetch(ahead, 0, 2);
      ahead += 64;
    }
    if constexpr (sizeof(T) == 4) {
      T four[8];
      for (int q = 0; q < 4; ++q) std::memcpy(four + 2 * q, row + 2 * to[b + q], 2 * sizeof(T));
      for (int q = 0; q < 4; ++q) {
        first[b + q] = four[2 * q];
        second[b + q] = four[2 * q + 1];
      }
    } else {
      for (int q = 0; q < 4; ++q) {
        first[b + q] = row[2 * to[b + q]];
        second[b + q] = row[2 * to[b + q] + 1];
      }
    }
  }
  for (; b < count; ++b) {
    first[b] = row[2 * to[b]];
    second[b] = row[2 * to[b] + 1];
  }
  std::fill(first + count, first + room, T{0});
  std::fill(second + count, second + room, T{0});
}

template <class T>
class PermutedGrams final : public Permuted {
 public:
  PermutedGrams(Grams<T> grams, const Kernels<T>& kernels) : grams_(std::move(grams)), kernels_(kernels) {
    const std::int64_t m = grams_.m;
    for (std::int64_t j = 1; j < m; ++j) {
      for (std::int64_t i = 0; i < j; ++i) column_.push_back(i * (2 * m - i - 1) / 2 + j - i - 1);
    }
  }

  std::int64_t n() const override { return grams_.n; }
  std::int64_t m() const override { return grams_.m; }

  std::vector<double> similarities(const std::int32_t* permutations, std::int64_t count, int threads,
                                   const Poll& poll) const override {
    const std::int64_t pairs = grams_.m * (grams_.m - 1) / 2;
    const std::int64_t half = half_of(grams_.n, grams_.m, sizeof(T));
    const std::vector<std::uint16_t> short_ones(permutations, permutations + count * grams_.n);
    Pool pool(threads, poll);
    InOrder sum(count * pairs, pool);
    std::vector<Workspace> workspaces(to_size(threads));
    pool.run(ceil_div(ceil_div(grams_.n, 2), half), Pool::Progress::reported, [&](std::int64_t tile, int worker) {
      std::vector<double> part = sum.acquire(tile, worker);
      const TileRows rows(grams_.n, half, tile, lanes);
      add_tile(rows, short_ones.data(), count, workspaces[to_size(worker)], pool, worker, part.data());
      sum.commit(tile, std::move(part));
    });
    std::vector<double> values = sum.take();
    for (std::int64_t k = 0, entry = 0; k < count; ++k) {
      for (std::int64_t i = 0; i < grams_.m; ++i) {
        for (std::int64_t j = i + 1; j < grams_.m; ++j, ++entry) {
          values[to_size(entry)] *= 2 / std::sqrt(grams_.norms[to_size(i)] * grams_.norms[to_size(j)]);
        }
      }
    }
    return values;
  }

 private:
  static constexpr std::int64_t lanes = 64 / static_cast<std::int64_t>(sizeof(T));

  // A row of the tile under a permutation.
  struct Visit {
    std::uint32_t permutation;
    std::uint32_t row;  // of the tile
  };
  struct Workspace {
    Block<T> fixed;    // (m, length): the tile's rows of all matrices
    Block<T> waiting;  // (rows, together, 2, length of a row)
    std::vector<Visit> visits;
    std::vector<std::int64_t> first;  // visit of each row of a permuted matrix
    std::vector<std::int64_t> waiting_for;
    std::vector<std::uint32_t> waiting_permutation;
    std::vector<double> products;
  };

  // The visits in the order of the rows that they read: those of a permuted matrix then pass by in order, and each is
  // used several times while it is in the cache.
  void sort_visits(const TileRows& rows, const std::uint16_t* permutations, std::int64_t count, Workspace& work) const {
    work.first.assign(to_size(grams_.n + 1), 0);
    for (std::int64_t k = 0; k < count; ++k) {
      for (const std::int64_t a : rows.row) ++work.first[to_size(permutations[k * grams_.n + a] + 1)];
    }
    for (std::size_t r = 1; r < work.first.size(); ++r) work.first[r] += work.first[r - 1];
    work.visits.resize(to_size(count) * rows.row.size());
    for (std::int64_t k = 0; k < count; ++k) {
      for (std::size_t row = 0; row < rows.row.size(); ++row) {
        const std::size_t source = permutations[k * grams_.n + rows.row[row]];
        work.visits[to_size(work.first[source]++)] = {static_cast<std::uint32_t>(k), static_cast<std::uint32_t>(row)};
      }
    }
  }

  void add_tile(const TileRows& rows, const std::uint16_t* permutations, std::int64_t count, Workspace& work,
                Pool& pool, int worker, double* part) const {
    const std::int64_t n = grams_.n;
    const std::int64_t m = grams_.m;
    const std::int64_t room = 2 * together * rows.length;
    work.fixed = allocate<T>(m * rows.length);
    work.waiting = allocate<T>(room);
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::size_t row = 0; row < rows.row.size(); ++row) {
        const std::int64_t a = rows.row[row];
        const T* from = grams_.row_of(i, a);
        T* to = work.fixed.get() + i * rows.length + rows.offset[row];
        for (std::int64_t b = a; b < n; ++b) to[b - a] = from[b * 2];
        std::fill(to + n - a, to + round_up(n - a, lanes), T{0});
      }
    }
    sort_visits(rows, permutations, count, work);
    work.waiting_permutation.resize(rows.row.size() * to_size(together));
    for (std::int64_t pair = 1; pair < Grams<T>::pairs(m); ++pair) {
      work.waiting_for.assign(rows.row.size(), 0);
      std::int64_t visited = 0;
      for (std::size_t at = 0; at < work.visits.size(); ++at) {
        if (++visited % 64 == 0) pool.checkpoint(worker);
        const Visit visit = work.visits[at];
        const std::uint16_t* permutation = permutations + visit.permutation * n;
        const std::int64_t a = rows.row[visit.row];
        const T* row = grams_.row(pair, permutation[a]);
        const char* ahead = nullptr;
        const char* ahead_end = nullptr;
        if (at + 1 < work.visits.size()) {
          const Visit next = work.visits[at + 1];
          const T* following = grams_.row(pair, permutations[next.permutation * n + rows.row[next.row]]);
          if (following != row) {
            ahead = reinterpret_cast<const char*>(following);
            ahead_end = reinterpret_cast<const char*>(following + 2 * n);
          }
        }
        const std::int64_t length = round_up(n - a, lanes);
        std::int64_t& waiting = work.waiting_for[visit.row];
        T* out = work.waiting.get() + 2 * together * rows.offset[visit.row] + 2 * waiting * length;
        gather(row, permutation + a, n - a, length, out, out + length, ahead, ahead_end);
        work.waiting_permutation[visit.row * to_size(together) + to_size(waiting)] = visit.permutation;
        if (++waiting == together) multiply(rows, visit.row, pair, work, part);
      }
      for (std::size_t row = 0; row < rows.row.size(); ++row) multiply(rows, row, pair, work, part);
    }
  }

  // The waiting rows of a pair of matrices, times the row of the tile of all matrices before them.
  void multiply(const TileRows& rows, std::size_t row, std::int64_t pair, Workspace& work, double* part) const {
    const std::int64_t waiting = std::exchange(work.waiting_for[row], 0);
    if (waiting == 0) return;
    const std::int64_t m = grams_.m;
    const std::int64_t before = std::min(2 * pair, m);
    const std::int64_t length = round_up(grams_.n - rows.row[row], lanes);
    work.products.assign(to_size(2 * together * before), 0.0);
    kernels_.inner_products(2 * waiting, work.waiting.get() + 2 * together * rows.offset[row], length, before,
                            work.fixed.get() + rows.offset[row], rows.length, length, work.products.data(), before);
    for (std::int64_t w = 0; w < waiting; ++w) {
      double* out = part + work.waiting_permutation[row * to_size(together) + to_size(w)] * (m * (m - 1) / 2);
      for (std::int64_t j = 2 * pair - 1; j < std::min(2 * pair + 1, m); ++j) {
        const double* from = &work.products[to_size((2 * w + j - (2 * pair - 1)) * before)];
        const std::int64_t* column = &column_[to_size(j * (j - 1) / 2)];
        for (std::int64_t i = 0; i < j; ++i) out[column[i]] += from[i];
      }
    }
  }

  const Grams<T> grams_;
  const Kernels<T>& kernels_;
  std::vector<std::int64_t> column_;  // of (i, j) in a row of the result, for j = 1, 2, ... and all i < j
};

template <class T>
std::unique_ptr<Permuted> make(const std::vector<View>& views, Estimator estimator,
                               const Implementation& implementation, const Kernels<T>& kernels, Pool& pool) {
  return std::make_unique<PermutedGrams<T>>(centered_grams(views, estimator, implementation, kernels, pool), kernels);
}

}  // namespace

std::unique_ptr<Permuted> make_permuted(const std::vector<View>& views, Estimator estimator,
                                        const std::string& implementation, const std::string& products, int threads,
                                        const Poll& poll) {
  const Implementation& table = find_implementation(implementation);
  Pool pool(threads, poll);
  return products == table.float64.name ? make(views, estimator, table, table.float64, pool)
                                        : make(views, estimator, table, table.float32, pool);
}

std::int64_t permuted_gram_bytes(std::int64_t n, std::int64_t m, std::int64_t value_bytes) {
  return value_bytes == sizeof(float) ? Grams<float>::bytes(n, m) : Grams<double>::bytes(n, m);
}

std::int64_t permuted_thread_bytes(std::int64_t n, std::int64_t m, std::int64_t count, std::int64_t value_bytes) {
  const std::int64_t half = half_of(n, m, value_bytes);
  const std::int64_t sums = partial_sums_per_thread * count * (m * (m - 1) / 2) * 8;
  return (m + 2 * together) * half * (n + 64) * value_bytes + 2 * half * count * 8 + sums;
}

}  // namespace fastcka::cpu
