// The inner loops, one table of functions for each kind of processor. A table is compiled in a translation unit of its
// own with its own flags and chosen at run time, so that one build serves every processor of an architecture.
//
// Operands lie in panels: `lanes` vectors side by side, [depth][lanes]. The vectors are examples and the depth runs
// over features in the gram route, the other way round in the features route.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../hsic.hpp"

namespace fastcka::cpu {

// [begin, end) of rows or columns.
struct Range {
  std::int64_t begin, end;
};

// Most panels of columns of a micro-tile in any implementation.
inline constexpr std::int64_t max_panels = 3;

template <class T>
struct Products {
  std::int64_t lanes;        // vectors in a panel
  std::int64_t rows;         // of a micro-tile; divides lanes
  std::int64_t most_panels;  // of columns of a micro-tile; up to max_panels

  // c (rows x count*lanes, row-major) = sum over k of a[k][0..rows) b[.][k][0..lanes); with `accumulate`, c += that
  // sum, which is formed on its own first: the steps of a long depth are a two-level sum. a points at its first vector
  // inside a panel; b holds `count` <= panels panels.
  // The `depth` cache lines from `ahead` on are asked for, without being read, on the way.
  void (*multiply)(std::int64_t depth, const T* a, const T* const* b, std::int64_t count, T* c, bool accumulate,
                   const T* ahead);

  // s (m x m, upper triangle) += V V^T, V the m rows of `length` at distance `stride`.
  void (*rank_update)(std::int64_t m, std::int64_t length, const T* v, std::int64_t stride, double* s);

  // total += c, elementwise.
  void (*add)(std::int64_t count, const T* c, double* total);

  // A part of a view, centred, times scale, rounded to T: out (rows x pitch, row-major); the squared norms of the
  // rounded rows are added to k. mean holds the means of all columns.
  void (*center)(const View& view, Range rows, Range columns, const double* mean, double scale, T* out,
                 std::int64_t pitch, double* k);
};

struct ColumnStatistics {
  double* sum;
  double* min;
  double* max;
};

struct Implementation {
  const char* name;
  bool (*supported)();
  // Of a part of a view; the output, one value a column of the part, is overwritten. Min and max mean something only
  // where the sum is finite.
  void (*column_statistics)(const View& view, Range rows, Range columns, ColumnStatistics out);
  Products<float> float32;
  Products<double> float64;

  template <class T>
  const Products<T>& products() const {
    if constexpr (sizeof(T) == sizeof(float)) {
      return float32;
    } else {
      return float64;
    }
  }
};

// The tables that were built and that this processor can run, the preferred one first.
const std::vector<const Implementation*>& available_implementations();

// Throws std::invalid_argument for a name that is not available.
const Implementation& find_implementation(const std::string& name);

}  // namespace fastcka::cpu
