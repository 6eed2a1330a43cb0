// One side of a tile's products, as it is or, if the kernels need it, in another form.
#pragma once

#include <vector>

#include "../threads/memory.hpp"
#include "../triangle.hpp"
#include "implementation.hpp"

namespace fastcka::cpu {

class Arranged {
 public:
  // Bytes that both sides of a tile take, whose edge is a number of vectors.
  static std::int64_t bytes(std::int64_t tile, std::int64_t steps, const ProductShape& shape) {
    return 2 * tile * round_up(steps, arranged_steps) * shape.arranged_bytes;
  }

  // Takes the panels [begin, end) by `arrange`, which may be null; `first_step(panel)` is the address of the first of
  // `steps` steps.
  template <class T, class FirstStep>
  void take(const Kernels<T>& kernels, void (*arrange)(std::int64_t, const void*, void*), std::int64_t steps,
            std::int64_t begin, std::int64_t end, const FirstStep& first_step) {
    begin_ = begin;
    panels_.clear();
    if (arrange == nullptr) {
      for (std::int64_t panel = begin; panel < end; ++panel) panels_.push_back(first_step(panel));
      return;
    }
    const std::int64_t room = round_up(steps, arranged_steps) * kernels.operand_bytes();
    if (bytes_ < room * (end - begin)) {
      bytes_ = room * (end - begin);
      copy_ = allocate<std::byte>(bytes_);
    }
    for (std::int64_t panel = begin; panel < end; ++panel) {
      std::byte* to = copy_.get() + (panel - begin) * room;
      arrange(steps, first_step(panel), to);
      panels_.push_back(to);
    }
  }

  // `count` panels from `first` on, each from the byte `before` on.
  void panels(std::int64_t first, std::int64_t count, std::int64_t before, const void** out) const {
    for (std::int64_t p = 0; p < count; ++p) out[p] = panels_[to_size(first + p - begin_)] + before;
  }

  // The rows of a micro-tile, likewise.
  template <class T>
  void rows(const Kernels<T>& kernels, const MicroTile& micro, std::int64_t before, const void** out) const {
    const std::int64_t inside = micro.row % kernels.lanes * kernels.cell_bytes;
    panels(micro.row / kernels.lanes, ceil_div(micro.rows, kernels.lanes), before + inside, out);
  }

 private:
  std::int64_t begin_ = 0;
  std::int64_t bytes_ = 0;
  Block<std::byte> copy_;
  std::vector<const std::byte*> panels_;
};

// Both sides of a tile's products.
struct Operands {
  Arranged rows;
  Arranged columns;
};

}  // namespace fastcka::cpu
