// The rows of a tile's products, as they are or, if the kernels need it, in another form.
#pragma once

#include <vector>

#include "../threads/memory.hpp"
#include "implementation.hpp"

namespace fastcka::cpu {

class Arranged {
 public:
  // Bytes that it takes for a tile whose edge is a number of vectors.
  static std::int64_t bytes(std::int64_t tile, std::int64_t steps, const ProductShape& shape) {
    return tile * round_up(steps, arranged_steps) * shape.cell_bytes;
  }

  // Takes the panels [begin, end), `first_step(panel)` is the address of the first of `steps` steps.
  template <class T, class FirstStep>
  void take(const Kernels<T>& kernels, std::int64_t steps, std::int64_t begin, std::int64_t end,
            const FirstStep& first_step) {
    begin_ = begin;
    panels_.clear();
    if (kernels.arrange == nullptr) {
      for (std::int64_t panel = begin; panel < end; ++panel) panels_.push_back(first_step(panel));
      return;
    }
    const std::int64_t room = round_up(steps, arranged_steps) * kernels.lanes * kernels.cell_bytes;
    if (bytes_ < room * (end - begin)) {
      bytes_ = room * (end - begin);
      copy_ = allocate<std::byte>(bytes_);
    }
    for (std::int64_t panel = begin; panel < end; ++panel) {
      std::byte* to = copy_.get() + (panel - begin) * room;
      kernels.arrange(steps, first_step(panel), to);
      panels_.push_back(to);
    }
  }

  // The rows of a micro-tile from `row` on.
  template <class T>
  const std::byte* rows_from(const Kernels<T>& kernels, std::int64_t row) const {
    return panels_[to_size(row / kernels.lanes - begin_)] + row % kernels.lanes * kernels.cell_bytes;
  }

 private:
  std::int64_t begin_ = 0;
  std::int64_t bytes_ = 0;
  Block<std::byte> copy_;
  std::vector<const std::byte*> panels_;
};

}  // namespace fastcka::cpu
