#include "gather.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "streamed_copy.hpp"
#include "threads/pool.hpp"

namespace fastcka::cpu {
namespace {

// One thread copies this much at a time: a fraction of a millisecond, many times what it takes to hand out work.
constexpr std::int64_t piece_bytes = 1 << 20;
// Columns that are adjacent in memory are copied in tiles of this edge: the lines that they share stay in the L1 cache.
constexpr std::int64_t tile_edge = 64;

struct Piece {
  const View* view;
  char* to;
  std::int64_t first;  // row
  std::int64_t end;
};

template <class Item>
void copy_tiles(const Piece& piece) {
  const View& view = *piece.view;
  const auto* from = static_cast<const char*>(view.data);
  const std::int64_t rows = piece.end - piece.first;
  const std::int64_t size = sizeof(Item);
  for (std::int64_t column = 0; column < view.d; column += tile_edge) {
    const std::int64_t columns = std::min(tile_edge, view.d - column);
    for (std::int64_t row = 0; row < rows; row += tile_edge) {
      const std::int64_t last = std::min(row + tile_edge, rows);
      for (std::int64_t i = row; i < last; ++i) {
        const char* source = from + (piece.first + i) * view.row_stride + column * view.column_stride;
        char* to = piece.to + (i * view.d + column) * size;
        for (std::int64_t j = 0; j < columns; ++j) {
          std::memcpy(to + j * size, source + j * view.column_stride, sizeof(Item));
        }
      }
    }
  }
}

void copy(const Piece& piece) {
  const View& view = *piece.view;
  const std::int64_t size = item_bytes(view.dtype);
  const std::int64_t row_bytes = view.d * size;
  const auto* from = static_cast<const char*>(view.data) + piece.first * view.row_stride;
  const std::int64_t rows = piece.end - piece.first;
  if (view.column_stride != size && view.d > 1) {
    if (size == 8) return copy_tiles<std::uint64_t>(piece);
    if (size == 4) return copy_tiles<std::uint32_t>(piece);
    return copy_tiles<std::uint16_t>(piece);
  }
  if (view.row_stride == row_bytes || rows == 1) {
    streamed_copy(piece.to, from, to_size(rows * row_bytes));
    finish_streamed_copies();
    return;
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    streamed_copy(piece.to + i * row_bytes, from + i * view.row_stride, to_size(row_bytes));
  }
  finish_streamed_copies();
}

void check(const std::vector<View>& views, const std::vector<std::int64_t>& offsets, std::int64_t bytes, int threads) {
  if (views.size() != offsets.size()) throw std::invalid_argument("gather needs an offset for each view");
  if (threads < 1) throw std::invalid_argument("threads must be positive");
  for (std::size_t i = 0; i < views.size(); ++i) {
    const std::int64_t size = views[i].n * views[i].d * item_bytes(views[i].dtype);
    if (offsets[i] < 0 || offsets[i] + size > bytes) {
      throw std::invalid_argument("view " + std::to_string(i) + " does not fit into out");
    }
  }
}

}  // namespace

void gather(const std::vector<View>& views, const std::vector<std::int64_t>& offsets, char* buffer, std::int64_t bytes,
            int threads, const Poll& poll) {
  check(views, offsets, bytes, threads);
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < views.size(); ++i) {
    const std::int64_t row_bytes = views[i].d * item_bytes(views[i].dtype);
    const std::int64_t rows = std::clamp<std::int64_t>(piece_bytes / row_bytes, 1, views[i].n);
    for (std::int64_t first = 0; first < views[i].n; first += rows) {
      pieces.push_back({&views[i], buffer + offsets[i] + first * row_bytes, first, std::min(first + rows, views[i].n)});
    }
  }
  Pool pool(threads, poll);
  pool.run(static_cast<std::int64_t>(pieces.size()), Pool::Progress::silent, [&](std::int64_t item, int worker) {
    pool.checkpoint(worker);
    copy(pieces[to_size(item)]);
  });
}

}  // namespace fastcka::cpu
