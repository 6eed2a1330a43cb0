// The inner loops, one table of functions for each kind of processor. Each table is compiled in a separate
// translation unit with its flags, and chosen at run time, so that one build serves every processor of an architecture.
//
// Operands are stored in panels: `lanes` vectors next to each other, [steps][lanes]. The vectors are examples and the
// depth runs over features in the gram route, the other way round in the features route. A step of a vector, a cell, is
// one value or a pair of bfloat16 values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../../hsic.hpp"

namespace fastcka::cpu {

// [begin, end) of rows or columns.
struct Range {
  std::int64_t begin, end;
};

// Most panels of columns of a micro-tile in any implementation.
inline constexpr std::int64_t max_panels = 3;

// The form that Kernels::arrange makes takes room for a multiple of this many steps.
inline constexpr std::int64_t arranged_steps = 16;

// The inner loops for products of one kind of cell, summed in T.
template <class T>
struct Kernels {
  const char* name;          // of the arithmetic: float32, float64 or bfloat16
  std::int64_t lanes;        // vectors in a panel
  std::int64_t rows;         // of a micro-tile; divides lanes
  std::int64_t most_panels;  // of columns of a micro-tile; up to max_panels
  std::int64_t values;       // of the depth in a cell: 1, or 2 in pairs
  std::int64_t cell_bytes;   // at most sizeof(T) * values

  // c (rows x count*lanes, row-major) = sum over the steps k of a[k][0..rows) b[.][k][0..lanes); with `accumulate`,
  // c += that sum, which is completed first: a long depth is a two-level sum. a points at its first vector
  // inside a panel; b holds `count` <= most_panels panels.
  // As many cache lines from `ahead` on are asked for, without being read, on the way.
  void (*multiply)(std::int64_t steps, const void* a, const void* const* b, std::int64_t count, T* c, bool accumulate,
                   const void* ahead);

  // Where the rows of a product take another form than its columns: a part of a panel in that form, which `multiply`
  // then takes as `a`; takes the room of the steps rounded up to arranged_steps. Null where there is one form.
  void (*arrange)(std::int64_t steps, const void* panel, void* out);

  // Around a thread's calls of multiply, with no call of anybody else's code between them; null where nothing is to be
  // done.
  void (*enter)();
  void (*leave)();

  // s (m x m, upper triangle) += V V^T, V the m rows of `length` at distance `stride`.
  void (*rank_update)(std::int64_t m, std::int64_t length, const T* v, std::int64_t stride, double* s);

  // out (count x m, rows at distance `pitch`) += the inner products of `count` rows at distance `row_stride` with the m
  // rows of v at distance `stride`. `length` is a multiple of 64 bytes.
  void (*inner_products)(std::int64_t count, const T* rows, std::int64_t row_stride, std::int64_t m, const T* v,
                         std::int64_t stride, std::int64_t length, double* out, std::int64_t pitch);

  // total += c, elementwise.
  void (*add)(std::int64_t count, const T* c, double* total);

  // A part of a view, centred, times scale, rounded to what a cell holds: out (rows x pitch, row-major); the squared
  // norms of the rounded rows are added to k. mean holds the means of all columns.
  void (*center)(const View& view, Range rows, Range columns, const double* mean, double scale, T* out,
                 std::int64_t pitch, double* k);

  // Such rows (count x width) as cells; absent vectors and the second half of a last pair are zero.
  //     example_panel   a panel of count <= lanes examples, [ceil(width / values)][lanes]
  //     feature_panels  ceil(width / lanes) panels of features, each [ceil(count / values)][lanes]
  void (*example_panel)(const T* rows, std::int64_t count, std::int64_t width, void* out);
  void (*feature_panels)(const T* rows, std::int64_t count, std::int64_t width, void* out);

  std::int64_t steps(std::int64_t depth) const { return ceil_div(depth, values); }
};

// The kernels of one kind of products without their functions, for plans and checks.
struct ProductShape {
  std::string products;
  std::int64_t lanes, rows, step;  // step: columns of a micro-tile; tiles are multiples of it
  std::int64_t values, cell_bytes;
  std::int64_t sum_bytes;  // of a sum of products, and of a centred value before it is packed
  bool arranged;           // the rows of a tile are copied into another form
  bool in_place;           // a staged buffer has room for the centred panels

  std::int64_t steps(std::int64_t depth) const { return ceil_div(depth, values); }
};

template <class T>
ProductShape shape_of(const Kernels<T>& kernels) {
  return {kernels.name,
          kernels.lanes,
          kernels.rows,
          kernels.lanes * kernels.most_panels,
          kernels.values,
          kernels.cell_bytes,
          static_cast<std::int64_t>(sizeof(T)),
          kernels.arrange != nullptr,
          sizeof(T) == sizeof(float) && kernels.lanes == staging_lanes};
}

// Makes the calls of one thread possible for as long as it lives.
template <class T>
class Entered {
 public:
  explicit Entered(const Kernels<T>& kernels) : leave_(kernels.leave) {
    if (kernels.enter != nullptr) kernels.enter();
  }
  ~Entered() {
    if (leave_ != nullptr) leave_();
  }
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;

 private:
  void (*const leave_)();
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
  Kernels<double> float64;
  Kernels<float> float32;
  Kernels<float> fast;  // without a name where nothing is faster than float32

  // One of the last two by name; throws std::invalid_argument for another.
  const Kernels<float>& single(const std::string& products) const;

  // Of any of the three by name; throws std::invalid_argument for another.
  ProductShape shape(const std::string& products) const;
};

// The tables that were built and that this processor can run, the preferred one first.
const std::vector<const Implementation*>& available_implementations();

// Throws std::invalid_argument for a name that is not available.
const Implementation& find_implementation(const std::string& name);

}  // namespace fastcka::cpu
