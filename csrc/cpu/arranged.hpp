// The rows of a tile's products, where they lie or, where the products want that, in a form of their own.
#pragma once

#include <vector>

#include "implementation.hpp"
#include "memory.hpp"

namespace fastcka::cpu {

class Arranged {
 public:
  // Takes the panels [begin, end), of which `at(panel)` has the first of `steps` steps.
  template <class T, class At>
  void take(const Products<T>& products, std::int64_t steps, std::int64_t begin, std::int64_t end, const At& at) {
    begin_ = begin;
    panels_.clear();
    if (products.arrange == nullptr) {
      for (std::int64_t panel = begin; panel < end; ++panel) panels_.push_back(at(panel));
      return;
    }
    const std::int64_t room = (steps + 15) / 16 * 16 * products.lanes * products.cell_bytes;
    if (bytes_ < room * (end - begin)) {
      bytes_ = room * (end - begin);
      copy_ = allocate<std::byte>(bytes_);
    }
    for (std::int64_t panel = begin; panel < end; ++panel) {
      std::byte* to = copy_.get() + (panel - begin) * room;
      products.arrange(steps, at(panel), to);
      panels_.push_back(to);
    }
  }

  // The rows of a micro-tile from `row` on.
  template <class T>
  const std::byte* of(const Products<T>& products, std::int64_t row) const {
    return panels_[static_cast<std::size_t>(row / products.lanes - begin_)] +
           row % products.lanes * products.cell_bytes;
  }

 private:
  std::int64_t begin_ = 0;
  std::int64_t bytes_ = 0;
  Block<std::byte> copy_;
  std::vector<const std::byte*> panels_;
};

}  // namespace fastcka::cpu
