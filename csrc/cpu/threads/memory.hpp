// Large blocks of memory, aligned to cache lines, in huge pages where the system has them to give.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "../../integers.hpp"

namespace fastcka::cpu {

struct Bytes {
  void* block;
  std::size_t count;
};

// Blocks that one thread has freed, for its next group: the system clears every page that it gives, which takes a tenth
// of the pass of a small group.
class KeptMemory {
 public:
  KeptMemory() = default;
  ~KeptMemory();
  KeptMemory(const KeptMemory&) = delete;
  KeptMemory& operator=(const KeptMemory&) = delete;

  // While it lives, this thread's blocks come from and go back to `kept`.
  class Use {
   public:
    explicit Use(KeptMemory& kept);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
  };

 private:
  friend Bytes allocate_bytes(std::size_t count);
  friend struct Free;

  std::multimap<std::size_t, void*> blocks_;  // by their bytes
};

// Large blocks that a pass frees are kept for the next pass, up to this many bytes in a process, because getting and
// clearing pages takes up to a tenth of a pass. If no kept block fits a request, all of them are freed, so that they
// add nothing to the peak of a pass.
inline constexpr std::size_t most_kept = std::size_t{128} << 20;

// Gives the kept blocks back to the system. Returns their bytes.
std::size_t release_kept();

// At least `count`, uninitialised.
Bytes allocate_bytes(std::size_t count);

struct Free {
  std::size_t count = 0;
  void operator()(void* block) const noexcept;
};
template <class T>
using Block = std::unique_ptr<T[], Free>;

template <class T>
Block<T> allocate(std::int64_t count) {
  const Bytes bytes = allocate_bytes(to_size(count) * sizeof(T));
  return Block<T>(static_cast<T*>(bytes.block), Free{bytes.count});
}

}  // namespace fastcka::cpu
