#include "chunks.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "../cpu/threads/pool.hpp"
#include "checksum.hpp"
#include "fletcher32.hpp"

namespace fastcka::store {
namespace {

using Kind = ChunkError::Kind;

// Read, checked and copied at once: what was read is in the L2 cache still when it is summed and copied.
constexpr std::int64_t piece_bytes = 64 << 10;

template <class Bits, class Value>
Value value_of(Bits bits) {
  Value value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The stored forms, each with its bits and the type that holds its values exactly.
struct Half {
  using Bits = std::uint16_t;
  static float widen(Bits bits) {
    // The exponent's bias grows from 15 to 127; the product is exact for subnormal halves as well.
    const std::uint32_t magnitude = (bits & 0x7fffu) << 13;
    const float scaled = value_of<std::uint32_t, float>(magnitude) * 0x1p112f;
    const std::uint32_t finite = value_of<float, std::uint32_t>(scaled);
    const std::uint32_t infinite = magnitude | 0x7f800000u;
    return value_of<std::uint32_t, float>((bits & 0x8000u) << 16 | ((bits & 0x7c00u) == 0x7c00u ? infinite : finite));
  }
};
struct BFloat {
  using Bits = std::uint16_t;
  static float widen(Bits bits) { return value_of<std::uint32_t, float>(std::uint32_t{bits} << 16); }
};
struct Single {
  using Bits = std::uint32_t;
  static float widen(Bits bits) { return value_of<Bits, float>(bits); }
};
struct Double {
  using Bits = std::uint64_t;
  static double widen(Bits bits) { return value_of<Bits, double>(bits); }
};

// False if a finite value has become infinite.
template <class Stored, class Out>
bool convert(const char* from, char* to, std::int64_t d, std::int64_t stride) {
  bool fits = true;
  for (std::int64_t j = 0; j < d; ++j) {
    typename Stored::Bits bits;
    std::memcpy(&bits, from + j * static_cast<std::int64_t>(sizeof bits), sizeof bits);
    const auto wide = Stored::widen(bits);
    const auto value = static_cast<Out>(wide);
    if constexpr (sizeof(Out) < sizeof wide) fits = fits && (std::isfinite(value) || !std::isfinite(wide));
    std::memcpy(to + j * stride, &value, sizeof value);
  }
  return fits;
}

using Convert = bool (*)(const char* from, char* to, std::int64_t d, std::int64_t stride);

template <class Stored>
Convert conversion_to(DType out) {
  return out == DType::float64 ? &convert<Stored, double> : &convert<Stored, float>;
}

Convert conversion(DType stored, DType out) {
  switch (stored) {
    case DType::float16:
      return conversion_to<Half>(out);
    case DType::bfloat16:
      return conversion_to<BFloat>(out);
    case DType::float32:
      return conversion_to<Single>(out);
    case DType::float64:
      return conversion_to<Double>(out);
  }
  return nullptr;
}

class Reader {
 public:
  Reader(const Chunks& chunks, const Wanted& wanted, const Target& target)
      : chunks_(chunks),
        wanted_(wanted),
        target_(target),
        convert_(conversion(chunks.dtype, target.dtype)),
        row_bytes_(chunks.d * item_bytes(chunks.dtype)),
        piece_rows_(std::clamp<std::int64_t>(piece_bytes / row_bytes_, 1, chunks.rows)),
        as_stored_(chunks.dtype == target.dtype && target.column_stride == item_bytes(target.dtype)) {}

  std::size_t scratch_bytes() const { return static_cast<std::size_t>(piece_rows_ * row_bytes_); }

  // The chunks that hold a wanted row.
  std::vector<std::int64_t> needed() const {
    const bool all = wanted_.rows == nullptr;
    if (wanted_.count == 0) return {};
    const std::int64_t first = all ? 0 : wanted_.rows[0] / chunks_.rows;
    const std::int64_t last = all ? chunks_.count - 1 : wanted_.rows[wanted_.count - 1] / chunks_.rows;
    std::vector<std::int64_t> found;
    for (std::int64_t chunk = first; chunk <= last; ++chunk) {
      if (all || from_row(chunk * chunks_.rows) != from_row((chunk + 1) * chunks_.rows)) found.push_back(chunk);
    }
    return found;
  }

  void read(std::int64_t chunk, char* scratch) const {
    if (chunks_.checksums != nullptr) {
      Checksum sum(chunks_.dataset, chunk);
      read(chunk, scratch, std::min(chunks_.rows, chunks_.n - chunk * chunks_.rows), sum);
      if (chunks_.checksums[chunk] != sum.value()) throw ChunkError(Kind::checksum, chunk, 0);
      return;
    }
    Fletcher32 sum;
    read(chunk, scratch, chunks_.rows, sum);
    std::uint32_t stored;
    static_assert(sizeof stored == fletcher32_bytes);
    fetch(chunk, chunks_.rows * row_bytes_, reinterpret_cast<char*>(&stored), fletcher32_bytes);
    if (stored != sum.value()) throw ChunkError(Kind::checksum, chunk, 0);
  }

 private:
  static constexpr std::int64_t fletcher32_bytes = 4;

  // Read and deliver the first rows of a chunk, padding among them, and sum them.
  template <class Sum>
  void read(std::int64_t chunk, char* scratch, std::int64_t rows, Sum& sum) const {
    const std::int64_t first = chunk * chunks_.rows;
    for (std::int64_t begin = 0; begin < rows; begin += piece_rows_) {
      const std::int64_t count = std::min(piece_rows_, rows - begin);
      const std::int64_t row = first + begin;
      const bool in_place = lands_in_place() && row + count <= chunks_.n;
      char* to = in_place ? target_.data + row * target_.row_stride : scratch;
      fetch(chunk, begin * row_bytes_, to, count * row_bytes_);
      sum.update(to, static_cast<std::size_t>(count * row_bytes_));
      if (!in_place) deliver(chunk, row, std::min(row + count, chunks_.n), scratch);
    }
  }

  std::int64_t offset(std::int64_t chunk) const { return chunks_.offsets[chunk]; }

  bool lands_in_place() const { return as_stored_ && wanted_.rows == nullptr && target_.row_stride == row_bytes_; }

  const std::int64_t* from_row(std::int64_t row) const {
    return wanted_.rows == nullptr ? nullptr : std::lower_bound(wanted_.rows, wanted_.rows + wanted_.count, row);
  }

  void fetch(std::int64_t chunk, std::int64_t at, char* to, std::int64_t bytes) const {
    while (bytes > 0) {
      const ssize_t got = pread(chunks_.file, to, static_cast<std::size_t>(bytes), offset(chunk) + at);
      if (got == 0) throw ChunkError(Kind::short_file, chunk, 0);
      if (got < 0 && errno != EINTR) throw ChunkError(Kind::system, chunk, errno);
      if (got < 0) continue;
      at += got;
      to += got;
      bytes -= got;
    }
  }

  // Copy those of the rows [begin, end), which lie at `from`, that are wanted.
  void deliver(std::int64_t chunk, std::int64_t begin, std::int64_t end, const char* from) const {
    bool fits = true;
    if (wanted_.rows == nullptr) {
      for (std::int64_t row = begin; row < end; ++row) fits &= put(from + (row - begin) * row_bytes_, row);
    } else {
      const std::int64_t* last = from_row(end);
      for (const std::int64_t* row = from_row(begin); row < last; ++row) {
        fits &= put(from + (*row - begin) * row_bytes_, wanted_.targets[row - wanted_.rows]);
      }
    }
    if (!fits) throw ChunkError(Kind::overflow, chunk, 0);
  }

  bool put(const char* from, std::int64_t target_row) const {
    char* to = target_.data + target_row * target_.row_stride;
    if (!as_stored_) return convert_(from, to, chunks_.d, target_.column_stride);
    std::memcpy(to, from, static_cast<std::size_t>(row_bytes_));
    return true;
  }

  const Chunks& chunks_;
  const Wanted& wanted_;
  const Target& target_;
  const Convert convert_;
  const std::int64_t row_bytes_;
  const std::int64_t piece_rows_;
  const bool as_stored_;
};

}  // namespace

void read_rows(const Chunks& chunks, const Wanted& wanted, const Target& target, int threads, const Poll& poll) {
  const Reader reader(chunks, wanted, target);
  const std::vector<std::int64_t> needed = reader.needed();
  cpu::Pool pool(threads, poll);
  std::vector<std::unique_ptr<char[]>> scratch(static_cast<std::size_t>(threads));
  pool.run(static_cast<std::int64_t>(needed.size()), cpu::Pool::Progress::silent, [&](std::int64_t item, int worker) {
    std::unique_ptr<char[]>& own = scratch[static_cast<std::size_t>(worker)];
    if (own == nullptr) own.reset(new char[reader.scratch_bytes()]);
    reader.read(needed[static_cast<std::size_t>(item)], own.get());
  });
}

}  // namespace fastcka::store
