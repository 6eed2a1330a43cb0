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

// Most panels of columns, and of rows, of a micro-tile in any implementation.
inline constexpr std::int64_t max_panels = 3;
inline constexpr std::int64_t max_row_panels = 2;

// The forms that Kernels::arrange_rows and arrange_columns make take room for a multiple of this many steps.
inline constexpr std::int64_t arranged_steps = 32;

// Numbers of examples for the third moments of a Gram matrix (see cpu/third_moments.hpp).
struct ExampleTerm {
  double u, weight, diagonal, near;
};
struct ExampleTerms {
  const double *u, *weight, *diagonal, *near;
};

// A row of `width` matrices, entry by entry, and the entries that a permutation takes from it, in turn (see
// Kernels::permuted_sums).
template <class T>
struct PermutedRow {
  const T* entries;             // [examples][width]
  const std::uint16_t* places;  // of entries
  double* sums;                 // (rows, width)
};

// Matrices next to each other in a PermutedRow: this many, or half as many.
inline constexpr std::int64_t most_width = 8;

// `rows` of Kernels::permuted_sums is a multiple of this.
inline constexpr std::int64_t permuted_grain = 4;

// The inner loops for products of one kind of cell, summed in T.
template <class T>
struct Kernels {
  const char* name;             // of the arithmetic: float32, float64, bfloat16 or bfloat16x3
  std::int64_t lanes;           // vectors in a panel
  std::int64_t rows;            // of a micro-tile; divides lanes, or is a multiple of it up to max_row_panels
  std::int64_t most_panels;     // of columns of a micro-tile; up to max_panels
  std::int64_t values;          // of the depth in a cell: 1, or 2 in pairs
  std::int64_t cell_bytes;      // at most sizeof(T) * values
  std::int64_t arranged_bytes;  // of a cell as arrange_rows and arrange_columns write it; 0 without them

  // c (row_count x count*lanes, row-major) = sum over the steps k of a[k][0..row_count) b[.][k][0..lanes); with
  // `accumulate`, c += that sum, which is completed first: a long depth is a two-level sum. Where rows <= lanes, a[0]
  // points at the first vector inside a panel and row_count is rows; elsewhere a holds row_count / lanes panels.
  // b holds `count` <= most_panels panels.
  // An implementation may ask for as many cache lines from `ahead` on, without reading them, on the way.
  void (*multiply)(std::int64_t steps, const void* const* a, std::int64_t row_count, const void* const* b,
                   std::int64_t count, T* c, bool accumulate, const void* ahead);

  // The same, but with a and b exchanged it gives the same bits, transposed. The features route needs this to have the
  // same result for any order of its representations.
  void (*multiply_symmetric)(std::int64_t steps, const void* const* a, std::int64_t row_count, const void* const* b,
                             std::int64_t count, T* c, bool accumulate, const void* ahead);

  // A part of a panel in the forms that `multiply` takes as `a` and as `b`. A form takes arranged_bytes a cell, for the
  // steps rounded up to arranged_steps. Null where `multiply` takes panels as they are.
  void (*arrange_rows)(std::int64_t steps, const void* panel, void* out);
  void (*arrange_columns)(std::int64_t steps, const void* panel, void* out);

  // Around a thread's calls of multiply, with no call of anybody else's code between them; null where nothing is to be
  // done.
  void (*enter)();
  void (*leave)();

  // s (m x m, upper triangle) += V V^T, V the m rows of `length` at distance `stride`.
  void (*rank_update)(std::int64_t m, std::int64_t length, const T* v, std::int64_t stride, double* s);

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

  // A part of a panel of values, each step times that step of one lane of a panel: out[k][lane] = panel[k][lane]
  // by[k][0].
  void (*weigh)(std::int64_t steps, const T* panel, const T* by, T* out);

  // Of such rows, the sums of the powers 2 and 4 of each column, and those of 1 to 4, added to sums (4 x pitch).
  void (*even_powers)(const T* rows, std::int64_t count, std::int64_t width, double* sums, std::int64_t pitch);
  void (*column_powers)(const T* rows, std::int64_t count, std::int64_t width, double* sums, std::int64_t pitch);

  // Of a row of Gram entries v with U-centred entry e = v - u_row - u_column, added to sums (4): e^3,
  // e^2 (weight_row + weight_column), e weight_row weight_column, e^2 (diagonal_row near_column + near_row
  // diagonal_column).
  void (*row_moments)(const T* v, std::int64_t count, const ExampleTerms& columns, const ExampleTerm& row,
                      double* sums);

  // Of `count` permutations, sums (rows, width) += the sum over k < length of
  //     fixed[k * pitch + r] * entries[places[k] * width + w].
  // At most `together(width)` permutations. Asks for `lines` cache lines from `ahead` on, without reading them.
  void (*permuted_sums)(std::int64_t length, std::int64_t rows, const T* fixed, std::int64_t pitch, std::int64_t width,
                        const PermutedRow<T>* permuted, std::int64_t count, const void* ahead, std::int64_t lines);
  std::int64_t vector_bytes;

  std::int64_t together(std::int64_t width) const {
    const std::int64_t row_bytes = width * static_cast<std::int64_t>(sizeof(T));
    return vector_bytes > row_bytes ? vector_bytes / row_bytes : 1;
  }

  std::int64_t steps(std::int64_t depth) const { return ceil_div(depth, values); }

  // Bytes of a step of an operand of `multiply`.
  std::int64_t operand_bytes() const { return lanes * (arrange_rows == nullptr ? cell_bytes : arranged_bytes); }
};

// The kernels of one kind of products without their functions, for plans and checks.
struct ProductShape {
  std::string products;
  std::int64_t lanes, rows, step;  // step: columns of a micro-tile; tiles are multiples of it
  std::int64_t values, cell_bytes;
  std::int64_t sum_bytes;       // of a sum of products, and of a centred value before it is packed
  std::int64_t arranged_bytes;  // of a cell in the forms into which a tile's operands are copied; 0: there are none
  bool in_place;                // a staged buffer has room for the centred panels

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
          kernels.arranged_bytes,
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
  // Without a name where nothing is faster than float32.
  Kernels<float> split;  // of float32 values as sums of bfloat16 values: as precise as float32
  Kernels<float> fast;

  // One of the last three by name; throws std::invalid_argument for another.
  const Kernels<float>& single(const std::string& products) const;

  // Of values of a type as they are.
  template <class T>
  const Kernels<T>& whole() const;

  // Of any of the four by name; throws std::invalid_argument for another.
  ProductShape shape(const std::string& products) const;
};

template <>
inline const Kernels<float>& Implementation::whole() const {
  return float32;
}
template <>
inline const Kernels<double>& Implementation::whole() const {
  return float64;
}

// The tables that were built and that this processor can run, the preferred one first.
const std::vector<const Implementation*>& available_implementations();

// Throws std::invalid_argument for a name that is not available.
const Implementation& find_implementation(const std::string& name);

}  // namespace fastcka::cpu
