#include "permute.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "grams.hpp"
#include "threads/memory.hpp"
#include "threads/ordered_vector_sum.hpp"
#include "threads/pool.hpp"

namespace fastcka::cpu {
namespace {

// Bytes of the fixed rows of a tile. They are read in order, so they may come from the L3 cache. The more of them there
// are, the more often a permuted row is used once it is in the L2 cache.
constexpr std::int64_t fixed_bytes = std::int64_t{2} << 20;

// Rows of permuted matrices that are fetched before their turn.
constexpr std::size_t rows_ahead = 3;

// Examples of the upper triangle's rows: `half` from the top and as many from the bottom, so that all tiles take the
// same time.
struct TileRows {
  std::vector<std::int64_t> row;
  std::vector<std::int64_t> offset;  // of a row's entries from the diagonal on
  std::int64_t length = 0;           // of all rows

  TileRows(std::int64_t n, std::int64_t half, std::int64_t tile) {
    const std::int64_t end = std::min((tile + 1) * half, ceil_div(n, 2));
    for (std::int64_t a = tile * half; a < end; ++a) add(a, n);
    for (std::int64_t a = end; a-- > tile * half;) {
      if (n - 1 - a > a) add(n - 1 - a, n);
    }
  }

 private:
  void add(std::int64_t a, std::int64_t n) {
    row.push_back(a);
    offset.push_back(length);
    length += n - a;
  }
};

// Fixed matrices that a group of permuted ones needs: those before its last.
std::int64_t fixed_of(const GramGroup& group, std::int64_t m) {
  return round_up(std::min(group.first + group.width, m) - 1, permuted_grain);
}

// Values next to each other in a fixed entry.
std::int64_t pitch_of(std::int64_t m) { return round_up(m - 1, permuted_grain); }

// Sums of a permutation: of each permuted group, (fixed matrices, width).
std::int64_t sums_of(std::int64_t m) {
  std::int64_t count = 0;
  for (const GramGroup& group : GramGroup::all(m)) count += group.first > 0 ? fixed_of(group, m) * group.width : 0;
  return count;
}

std::int64_t half_of(std::int64_t n, std::int64_t m, std::int64_t value_bytes) {
  return std::clamp<std::int64_t>(fixed_bytes / (pitch_of(m) * n * value_bytes), 1, ceil_div(n, 64));
}

template <class T>
class PermutedGrams final : public Permuted {
 public:
  PermutedGrams(Grams<T> grams, const Kernels<T>& kernels)
      : grams_(std::move(grams)), kernels_(kernels), pitch_(pitch_of(grams_.m)), sums_(sums_of(grams_.m)) {}

  std::int64_t n() const override { return grams_.n; }
  std::int64_t m() const override { return grams_.m; }

  std::vector<double> similarities(const std::int32_t* permutations, std::int64_t count, int threads,
                                   const Poll& poll) const override {
    const std::int64_t half = half_of(grams_.n, grams_.m, sizeof(T));
    const std::vector<std::uint16_t> places(permutations, permutations + count * grams_.n);
    Pool pool(threads, poll);
    OrderedVectorSum sum(count * sums_, pool);
    std::vector<Workspace> workspaces(to_size(threads));
    pool.run(ceil_div(ceil_div(grams_.n, 2), half), Pool::Progress::reported, [&](std::int64_t tile, int worker) {
      std::vector<double> part = sum.acquire(tile, worker);
      add_tile(TileRows(grams_.n, half, tile), places.data(), count, workspaces[to_size(worker)], pool, worker,
               part.data());
      sum.commit(tile, std::move(part));
    });
    return normalized(sum.take(), count);
  }

 private:
  // A row of the tile under a permutation.
  struct Visit {
    std::uint32_t permutation;
    std::uint32_t row;  // of the tile
  };
  struct Workspace {
    Block<T> fixed;  // (length, pitch): the tile's rows of all matrices but the last
    std::int64_t room = 0;
    std::vector<Visit> visits;
    std::vector<std::int64_t> next;  // visit of each row of a permuted matrix
    std::vector<PermutedRow<T>> waiting;
    std::vector<std::int64_t> waiting_count;
  };

  // The cache lines of the rows that later visits read, handed out piece by piece.
  class Ahead {
   public:
    Ahead(const PermutedGrams& of_all, const GramGroup& group, const std::vector<std::int64_t>& sources)
        : grams_(of_all.grams_), group_(group), sources_(sources) {}

    // The next piece of at most `lines`, after the source now in use.
    std::pair<const char*, std::int64_t> next(std::size_t in_use, std::int64_t lines) {
      const std::int64_t row_lines = grams_.n * group_.width * static_cast<std::int64_t>(sizeof(T)) / 64;
      if (source_ <= in_use) {
        source_ = in_use + 1;
        line_ = 0;
      }
      if (line_ >= row_lines) {
        ++source_;
        line_ = 0;
      }
      if (source_ >= sources_.size() || source_ > in_use + rows_ahead) return {nullptr, 0};
      const auto* row = reinterpret_cast<const char*>(grams_.row(group_, sources_[source_]));
      const std::int64_t piece = std::min(lines, row_lines - line_);
      return {row + 64 * std::exchange(line_, line_ + piece), piece};
    }

   private:
    const Grams<T>& grams_;
    const GramGroup& group_;
    const std::vector<std::int64_t>& sources_;
    std::size_t source_ = 0;
    std::int64_t line_ = 0;
  };

  // Sorts the visits by the row of the permuted matrices that they read, so that each row is used several times while
  // it is in the cache. Returns these rows.
  std::vector<std::int64_t> sort_visits(const TileRows& rows, const std::uint16_t* places, std::int64_t count,
                                        Workspace& work) const {
    const std::int64_t n = grams_.n;
    work.next.assign(to_size(n + 1), 0);
    for (std::int64_t k = 0; k < count; ++k) {
      for (const std::int64_t a : rows.row) ++work.next[std::size_t{places[k * n + a]} + 1];
    }
    std::vector<std::int64_t> sources;
    for (std::int64_t r = 0; r < n; ++r) {
      if (work.next[to_size(r + 1)] > 0) sources.push_back(r);
      work.next[to_size(r + 1)] += work.next[to_size(r)];
    }
    work.visits.resize(to_size(count) * rows.row.size());
    for (std::int64_t k = 0; k < count; ++k) {
      for (std::size_t row = 0; row < rows.row.size(); ++row) {
        const std::size_t source = places[k * n + rows.row[row]];
        work.visits[to_size(work.next[source]++)] = {static_cast<std::uint32_t>(k), static_cast<std::uint32_t>(row)};
      }
    }
    return sources;
  }

  void copy_fixed(const TileRows& rows, Workspace& work) const {
    const std::int64_t count = rows.length * pitch_;
    if (work.room < count) {
      work.fixed = allocate<T>(count);
      work.room = count;
    }
    for (std::size_t row = 0; row < rows.row.size(); ++row) {
      const std::int64_t a = rows.row[row];
      T* to = work.fixed.get() + rows.offset[row] * pitch_;
      for (const GramGroup& group : grams_.groups) {
        const T* from = grams_.row(group, a);
        const std::int64_t width = std::min(group.width, pitch_ - group.first);
        for (std::int64_t b = a; b < grams_.n; ++b) {
          std::copy_n(from + b * group.width, width, to + (b - a) * pitch_ + group.first);
        }
      }
    }
  }

  void add_tile(const TileRows& rows, const std::uint16_t* places, std::int64_t count, Workspace& work, Pool& pool,
                int worker, double* part) const {
    const std::int64_t n = grams_.n;
    copy_fixed(rows, work);
    const std::vector<std::int64_t> sources = sort_visits(rows, places, count, work);
    std::int64_t before = 0;  // sums of the groups before
    for (std::size_t g = 1; g < grams_.groups.size(); ++g) {
      const GramGroup& group = grams_.groups[g];
      const std::int64_t together = kernels_.together(group.width);
      Ahead ahead(*this, group, sources);
      std::size_t in_use = 0;
      work.waiting.resize(rows.row.size() * to_size(together));
      work.waiting_count.assign(rows.row.size(), 0);
      const auto multiply = [&](std::size_t row) {
        const std::int64_t waiting = std::exchange(work.waiting_count[row], 0);
        if (waiting == 0) return;
        const std::int64_t length = n - rows.row[row];
        const auto [lines, line_count] = ahead.next(in_use, length);
        kernels_.permuted_sums(length, fixed_of(group, grams_.m), work.fixed.get() + rows.offset[row] * pitch_, pitch_,
                               group.width, &work.waiting[row * to_size(together)], waiting, lines, line_count);
      };
      std::int64_t visited = 0;
      for (const Visit& visit : work.visits) {
        if (++visited % 64 == 0) pool.checkpoint(worker);
        const std::int64_t a = rows.row[visit.row];
        const std::uint16_t* permutation = places + visit.permutation * n;
        while (sources[in_use] != permutation[a]) ++in_use;
        std::int64_t& waiting = work.waiting_count[visit.row];
        work.waiting[visit.row * to_size(together) + to_size(waiting)] = {
            grams_.row(group, permutation[a]), permutation + a, part + visit.permutation * sums_ + before};
        if (++waiting == together) multiply(visit.row);
      }
      for (std::size_t row = 0; row < rows.row.size(); ++row) multiply(row);
      before += fixed_of(group, grams_.m) * group.width;
    }
  }

  std::vector<double> normalized(const std::vector<double>& sums, std::int64_t count) const {
    const std::int64_t m = grams_.m;
    const std::int64_t pairs = m * (m - 1) / 2;
    std::vector<double> values(to_size(count * pairs));
    std::int64_t before = 0;
    for (std::size_t g = 1; g < grams_.groups.size(); ++g) {
      const GramGroup& group = grams_.groups[g];
      for (std::int64_t j = group.first; j < std::min(group.first + group.width, m); ++j) {
        for (std::int64_t i = 0; i < j; ++i) {
          const double scale = 2 / std::sqrt(grams_.norms[to_size(i)] * grams_.norms[to_size(j)]);
          const std::int64_t from = before + i * group.width + j - group.first;
          const std::int64_t to = i * (2 * m - i - 1) / 2 + j - i - 1;
          for (std::int64_t k = 0; k < count; ++k) {
            values[to_size(k * pairs + to)] = sums[to_size(k * sums_ + from)] * scale;
          }
        }
      }
      before += fixed_of(group, m) * group.width;
    }
    return values;
  }

  const Grams<T> grams_;
  const Kernels<T>& kernels_;
  const std::int64_t pitch_;
  const std::int64_t sums_;  // of a permutation
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
                                        : make(views, estimator, table, table.single(products), pool);
}

std::int64_t permuted_gram_bytes(std::int64_t n, std::int64_t m, std::int64_t value_bytes) {
  return value_bytes == sizeof(float) ? Grams<float>::bytes(n, m) : Grams<double>::bytes(n, m);
}

std::int64_t permuted_thread_bytes(std::int64_t n, std::int64_t m, std::int64_t count, std::int64_t value_bytes) {
  const std::int64_t half = half_of(n, m, value_bytes);
  const std::int64_t fixed = pitch_of(m) * half * (n + 1) * value_bytes;
  const std::int64_t visits = 2 * half * count * 8 + 2 * n * 8;
  return fixed + visits + partial_sums_per_thread * count * sums_of(m) * 8;
}

}  // namespace fastcka::cpu
