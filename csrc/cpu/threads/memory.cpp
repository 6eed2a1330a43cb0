#include "memory.hpp"

#include <sys/mman.h>

#include <cstdlib>
#include <iterator>
#include <new>

namespace fastcka::cpu {
namespace {

thread_local KeptMemory* in_use = nullptr;

}  // namespace

KeptMemory::~KeptMemory() {
  for (const auto& [count, block] : blocks_) std::free(block);
}

KeptMemory::Use::Use(KeptMemory& kept) { in_use = &kept; }

KeptMemory::Use::~Use() { in_use = nullptr; }

Bytes allocate_bytes(std::size_t count) {
  if (in_use != nullptr) {
    const auto smallest = in_use->blocks_.lower_bound(count);
    if (smallest != in_use->blocks_.end()) {
      const Bytes kept{smallest->second, smallest->first};
      in_use->blocks_.erase(smallest);
      return kept;
    }
    // In place of the largest, so that the blocks of one group are kept and not those of all.
    if (!in_use->blocks_.empty()) {
      const auto largest = std::prev(in_use->blocks_.end());
      std::free(largest->second);
      in_use->blocks_.erase(largest);
    }
  }
  // Without huge pages the first touch of a 43 MB copy costs about 10,000 page faults, a tenth of a pass.
  constexpr std::size_t line = 64;
  constexpr std::size_t huge_page = std::size_t{1} << 21;
  const std::size_t alignment = count >= huge_page ? huge_page : line;
  void* block = std::aligned_alloc(alignment, (count + alignment - 1) / alignment * alignment);
  if (block == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (alignment == huge_page) madvise(block, count, MADV_HUGEPAGE);
#endif
  return {block, count};
}

void Free::operator()(void* block) const noexcept {
  if (in_use != nullptr) {
    try {
      in_use->blocks_.emplace(count, block);
      return;
    } catch (const std::bad_alloc&) {  // then it is not kept
    }
  }
  std::free(block);
}

}  // namespace fastcka::cpu
