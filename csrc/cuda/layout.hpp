// The shape of a pass, and the place of each of its arrays in its one allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../hsic.hpp"

namespace fastcka::cuda {

// What is multiplied: IEEE float32; fp16 high and low parts in three products; one fp16 product; float64.
enum class Products { float32, float16x3, float16, float64 };

// Copies of a value that the products take, one after another along the depth: high, low, high, high of float16x3.
constexpr int slabs_of(Products products) { return products == Products::float16x3 ? 4 : 1; }
// Bytes of one copy.
constexpr std::int64_t product_item_bytes(Products products) {
  return products == Products::float64 ? 8 : products == Products::float32 ? 4 : 2;
}

struct Shape {
  std::int64_t n;
  std::vector<std::int64_t> widths;
  Route route;
  Products products;
  std::int64_t tile;        // edge of a tile in examples (gram), of a band in features (features)
  std::int64_t chunk;       // examples of one product (features)
  std::int64_t rank_chunk;  // entries of a Gram tile in one float32 sum (gram)
  bool fused;               // of fp16: blocks of products by one kernel with what follows, in place of cuBLAS
};

// Examples are padded to a multiple of it with zero rows, and widths in the gram route with zero features: tensor cores
// need it, and zeros change no sum.
inline constexpr std::int64_t example_grain = 16;
// Widths in the features route are padded to a multiple of it, so that no block of the product has two representations.
inline constexpr std::int64_t feature_grain = 32;
// Columns of one partial sum of the column statistics, and its rows if there are not too many blocks of them.
inline constexpr std::int64_t strip_columns = 32;
inline constexpr std::int64_t least_block_rows = 1024;
inline constexpr std::int64_t most_blocks = 64;
// Of cuBLAS, as its documentation recommends for Hopper. The workspace that cuBLAS makes for each stream would be
// allocated while a graph is captured.
inline constexpr std::int64_t cublas_bytes = std::int64_t{32} << 20;
// Of the float32 Gram tiles that wait to be split: they stay in the L2 cache of a large GPU.
inline constexpr std::int64_t scratch_bytes = std::int64_t{32} << 20;
// Of the partial products of the rank update at a time, which stay in that cache too, and their number: cuBLAS has had
// limits of 65,535 for batches.
inline constexpr std::int64_t rank_bytes = std::int64_t{32} << 20;
inline constexpr std::int64_t most_rank_batch = 32768;

// Columns of a band of split products that take the sums of all chunks before the next columns do: with a band of as
// many rows they stay in that cache.
inline constexpr std::int64_t part_columns = 2048;

// Of the Gram entries of far examples at a time in the features route, and how many of those with how many others.
inline constexpr std::int64_t far_bytes = std::int64_t{32} << 20;
inline constexpr std::int64_t most_far_rows = 32;
inline constexpr std::int64_t most_far_chunk = 256;

// Status of a representation in the results, each field an array of m.
enum StatusField { exponent_field, constant_field, count_field, first_field, far_field, status_fields };

// One array in the allocation of a pass. Called with the address of the allocation, it gives the array's address.
template <class T>
class Array {
 public:
  Array() = default;
  explicit Array(std::int64_t offset) : offset_(offset) {}

  T* operator()(char* base) const { return reinterpret_cast<T*>(base + offset_); }
  std::int64_t offset() const { return offset_; }  // in bytes

  // The array that begins after `count` of these.
  template <class Next = T>
  Array<Next> after(std::int64_t count) const {
    return Array<Next>(offset_ + count * static_cast<std::int64_t>(sizeof(T)));
  }

 private:
  std::int64_t offset_ = 0;
};

// A field of the results, for the host that reads a copy of them.
struct ResultField {
  std::string name;
  std::string dtype;    // as NumPy writes it
  std::int64_t offset;  // in bytes, from the beginning of the results
  std::int64_t count;
};

// Each array begins at a multiple of 256 bytes; those of the results follow each other without gaps.
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

  std::int64_t edge;           // gram: of a tile, padded; features: of a band
  std::int64_t room;           // gram: entries of a tile, padded to whole chunks
  std::int64_t planes;         // gram: rows of V: M, or 2M if it is split into high and low
  std::int64_t rank_batch;     // gram: chunks whose partial products are there at a time
  std::int64_t partial_pitch;  // gram: of a partial product
  std::int64_t scratch_room;   // gram: entries of Gram tiles that wait to be split

  std::int64_t far_rows, far_chunk;  // features: far examples, and others, whose Gram entries are there at a time

  // The centred rows; see prepare.hpp for their order. gram: of the i-th representation, from an entry of its
  // slabs on.
  void* x(char* base, std::int64_t i, std::int64_t row, std::int64_t entry) const {
    return item_address(base, x_, (start[to_size(i)] * rows + row * width[to_size(i)]) * slabs + entry);
  }
  // features: a slab of the chunk of `chunk_rows` examples from `row` on, from a
  // column of all representations on.
  void* x_slab(char* base, std::int64_t row, std::int64_t chunk_rows, int slab, std::int64_t entry) const {
    return item_address(base, x_, (row * slabs + slab * chunk_rows) * start.back() + entry);
  }
  void* all_x(char* base) const { return base + x_.offset(); }
  // gram: V, (planes, room), from an entry of the row of the i-th representation on.
  void* v(char* base, std::int64_t i, std::int64_t entry) const { return item_address(base, v_, i * room + entry); }
  // gram: partial products; features: a band of the product. T is what products are summed in.
  template <class T>
  T* partial(char* base) const {
    return reinterpret_cast<T*>(base + partial_.offset());
  }
  template <class T>
  T* band(char* base) const {
    return reinterpret_cast<T*>(base + band_.offset());
  }

  // prepared
  Array<double> mean, robust, sums, least, most;
  Array<std::int64_t> counts, firsts, starts;
  Array<std::int8_t> far;  // (m, rows); see far_examples.hpp
  // (m, rows) each, zero in padding: k, q, r, and k without the examples that are far in any representation. Until the
  // sums begin, distances take the place of q.
  Array<double> k, q, r, near;
  // workspace
  Array<int> v_exponent;
  Array<float> scratch;
  Array<double> squares, far_sums, far_total, row_sums, total;
  Array<std::int64_t> far_list;
  Array<char> cublas;
  // results
  Array<double> s0;                                            // (m, m)
  Array<double> norms, q_products, r_products, near_products;  // (m, m) each: inner products of k, q, r and near
  Array<double> q_totals, r_totals;                            // (m): sums of q and of r
  Array<double> summed;                                        // (m): S0_ii as it was summed
  Array<std::int64_t> status;                                  // (status_fields, m)
  Array<std::uint8_t> any_far;                                 // (rows): 1 for an example that is far in any

  std::int64_t prepared_bytes() const { return prepared_bytes_; }
  std::int64_t workspace_bytes() const { return s0.offset() - prepared_bytes_; }
  std::int64_t result_bytes() const { return total_bytes_ - s0.offset(); }
  std::int64_t total_bytes() const { return total_bytes_; }
  std::vector<ResultField> result_fields() const;

 private:
  void* item_address(char* base, const Array<char>& array, std::int64_t index) const {
    return base + array.offset() + index * item;
  }

  Array<char> x_, v_, partial_, band_;
  std::int64_t prepared_bytes_, total_bytes_;
};

}  // namespace fastcka::cuda
