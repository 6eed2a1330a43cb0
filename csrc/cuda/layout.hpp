// What a pass is of, and where everything lies in its one allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../hsic.hpp"

namespace fastcka::cuda {

// What is multiplied: IEEE float32; fp16 high and low parts in three products; one fp16 product; float64.
enum class Products { float32, float16x3, float16, float64 };

struct Shape {
  std::int64_t n;
  std::vector<std::int64_t> widths;
  Route route;
  Products products;
  std::int64_t tile;        // edge of a tile in examples (gram), of a panel in features (features)
  std::int64_t chunk;       // examples of one product (features)
  std::int64_t rank_chunk;  // entries of a Gram tile in one float32 sum (gram)
};

inline std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
inline std::int64_t round_up(std::int64_t a, std::int64_t b) { return divide_up(a, b) * b; }

// Examples are padded to it with zero rows, widths in the gram route with zero features: tensor cores want it, and
// zeros change no sum.
inline constexpr std::int64_t grain = 16;
// Widths in the features route are padded to it, so that no block of the product is of two representations.
inline constexpr std::int64_t feature_block = 32;
// Columns of one partial sum of the column statistics, and its rows where there are not too many blocks of them.
inline constexpr std::int64_t strip_columns = 32;
inline constexpr std::int64_t least_block_rows = 1024;
inline constexpr std::int64_t most_blocks = 64;
// Of cuBLAS, as its documentation recommends for Hopper. Its own, per stream, would be allocated while a graph is
// captured.
inline constexpr std::int64_t cublas_bytes = std::int64_t{32} << 20;
// Of the float32 Gram tiles that wait to be split: they stay in the L2 cache of a large GPU.
inline constexpr std::int64_t scratch_bytes = std::int64_t{32} << 20;
// Of the partial products of the rank update at a time, and their number: cuBLAS has had limits of 65,535 for batches.
inline constexpr std::int64_t rank_bytes = std::int64_t{64} << 20;
inline constexpr std::int64_t most_rank_batch = 32768;

// Of the Gram entries of far examples at a time in the features route, and how many of those with how many others.
inline constexpr std::int64_t far_bytes = std::int64_t{32} << 20;
inline constexpr std::int64_t most_far_rows = 32;
inline constexpr std::int64_t most_far_chunk = 256;

// Offsets in bytes from the beginning of the allocation; each is a multiple of 256.
class Layout {
 public:
  explicit Layout(const Shape& shape);

  std::int64_t m, n;
  std::int64_t rows;                // n, padded
  std::int64_t block_rows, blocks;  // of the column statistics: rows of one, and their number
  int slabs;                        // copies of a row or chunk
  std::int64_t item;                // bytes of a value that is multiplied
  std::int64_t sum;                 // bytes of a value of a product

  std::vector<std::int64_t> width;   // padded
  std::vector<std::int64_t> start;   // padded columns before each representation; then their number
  std::vector<std::int64_t> column;  // columns before each representation; then their number
  std::vector<std::int64_t> strip;   // strips before each representation; then their number

  std::int64_t edge;           // gram: of a tile, padded; features: of a panel
  std::int64_t room;           // gram: entries of a tile, padded to whole chunks
  std::int64_t planes;         // gram: rows of V: M, or 2M where it is split into high and low
  std::int64_t rank_batch;     // gram: chunks whose partial products are there at a time
  std::int64_t partial_pitch;  // gram: of a partial product
  std::int64_t scratch_room;   // gram: entries of Gram tiles that wait to be split

  std::int64_t far_rows, far_chunk;  // features: far examples, and others, whose Gram entries are there at a time

  // prepared
  std::int64_t x, mean, robust, sums, least, most, counts, firsts, starts;
  std::int64_t far;  // (m, rows) int8; see far_examples.hpp
  // (4, m, rows), zero where the rows are padding: k, q, r, and k without the examples that are far in any
  // representation. Until the sums begin, distances are in the place of q.
  std::int64_t k;
  // workspace
  std::int64_t v_exponent, scratch, v, partial, panel, squares, far_sums, far_list, far_total, row_sums, total, cublas;
  // results
  std::int64_t s0;        // (m, m)
  std::int64_t products;  // (4, m, m): inner products of k, q, r, and k without far examples
  std::int64_t totals;    // (3, m): sums of q, sums of r, and S0_ii as it was summed
  std::int64_t status;    // (status_fields, m)
  std::int64_t any_far;   // (rows) bytes: 1 for an example that is far in any representation
  std::int64_t end;

  std::int64_t result_bytes() const { return end - s0; }
};

}  // namespace fastcka::cuda
