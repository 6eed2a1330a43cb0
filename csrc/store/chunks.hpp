// The rows of a layer, read from the chunks of an open HDF5 file to where they are wanted.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "../hsic.hpp"

namespace fastcka::store {

// Where the chunks of an (n, d) dataset lie: whole rows, the last one padded to full height, each followed by its
// Fletcher-32. That one is checked only where a file has no checksums of its chunks.
struct Chunks {
  int file;                     // descriptor, open for reading
  const std::int64_t* offsets;  // of the chunks, in bytes from the start of the file, by row
  std::int64_t count;
  std::int64_t rows;  // in a chunk
  std::int64_t n;
  std::int64_t d;
  DType dtype;
  std::string_view dataset;        // its path in the file, which enters the checksums
  const std::uint64_t* checksums;  // one for each chunk, see checksum.hpp; null in files of format 1.0
};

// Which rows are wanted, and which rows of the target they become; all of them, in place, where `rows` is null.
struct Wanted {
  const std::int64_t* rows;  // rising, perhaps repeated
  const std::int64_t* targets;
  std::int64_t count;
};

// Rows of d values in any strides (in bytes), in float32, float64 or the stored form.
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

// Chunks without a wanted row are not read; all others are held against their checksums in full. Throws ChunkError;
// the target then holds anything.
void read_rows(const Chunks& chunks, const Wanted& wanted, const Target& target, int threads, const Poll& poll);

}  // namespace fastcka::store
