#include "memory.hpp"

#include <sys/mman.h>

#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <utility>

namespace fastcka::cpu {
namespace {

thread_local KeptMemory* in_use = nullptr;

constexpr std::size_t huge_page = std::size_t{1} << 21;

// The kept blocks of the process, each of at least huge_page bytes. While another thread uses them, a block is neither
// kept nor taken. So no thread waits, not even in the child of a fork.
class Spare {
 public:
  void* take(std::size_t& count) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock) return nullptr;
    const auto smallest = blocks_.lower_bound(count);
    if (smallest == blocks_.end() || smallest->first > 2 * count) {
      free_all();
      return nullptr;
    }
    void* block = smallest->second;
    count = smallest->first;
    bytes_ -= count;
    blocks_.erase(smallest);
    return block;
  }
  bool keep(std::size_t count, void* block) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || bytes_ + count > most_kept) return false;
    try {
      blocks_.emplace(count, block);
    } catch (const std::bad_alloc&) {
      return false;
    }
    bytes_ += count;
    return true;
  }
  std::size_t release() {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    return lock ? free_all() : 0;
  }

 private:
  std::size_t free_all() {
    for (const auto& [count, block] : blocks_) std::free(block);
    blocks_.clear();
    return std::exchange(bytes_, 0);
  }

  std::mutex mutex_;
  std::size_t bytes_ = 0;
  std::multimap<std::size_t, void*> blocks_;  // by their bytes
};

Spare& spare() {
  static Spare& blocks = *new Spare;  // never destroyed: a thread may free a block while the process ends
  return blocks;
}

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
  if (count >= huge_page && in_use == nullptr) {
    void* block = spare().take(count);
    if (block != nullptr) return {block, count};
  }
  // Without huge pages the first touch of a 43 MB copy costs about 10,000 page faults, a tenth of a pass.
  constexpr std::size_t line = 64;
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
  if (count >= huge_page && in_use == nullptr && spare().keep(count, block)) return;
  std::free(block);
}

std::size_t release_kept() { return spare().release(); }

}  // namespace fastcka::cpu
