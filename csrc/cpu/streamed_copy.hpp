// Copying to memory that the processor does not read soon.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace fastcka::cpu {

#ifdef __SSE2__

// Copies past the caches: a plain copy first reads each line that it overwrites, which is a third of its traffic. The
// copies are complete after `finish_streamed_copies`.
inline void streamed_copy(char* to, const char* from, std::size_t count) {
  constexpr std::size_t line = 64;
  const std::size_t head = -reinterpret_cast<std::uintptr_t>(to) % line;
  if (count < head + 4 * line) {
    std::memcpy(to, from, count);
    return;
  }
  std::memcpy(to, from, head);
  std::size_t i = head;
  for (; i + line <= count; i += line) {
    for (std::size_t j = i; j < i + line; j += sizeof(__m128i)) {
      const __m128i value = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + j));
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + j), value);
    }
  }
  std::memcpy(to + i, from + i, count - i);
}

// After the copies of a thread: whoever sees what it signals next sees the copied values as well.
inline void finish_streamed_copies() { _mm_sfence(); }

#else

inline void streamed_copy(char* to, const char* from, std::size_t count) { std::memcpy(to, from, count); }
inline void finish_streamed_copies() {}

#endif

}  // namespace fastcka::cpu
