// Reading the rows of a layer from the chunks of an open HDF5 file into an array.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "../hsic.hpp"

namespace fastcka::store {

// The chunks of an (n, d) dataset. A chunk contains whole rows; the last chunk is padded to full height. A Fletcher-32
// checksum follows each chunk. It is checked only if the file has no XXH3 checksums of its chunks (format 1.0).
struct Chunks {
  int file;                     // descriptor, open for reading
  const std::int64_t* offsets;  // byte offsets of the chunks in the file, in the order of their rows
  std::int64_t count;
  std::int64_t rows;  // rows in a chunk
  std::int64_t n;
  std::int64_t d;
  DType dtype;
  std::string_view dataset;        // path of the dataset in the file, an input of the checksums
  const std::uint64_t* checksums;  // one for each chunk, see checksum.hpp; null for files of format 1.0
};

// The wanted rows, and the rows of the target that receive them. If `rows` is null, all rows are wanted in order.
struct Wanted {
  const std::int64_t* rows;     // ascending, may repeat
  const std::int64_t* targets;  // row of the target for each wanted row
  std::int64_t count;
};

// The output array: rows of d values in any strides (in bytes), in float32, float64 or the stored dtype.
struct Target {
  char* data;
  std::int64_t row_stride;
  std::int64_t column_stride;
  DType dtype;
};

// Why a chunk could not be read.
class ChunkError : public std::runtime_error {
 public:
  enum class Kind { checksum, short_file, system, overflow };

  ChunkError(Kind why, std::int64_t which, int error)
      : std::runtime_error("chunk " + std::to_string(which)), kind(why), chunk(which), code(error) {}

  Kind kind;
  std::int64_t chunk;
  int code;  // errno of Kind::system
};

// Chunks without a wanted row are not read. Each other chunk is read in full and compared with its checksum. Throws
// ChunkError; the contents of the target are then undefined.
void read_rows(const Chunks& chunks, const Wanted& wanted, const Target& target, int threads, const Poll& poll);

}  // namespace fastcka::store
